"""Where to look: read from a list of boxes or from masks, and shared out to cells."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.data.regions import boundaries, covered, read_look
from lookwhere_cli.data.sample import Sample
from lookwhere_cli.errors import DataError, UsageError

HEAD = "file,left,top,right,bottom"


def sample(height: int, width: int, **parts: torch.Tensor) -> Sample:
    return Sample(torch.zeros(3, height, width, dtype=torch.uint8), **parts)


def boxes(*boxes: tuple[float, float, float, float]) -> torch.Tensor:
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)


def listed(folder: Path, *lines: str, head: str = HEAD) -> Path:
    file = folder / "boxes.csv"
    file.write_text("\n".join([head, *lines]) + "\n")
    return file


def save_mask(file: Path, values: list[list[int]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype=np.uint8)).save(file)


def test_a_list_of_boxes_is_read(tmp_path: Path) -> None:
    file = listed(
        tmp_path, "a.jpg,1,2,3,4.5,9", "sub/b.jpg, 5,6,7,8,9", "a.jpg,10,20,30,40,9", "d.jpg,,,,,", head=HEAD + ",more"
    )
    paths = [str(tmp_path / name) for name in ("a.jpg", "sub/b.jpg", "c.jpg", "d.jpg")]
    look = read_look(file, tmp_path, paths)
    assert look.boxes(paths[0]).tolist() == [[1, 2, 3, 4.5], [10, 20, 30, 40]]  # type: ignore[union-attr]
    assert look.boxes(paths[1]).tolist() == [[5, 6, 7, 8]]  # type: ignore[union-attr]
    assert look.boxes(paths[2]) is None
    assert look.boxes(paths[3]).shape == (0, 4)  # type: ignore[union-attr]
    assert look.mask(paths[0]) is None


def test_files_are_relative_to_the_list_or_to_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "all" / "lists").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    file = listed(
        tmp_path / "all" / "lists", "../../data/a.jpg,1,2,3,4", "b.jpg,1,2,3,4", f"{tmp_path}/data/c.jpg,1,2,3,4"
    )
    monkeypatch.chdir(tmp_path)
    look = read_look(file, Path("data"), ["data/a.jpg", "data/b.jpg", "data/c.jpg", "data/d.jpg"])
    assert [look.boxes(f"data/{name}.jpg") is not None for name in "abcd"] == [True, True, True, False]


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
def test_what_is_no_box_is_named_with_its_line(tmp_path: Path, row: str, text: str) -> None:
    with pytest.raises(DataError) as raised:
        read_look(listed(tmp_path, "a.jpg,1,2,3,4", row), tmp_path, [str(tmp_path / "a.jpg")])
    assert "Line 3" in str(raised.value) and "boxes.csv" in str(raised.value) and text in str(raised.value)


@pytest.mark.parametrize(("head", "missing"), [("name,left,top,right,bottom", "file"), ("file,left,top,w,h", "right")])
def test_a_list_without_a_column_says_which(tmp_path: Path, head: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"no column '{missing}'"):
        read_look(listed(tmp_path, "a.jpg,1,2,3,4", head=head), tmp_path, [str(tmp_path / "a.jpg")])


def test_a_list_that_is_not_there_or_of_other_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.csv' is not there"):
        read_look(tmp_path / "none.csv", tmp_path, ["a.jpg"])
    with pytest.raises(DataError, match="none of the 2 pictures"):
        read_look(listed(tmp_path, "a.jpg,1,2,3,4"), tmp_path, ["other/a.jpg", "b.jpg"])


@pytest.mark.parametrize("place", ["", "images/", "masks/"])
def test_masks_lie_as_the_pictures_do(tmp_path: Path, place: str) -> None:
    save_mask(tmp_path / "look" / "train" / place / "s" / "a.b.png", [[0, 3], [1, 255]])
    paths = [str(tmp_path / "data" / "train" / "images" / "s" / name) for name in ("a.b.jpg", "b.jpg")]
    look = read_look(tmp_path / "look", tmp_path / "data", paths)
    assert look.mask(paths[0]).tolist() == [[0, 1], [1, 255]]  # type: ignore[union-attr]
    assert look.mask(paths[1]) is None and look.boxes(paths[0]) is None
    assert pickle.loads(pickle.dumps(look)).mask(paths[0]).shape == (2, 2)  # workers are given it


def test_white_is_where_to_look_in_a_black_and_white_mask(tmp_path: Path) -> None:
    save_mask(tmp_path / "look" / "a.png", [[0, 255], [0, 255]])
    look = read_look(tmp_path / "look", tmp_path, [str(tmp_path / "a.jpg")])
    assert look.mask(str(tmp_path / "a.jpg")).tolist() == [[0, 1], [0, 1]]  # type: ignore[union-attr]


def test_masks_of_other_pictures_are_refused(tmp_path: Path) -> None:
    save_mask(tmp_path / "look" / "a.png", [[0, 1]])
    with pytest.raises(DataError, match="none of the 1 pictures"):
        read_look(tmp_path / "look", tmp_path, [str(tmp_path / "b.jpg")])


def test_covered_is_each_cells_share() -> None:
    grid, patch = (2, 3), 4
    told = sample(8, 12, boxes=boxes((0, 0, 4, 4), (6, 2, 10, 6)))
    assert covered(told, grid, patch).tolist() == [1, 0.25, 0.25, 0, 0.25, 0.25]
    overlapping = sample(8, 12, boxes=boxes((0, 0, 2, 4), (1, 0, 3, 4)))
    assert covered(overlapping, grid, patch).tolist() == [0.75, 0, 0, 0, 0, 0]
    tiny = sample(8, 12, boxes=boxes((5.4, 1.4, 5.6, 1.6)))
    assert covered(tiny, grid, patch).tolist() == [0, 1 / 16, 0, 0, 0, 0]


def test_covered_is_zero_where_nothing_is_known() -> None:
    for told in (sample(8, 12), sample(8, 12, boxes=boxes())):
        assert covered(told, (2, 3), 4).tolist() == [0] * 6


def test_covered_joins_look_and_boxes_and_leaves_out_the_unknown() -> None:
    look = torch.zeros(4, 8, dtype=torch.uint8)
    look[:2, :4] = 1
    look[2:, 2:4] = 255
    before = look.clone()
    told = sample(4, 8, look=look, boxes=boxes((4, 0, 6, 4)))
    assert covered(told, (1, 2), 4).tolist() == pytest.approx([8 / 12, 0.5])
    assert look.equal(before)
    assert covered(sample(4, 8, look=torch.full((4, 8), 255, dtype=torch.uint8)), (1, 2), 4).tolist() == [0, 0]


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9), st.data())
def test_covered_adds_up_to_the_box(rows: int, columns: int, patch: int, data: st.DataObject) -> None:
    height, width = rows * patch, columns * patch
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    shares = covered(sample(height, width, boxes=boxes((left, top, right, bottom))), (rows, columns), patch)
    assert shares.shape == (rows * columns,) and shares.dtype == torch.float32
    assert shares.min() >= 0 and shares.max() <= 1
    assert float(shares.sum()) * patch**2 == pytest.approx((right - left) * (bottom - top))


def test_boundaries_are_where_classes_meet() -> None:
    mask = torch.tensor(
        [
            [5, 5, 5, 1, 255, 255],
            [5, 5, 2, 3, 255, 255],
            [0, 0, 254, 254, 9, 255],
            [0, 1, 254, 254, 4, 255],
        ],
        dtype=torch.uint8,
    )
    assert boundaries(mask, (2, 3)).tolist() == pytest.approx([0, 0.75, 0, 0.25, 0, 0.5])


@given(st.integers(0, 1000))
def test_boundaries_agree_with_counting_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (6, 9))
    expected = []
    for row in range(2):
        for column in range(3):
            values = mask[row * 3 : row * 3 + 3, column * 3 : column * 3 + 3]
            known = values[values != 255]
            expected.append(1 - max(np.bincount(known)) / len(known) if len(known) else 0)
    assert boundaries(torch.from_numpy(mask), (2, 3)).tolist() == pytest.approx(expected)
