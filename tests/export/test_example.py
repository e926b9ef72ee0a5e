"""The example without this package gives the labels that `lookwhere` gives."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lookwhere_cli import load
from tests.models.small import LABELLED

pytestmark = pytest.mark.timeout(1800)  # the first of them exports a model

SCRIPT = Path(__file__).parents[2] / "examples" / "onnx_only.py"


@pytest.fixture
def small_pictures(tmp_path):
    """Pictures of several shapes, none so large that it is reduced before it is resized."""
    files = []
    for index, shape in enumerate([(36, 36), (40, 24), (20, 45), (31, 29), (48, 18)]):
        files.append(tmp_path / f"{index}.png")
        Image.effect_noise(shape, 90 + index).convert("RGB").rotate(7 * index).save(files[-1])
    return files


@pytest.mark.parametrize("spacing", [0.0, 0.2])
def test_it_gives_the_same_labels(exported, small_pictures, spacing):
    _, folder = exported(replace(LABELLED, map_spacing=spacing))
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


def test_it_is_short_and_imports_nothing_else():
    lines = SCRIPT.read_text().splitlines()
    assert len(lines) < 80
    imported = {line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imported == {"json", "math", "sys", "pathlib", "numpy", "onnxruntime", "PIL"}
