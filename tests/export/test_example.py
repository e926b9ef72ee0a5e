"""The example without this package gives the answers that `lookwhere` gives."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli import load
from lookwhere_cli.probabilities import softmax
from tests.models.small import LABELLED

pytestmark = pytest.mark.timeout(1800)  # the first of them exports a model

SCRIPT = Path(__file__).parents[2] / "examples" / "onnx_only.py"


@pytest.fixture
def small_pictures(tmp_path):
    """Pictures of several shapes, none so large that it is reduced before it is resized."""
    files, rng = [], np.random.default_rng(0)
    for index, (width, height) in enumerate([(36, 36), (40, 24), (20, 45), (31, 29), (48, 18)]):
        files.append(tmp_path / f"{index}.png")
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(files[-1])
    return files


def test_it_prints_the_best_labels(exported, small_pictures):
    _, folder = exported(LABELLED)
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *map(str, small_pictures)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = load(str(folder)).classify(small_pictures)
    expected = [f"{row.path}\t{row.labels[0].label}" for row in rows]
    assert ran.stdout.splitlines() == expected


@pytest.mark.parametrize("spacing", [0.0, 3.0])
def test_it_computes_the_same_probabilities(exported, small_pictures, spacing):
    """Labels alone would not tell which cells were read: the small model names all of these pictures alike."""
    _, folder = exported(replace(LABELLED, map_spacing=spacing))
    specification = importlib.util.spec_from_file_location("onnx_only", SCRIPT)
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    graphs = [example.onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("selector", "extractor")]
    config = json.loads((folder / "config.json").read_text())
    for row, file in zip(load(str(folder)).classify(small_pictures), small_pictures, strict=True):
        probabilities = softmax(example.classify(Image.open(file), config, *graphs)).tolist()
        expected = {label.index: label.probability for label in row.labels}
        assert dict(enumerate(probabilities)) == pytest.approx(expected, abs=5e-3)


def test_it_is_short_and_imports_nothing_else():
    lines = SCRIPT.read_text().splitlines()
    assert len(lines) < 80
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"json", "math", "sys", "pathlib", "numpy", "onnxruntime", "PIL"}
