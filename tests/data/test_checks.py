"""Files that can't be used are named and left out; data that contradict themselves stop the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.data.checks import drop_unreadable, drop_unusable
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError, PictureError


def masked_set(folder: Path, count: int = 10) -> LabelledSet:
    """Grey pictures of 12 x 8 pixels with masks of classes 0 and 2, and 255."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    mask = np.zeros((8, 12), np.uint8)
    mask[2:5], mask[5:] = 2, 255
    for index in range(count):
        Image.new("RGB", (12, 8), (90, 90, 90)).save(folder / f"images/{index}.jpg")
        Image.fromarray(mask).save(folder / f"masks/{index}.png")
    (folder / "classes.txt").write_text("road\nsky\ncar\n")
    return read_examples(folder)


def test_an_intact_set_is_unchanged(tmp_path: Path) -> None:
    data = masked_set(tmp_path)
    assert drop_unusable(data) == (data, [])


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", None])
@pytest.mark.parametrize("name", ["images/3.jpg", "masks/3.png"])
def test_a_few_broken_files_are_named_and_left_out(tmp_path: Path, name: str, content: bytes | None) -> None:
    data = masked_set(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    usable, problems = drop_unusable(data)
    assert usable == replace(data, examples=data.examples[:3] + data.examples[4:])
    assert len(problems) == 1 and str(tmp_path / name) in problems[0]


def test_a_mask_has_the_orientation_in_which_its_picture_is_displayed(tmp_path: Path) -> None:
    data = masked_set(tmp_path)
    rotated = Image.Exif()
    rotated[274] = 6
    Image.new("RGB", (12, 8)).save(tmp_path / "images/4.jpg", exif=rotated)
    usable, problems = drop_unusable(data)
    assert len(usable.examples) == 9
    assert "is 12 x 8 pixels, but" in problems[0] and "displayed at 8 x 12." in problems[0]
    Image.fromarray(np.zeros((12, 8), np.uint8)).save(tmp_path / "masks/4.png")
    assert drop_unusable(data) == (data, [])


def test_too_many_broken_files_stop_the_run_with_the_list(tmp_path: Path) -> None:
    data = masked_set(tmp_path, 12)
    for index in range(2):
        (tmp_path / f"images/{index}.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"^2 of 12 pictures can't be used.*\n.*0\.jpg' is empty.*\n.*1\.jpg' is empty"):
        drop_unusable(data)
    for index in range(12):
        (tmp_path / f"images/{index}.jpg").write_bytes(b"")
    with pytest.raises(DataError) as raised:
        drop_unusable(data)
    assert len(str(raised.value).splitlines()) == 12 and str(raised.value).endswith("... and 2 more")


def test_a_value_out_of_range_stops_the_run(tmp_path: Path) -> None:
    data = masked_set(tmp_path)
    Image.fromarray(np.full((8, 12), 3, np.uint8)).save(tmp_path / "masks/7.png")
    with pytest.raises(DataError, match=r"masks/7\.png' holds the value 3, but there are 3 classes, 0 to 2"):
        drop_unusable(data)


@pytest.mark.parametrize(("value", "words"), [(1, "only the class 'sky'"), (255, "no class at all")])
def test_masks_that_show_one_class_stop_the_run(tmp_path: Path, value: int, words: str) -> None:
    data = masked_set(tmp_path)
    for index in range(10):
        Image.fromarray(np.full((8, 12), value, np.uint8)).save(tmp_path / f"masks/{index}.png")
    with pytest.raises(DataError, match=f"The masks show {words}"):
        drop_unusable(data)


def test_sets_without_masks_are_checked_as_well(tmp_path: Path) -> None:
    masked_set(tmp_path)
    rows = "".join(f"images/{index}.jpg,{index % 2}\n" for index in range(11))
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    (tmp_path / "classes.txt").unlink()
    data = read_examples(tmp_path / "labels.csv")
    usable, problems = drop_unusable(data)
    assert usable.examples == data.examples[:10]
    assert len(problems) == 1 and "images/10.jpg' " in problems[0]


def test_a_mask_may_be_stored_in_any_file_of_indices(tmp_path: Path) -> None:
    indices = np.array([[0, 1, 2], [255, 7, 0]], np.uint8)
    grey, coloured = Image.fromarray(indices), Image.fromarray(indices)
    coloured.putpalette([value % 256 for value in range(5, 773)])
    assert coloured.mode == "P"
    deep, deeper = Image.fromarray(indices.astype(np.uint16)), Image.fromarray(indices.astype(np.int32))
    for name, picture in (("0.png", grey), ("1.png", coloured), ("2.png", deep), ("3.tif", deeper)):
        picture.save(tmp_path / name)
        read = load_mask(str(tmp_path / name))
        assert read.dtype == np.uint8 and (read == indices).all()
    Image.fromarray(indices > 1).save(tmp_path / "bits.png")
    assert (load_mask(str(tmp_path / "bits.png")) == (indices > 1)).all()


def test_a_mask_without_indices(tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    for mode in ("RGB", "RGBA", "LA"):
        Image.new(mode, (4, 4)).save(file)
        with pytest.raises(DataError, match=rf"mask\.png' holds colours \({mode}\), not class indices"):
            load_mask(str(file))
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(file)
    with pytest.raises(DataError, match="holds the values 300 to 300"):
        load_mask(str(file))
    with pytest.raises(PictureError, match="does not exist"):
        load_mask(str(tmp_path / "none.png"))


@pytest.mark.parametrize("content", [b"", b"not a picture"])
def test_unreadable_pictures_are_named_and_left_out_in_order(tmp_path: Path, content: bytes) -> None:
    for name in ("b.png", "a.png", "bad.png"):
        Image.new("RGB", (12, 8)).save(tmp_path / name)
    (tmp_path / "bad.png").write_bytes(content)
    paths = [str(tmp_path / name) for name in ("b.png", "bad.png", "a.png")]
    readable, problems = drop_unreadable(paths)
    assert readable == [paths[0], paths[2]]
    assert len(problems) == 1 and "bad.png" in problems[0]
    with pytest.raises(PictureError, match=r"bad\.png"):
        drop_unreadable(paths, fail_fast=True)
