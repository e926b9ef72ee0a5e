"""The example that turns folders of mask files into COCO's format: what it writes is what the masks show."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.metrics.boxes import true_masks
from lookwhere_cli.output.masks.run_lengths import decode
from tests.data.boxes.sets import boxes, splits

SCRIPT = Path(__file__).parents[3] / "examples" / "nuclei_to_coco.py"
SIZE = (24, 16)  # width, height
PICTURES = 133


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def nuclei(index):
    """Two masks: a block at a place of its own, and a triangle at the right and lower edges."""
    block, triangle = np.zeros((2, *SIZE[::-1]), np.bool_)
    block[1 + index % 5 : 7, 2 : 5 + index % 7] = True
    triangle[10:, 18:] = np.tri(6, dtype=np.bool_)
    return {"b": block, "a": triangle}


@pytest.fixture
def source(tmp_path):
    """Folders as in stage1_train, the last of a picture that is too large; picture 2 has no nuclei."""
    root = tmp_path / "stage1_train"
    for index in range(PICTURES):
        for folder in ("images", "masks"):
            (root / f"{index:03}" / folder).mkdir(parents=True)
        size = SIZE if index < PICTURES - 1 else (361, 20)
        Image.new("RGBA", size, (index, 0, 0, 255)).save(root / f"{index:03}" / "images" / f"{index:03}.png")
        for name, mask in nuclei(index).items() if index != 2 else ():
            Image.fromarray(mask.astype(np.uint8) * 255).save(root / f"{index:03}" / "masks" / f"{name}.png")
    return root


def test_it_writes_splits_boxes_and_masks(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / "nuclei"
    run(monkeypatch, source, out)
    assert capsys.readouterr().out.splitlines() == [
        "test: 100 pictures, 198 nuclei",
        "val: 30 pictures, 60 nuclei",
        "train: 2 pictures, 4 nuclei",
    ]
    to_train = splits(read_examples(out))
    assert to_train == {
        f"images/{index:03}.png": "train" if index >= 130 else "val" for index in range(100, PICTURES - 1)
    }
    measured = read_examples(out / "instances_test.json")
    assert [Path(one.path).stem for one in measured.examples] == [f"{index:03}" for index in range(100)]
    assert boxes(measured)["images/002.png"] == []
    assert boxes(measured)["images/003.png"] == [("nucleus", 18, 10, 24, 16), ("nucleus", 2, 4, 8, 7)]
    for index in (0, 3, 99):
        found = [decode(mask) for mask in true_masks(measured.examples[index].objects, SIZE[::-1])]
        assert np.array_equal(found, [nuclei(index)["a"], nuclei(index)["b"]])


def test_it_refuses_another_folder_and_one_that_exists(source, tmp_path, monkeypatch, capsys):
    for words, sentence in (
        ((tmp_path, tmp_path / "nuclei"), "has 0 pictures of at most 360 px"),
        ((source, tmp_path), "exists; name another folder"),
    ):
        with pytest.raises(SystemExit) as ended:
            run(monkeypatch, *words)
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "nuclei").exists()
