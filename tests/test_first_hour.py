"""The tutorial, walked from its first command to its last: every command works, and the model learns."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()


def commands():
    """The tutorial's commands in order, without the installation."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if not line.startswith("pip ")]


def test_the_tutorial_has_a_command_for_each_step():
    starts = [" ".join(command.split()[:2]) for command in commands()]
    assert starts == [
        "python examples/make_dataset.py",
        "lookwhere train",
        "lookwhere evaluate",
        "lookwhere explain",
        "lookwhere classify",
    ]


@pytest.mark.slow
def test_the_data_set_is_the_same_every_time(tmp_path):
    for name in ("one", "two"):
        command = [sys.executable, ROOT / "examples" / "make_dataset.py", tmp_path / name]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert printed == f"180 training and 60 validation pictures of 3 classes in {tmp_path / name}.\n"
    for file in ("labels.csv", "boxes.csv", "train/000.jpg", "val/059.jpg"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    with (tmp_path / "one" / "boxes.csv").open(newline="") as rows:
        for row in csv.DictReader(rows):
            left, top, right, bottom = (int(row[side]) for side in ("left", "top", "right", "bottom"))
            assert 0 <= left < right <= 1200 and 0 <= top < bottom <= 800
            assert 24 <= right - left == bottom - top <= 40


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_stranger_gets_to_a_model_of_their_own(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands():
        ended = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PATH": path}
        )
        assert ended.returncode == 0, f"{command}\n{ended.stderr}"
    with Image.open(tmp_path / "where.png") as overlay:
        assert overlay.width == 1200
    with (tmp_path / "symbols" / "labels.csv").open(newline="") as rows:
        truth = {Path(row["file"]).name: row["label"] for row in csv.DictReader(rows) if row["split"] == "val"}
    with (tmp_path / "labels.csv").open(newline="") as rows:
        answers = {Path(row["path"]).name: row["label"] for row in csv.DictReader(rows)}
    correct = [answers[name] == label for name, label in truth.items()]
    assert len(correct) == 60
    assert sum(correct) >= 45  # 20 by chance
