"""An exported model works where only what requirements-onnx.txt lists can be imported: no torch, no timm."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.models.small import DETECTING, LABELLED, SEGMENTING

pytestmark = pytest.mark.timeout(1800)  # the first of them exports a model

ROOT = Path(__file__).parents[2]
REQUIRED = ROOT / "requirements-onnx.txt"
SCRIPT = """
import sys
from importlib.metadata import packages_distributions

allowed = {ALLOWED!r}
packages = packages_distributions()


def is_allowed(package):
    names = {{name.lower().replace("_", "-") for name in packages.get(package, [])}}
    return not names or bool(names & allowed)


class OnlyListed:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in ("torch", "timm") or not (package == "lookwhere_cli" or is_allowed(package)):
            raise ImportError(f"{{name}} is not installed")


sys.meta_path.insert(0, OnlyListed())
from lookwhere_cli.cli.app import main

try:
    main()
finally:
    assert "torch" not in sys.modules
"""


def allowed():
    lines = REQUIRED.read_text().splitlines()
    names = {line.partition("==")[0] for line in lines if "==" in line}
    return {re.sub("_", "-", name.lower()) for name in names} | {"lookwhere", "setuptools"}


def run(*arguments, more=()):
    script = SCRIPT.format(ALLOWED=allowed() | set(more))
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_classify_gives_the_same_labels(exported, photos):
    _, folder = exported(LABELLED)
    ran = run("classify", photos, "--model", folder, "--format", "jsonl", "--quiet")
    assert ran.returncode == 0, ran.stderr
    from lookwhere_cli import load

    source, _ = exported(LABELLED)
    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    expected = list(load(str(source)).classify([row["path"] for row in rows]))
    assert len(rows) == 12
    for row, other in zip(rows, expected, strict=True):
        assert [label["label"] for label in row["labels"]] == [label.label for label in other.labels]
        assert row["labels"][0]["probability"] == pytest.approx(other.labels[0].probability, abs=1e-4)
        assert sorted(map(tuple, row["cells"])) == sorted(other.cells) and row["macs"] == other.macs


def test_features_and_explain(exported, photos, tmp_path):
    _, folder = exported(LABELLED)
    picture, out = photos / "0.png", tmp_path / "dense.safetensors"
    ran = run("features", picture, "--dense", "--maps", "--out", out, "--model", folder)
    assert ran.returncode == 0 and out.stat().st_size > 1000, ran.stderr
    ran = run("explain", picture, "--model", folder, "--html", tmp_path / "page.html")
    assert ran.returncode == 0 and (tmp_path / "page.html").is_file(), ran.stderr


@pytest.mark.slow
def test_segment_writes_the_same_masks(exported, photos, tmp_path):
    source, folder = exported(SEGMENTING)
    ran = run("segment", photos, "--model", folder, "--out", tmp_path / "masks")
    assert ran.returncode == 0, ran.stderr
    import numpy as np
    from PIL import Image

    from lookwhere_cli import Segmenter, load

    for answer in Segmenter(load(str(source))).segment(sorted(photos.iterdir())):
        written = np.asarray(Image.open(tmp_path / "masks" / Path(answer.row.path).name))
        assert (written == answer.classes).mean() >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, {"detect_mask_channels": 4}], ids=["boxes", "masks"])
def test_detect_finds_the_same_boxes(exported, photos, fields):
    config = replace(DETECTING, **fields)
    source, folder = exported(config)
    # Scores of random weights are all alike; so many boxes compare all that is computed.
    options = ("--conf", "0.3", "--iou", "0.9", *(("--masks",) if fields else ()))
    more = ("pycocotools",) if fields else ()
    ran = run("detect", photos, "--model", folder, "--format", "jsonl", "--quiet", *options, more=more)
    assert ran.returncode == 0, ran.stderr
    from lookwhere_cli import load

    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    predictor = load(str(source), conf=0.3, iou=0.9, masks=bool(fields))
    answers = list(predictor.answers([row["path"] for row in rows]))
    assert len(rows) == 12 and sum(len(row["boxes"]) for row in rows) > 24
    for row, answer in zip(rows, answers, strict=True):
        expected = [found.to_dict() for found in answer.row.boxes]
        assert [found["label"] for found in row["boxes"]] == [found["label"] for found in expected]
        for found, other in zip(row["boxes"], expected, strict=True):
            assert found["box"] == pytest.approx(other["box"], abs=0.1)
            assert found.get("mask") == other.get("mask")


@pytest.mark.slow
def test_classify_names_the_labels_of_boxes(exported, photos):
    source, folder = exported(DETECTING)
    ran = run("classify", photos, "--model", folder, "--format", "jsonl", "--quiet")
    assert ran.returncode == 0, ran.stderr
    from lookwhere_cli import load

    rows = [json.loads(line) for line in ran.stdout.splitlines()]
    for row, other in zip(rows, load(str(source)).classify([row["path"] for row in rows]), strict=True):
        assert [label["label"] for label in row["labels"]] == [label.label for label in other.labels]


@pytest.mark.slow
def test_evaluate_scores_boxes(exported, photos, tmp_path):
    """The extra that it needs brings torch, but the process does not import it."""
    pytest.importorskip("pycocotools")
    source, folder = exported(DETECTING)
    boxes = "".join(f"{photos / f'{number}.png'},4,4,20,20,cat\n" for number in range(8))
    (tmp_path / "boxes.csv").write_text(f"file,left,top,right,bottom,label\n{boxes}")
    arguments = ("evaluate", tmp_path / "boxes.csv", "-k", "50%", "--no-time", "--quiet", "--json")
    extra = ("accelerate", "matplotlib", "pycocotools", "torchmetrics", "torchvision", "pyyaml")
    ran = run(*arguments, tmp_path / "theirs.json", "--model", folder, more=extra)
    assert ran.returncode == 0, ran.stderr
    ours = subprocess.run(
        [sys.executable, "-m", "lookwhere_cli", *map(str, arguments), tmp_path / "ours.json", "--model", source],
        capture_output=True,
        check=True,
    )
    assert ours.returncode == 0
    found, expected = (json.loads((tmp_path / f"{name}.json").read_text())["rows"] for name in ("theirs", "ours"))
    assert len(found) == len(expected) > 1
    for row, other in zip(found, expected, strict=True):
        assert (row["chosen_by"], row["cells"], row["macs"]) == (other["chosen_by"], other["cells"], other["macs"])
        for name, score in other["scores"].items():
            assert row["scores"][name]["value"] == pytest.approx(score["value"], abs=1e-3)


def test_models_show_verify_and_list(exported):
    _, folder = exported(LABELLED)
    shown = run("models", "show", folder, "--json")
    facts = json.loads(shown.stdout)
    assert facts["export"]["files"] == ["selector.onnx", "extractor.onnx", "dense.onnx"] and facts["task"] == "classify"
    verified = run("models", "verify", folder)
    assert verified.returncode == 0 and verified.stdout.count("as it was") == 4
    assert run("models", "list").returncode == 0


def test_a_model_on_the_hub_needs_its_client(exported):
    ran = run("classify", ROOT / "examples" / "cat.jpg", "--model", "someone/something")
    assert ran.returncode == 3 and "pip install huggingface-hub" in ran.stderr


def test_the_listed_versions_are_those_tested_together():
    listed = dict(line.split("==") for line in REQUIRED.read_text().splitlines() if "==" in line)
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    tested = dict(line.split("==") for line in constraints if "==" in line)
    assert {name: version for name, version in listed.items() if tested.get(name, version) != version} == {}
