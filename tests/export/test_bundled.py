"""The bundled models can be exported, and what is written answers as they do."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
EXAMPLES = Path(__file__).parents[2] / "examples"
COMMANDS = {"in1k": "classify", "signs": "detect", "streets": "segment"}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_bundled_model_is_exported_verified_and_answers(lookwhere, tmp_path, name):
    pictures, out = tmp_path / "pictures", tmp_path / "exported"
    pictures.mkdir()
    for picture in ("cat.jpg", "signs.jpg"):
        shutil.copy(EXAMPLES / picture, pictures)
    ran = lookwhere("export", f"lookwhere-tiny-{name}", "--out", out, "--verify", pictures)
    assert ran.code == 0, ran.err
    found = []
    for model, place in ((f"lookwhere-tiny-{name}", "torch"), (out, "onnx")):
        files = ("--out", tmp_path / place, "--rows", tmp_path / f"{place}.jsonl") if name == "streets" else ()
        printed = () if files else ("--format", "jsonl", "--out", tmp_path / f"{place}.jsonl")
        ran = lookwhere(COMMANDS[name], pictures, "--model", model, "--device", "cpu", *files, *printed)
        assert ran.code == 0, ran.err
        found.append([json.loads(line) for line in (tmp_path / f"{place}.jsonl").read_text().splitlines()])
    for ours, theirs in zip(*found, strict=True):
        assert ours["cells"] == theirs["cells"]
        for answers in ("labels", "boxes", "shares"):
            names = [[one["label"] for one in row.get(answers) or ()] for row in (ours, theirs)]
            assert names[0] == names[1]
