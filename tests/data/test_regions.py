"""Regions: read from a list of boxes or from a folder of masks."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.data.regions import read_regions
from lookwhere_cli.errors import DataError, UsageError

HEAD = "file,left,top,right,bottom"


def boxes_file(folder: Path, *lines: str, head: str = HEAD) -> Path:
    file = folder / "boxes.csv"
    file.write_text("\n".join([head, *lines]) + "\n")
    return file


def save_mask(file: Path, values: list[list[int]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype=np.uint8)).save(file)


def test_a_list_of_boxes_is_read(tmp_path: Path) -> None:
    file = boxes_file(
        tmp_path, "a.jpg,1,2,3,4.5,9", "sub/b.jpg, 5,6,7,8,9", "a.jpg,10,20,30,40,9", "d.jpg,,,,,", head=HEAD + ",more"
    )
    paths = [str(tmp_path / name) for name in ("a.jpg", "sub/b.jpg", "c.jpg", "d.jpg")]
    regions = read_regions(file, tmp_path, paths)
    assert regions.boxes(paths[0]).tolist() == [[1, 2, 3, 4.5], [10, 20, 30, 40]]  # type: ignore[union-attr]
    assert regions.boxes(paths[1]).tolist() == [[5, 6, 7, 8]]  # type: ignore[union-attr]
    assert regions.boxes(paths[2]) is None
    assert regions.boxes(paths[3]).shape == (0, 4)  # type: ignore[union-attr]
    assert regions.mask(paths[0]) is None


def test_files_are_relative_to_the_list_or_to_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all" / "lists").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    file = boxes_file(
        tmp_path / "all" / "lists", "../../data/a.jpg,1,2,3,4", "b.jpg,1,2,3,4", f"{tmp_path}/data/c.jpg,1,2,3,4"
    )
    monkeypatch.chdir(tmp_path)
    regions = read_regions(file, Path("data"), ["data/a.jpg", "data/b.jpg", "data/c.jpg", "data/d.jpg"])
    assert [regions.boxes(f"data/{name}.jpg") is not None for name in "abcd"] == [True, True, True, False]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("a.jpg,3,2,1,4", "'3', '2', '1', '4'"),
        ("a.jpg,1,2,3,2", "left < right and top < bottom"),
        ("a.jpg,1,2,x,4", "'x'"),
        ("a.jpg,1,2,,4", "''"),
        ("a.jpg,1,2,nan,4", "'nan'"),
        ("a.jpg,1,2,inf,4", "'inf'"),
    ],
)
def test_a_row_that_is_not_a_box_is_named_with_its_line(tmp_path: Path, row: str, text: str) -> None:
    with pytest.raises(DataError) as raised:
        read_regions(boxes_file(tmp_path, "a.jpg,1,2,3,4", row), tmp_path, [str(tmp_path / "a.jpg")])
    assert "Line 3" in str(raised.value) and "boxes.csv" in str(raised.value) and text in str(raised.value)


@pytest.mark.parametrize(("head", "missing"), [("name,left,top,right,bottom", "file"), ("file,left,top,w,h", "right")])
def test_a_missing_column_is_named(tmp_path: Path, head: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"no column '{missing}'"):
        read_regions(boxes_file(tmp_path, "a.jpg,1,2,3,4", head=head), tmp_path, [str(tmp_path / "a.jpg")])


def test_a_list_that_is_not_there_or_of_other_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv' does not exist"):
        read_regions(tmp_path / "none.csv", tmp_path, ["a.jpg"])
    with pytest.raises(DataError, match="any of 2 pictures"):
        read_regions(boxes_file(tmp_path, "a.jpg,1,2,3,4"), tmp_path, ["other/a.jpg", "b.jpg"])


@pytest.mark.parametrize("place", ["", "images/", "masks/"])
def test_masks_lie_in_their_folder_as_the_pictures_do(tmp_path: Path, place: str) -> None:
    save_mask(tmp_path / "look" / "train" / place / "s" / "a.b.png", [[0, 3], [1, 255]])
    paths = [str(tmp_path / "data" / "train" / "images" / "s" / name) for name in ("a.b.jpg", "b.jpg")]
    regions = read_regions(tmp_path / "look", tmp_path / "data", paths)
    assert regions.mask(paths[0]).tolist() == [[0, 1], [1, 255]]  # type: ignore[union-attr]
    assert regions.mask(paths[1]) is None and regions.boxes(paths[0]) is None
    assert pickle.loads(pickle.dumps(regions)).mask(paths[0]).shape == (2, 2)  # it is sent to worker processes


def test_white_is_the_region_in_a_black_and_white_mask(tmp_path: Path) -> None:
    save_mask(tmp_path / "look" / "a.png", [[0, 255], [0, 255]])
    regions = read_regions(tmp_path / "look", tmp_path, [str(tmp_path / "a.jpg")])
    assert regions.mask(str(tmp_path / "a.jpg")).tolist() == [[0, 1], [0, 1]]  # type: ignore[union-attr]


def test_masks_of_other_pictures_are_refused(tmp_path: Path) -> None:
    save_mask(tmp_path / "look" / "a.png", [[0, 1]])
    with pytest.raises(DataError, match="any of 1 picture;"):
        read_regions(tmp_path / "look", tmp_path, [str(tmp_path / "b.jpg")])


def test_the_fingerprint_is_that_of_older_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    boxes_file(Path(), "a.jpg,1,2,3,4.1", "b.jpg,,,,")
    regions = read_regions(Path("boxes.csv"), Path(), ["a.jpg", "b.jpg"])
    assert regions.fingerprint() == "77f369e6cb1341bca692ebf8904a1a5e664734de0c112b984430c0aa02439e6a"
