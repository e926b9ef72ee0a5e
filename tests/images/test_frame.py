import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.images.frame import Reading, frame_for, grid_for

lengths = st.integers(1, 70_000)
sizes = st.sampled_from([(14, 14), (16, 224), (14, 518), (16, 384), (14, 994)])


@given(lengths, lengths, sizes)
def test_a_grid_stays_within_its_budget_and_turns_with_the_picture(height, width, size):
    patch, pixels = size
    rows, columns = grid_for(height, width, pixels, patch)
    assert rows >= 1
    assert columns >= 1
    assert rows * columns <= (pixels // patch) ** 2
    assert grid_for(width, height, pixels, patch) == (columns, rows)


@given(lengths, sizes)
def test_a_square_gets_a_square(side, size):
    patch, pixels = size
    assert grid_for(side, side, pixels, patch) == (pixels // patch, pixels // patch)


@given(st.integers(100, 5000), st.floats(1, 3))
def test_shape_and_area_of_common_pictures_are_nearly_kept(height, ratio):
    width = round(height * ratio)
    rows, columns = grid_for(height, width, 224, 16)
    assert abs(math.log(columns / rows * height / width)) < 0.1
    assert rows * columns >= 0.85 * 14 * 14


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (375, 500, (12, 16)), (500, 375, (16, 12)), (2, 3, (11, 17)), (9, 16, (10, 18)), (1, 1, (14, 14)),
        (10, 20_000, (1, 196)), (65_000, 20, (196, 1)), (100, 1000, (4, 40)),
    ],
)  # fmt: skip
def test_grids_at_224_pixels(height, width, grid):
    assert grid_for(height, width, 224, 16) == grid


@pytest.mark.parametrize("mode", ["whole", "crop", "stretch"])
@pytest.mark.parametrize("size", [16, 8])
def test_a_size_of_one_patch_or_less_gives_one_cell(mode, size):
    assert frame_for(300, 400, Reading(16, size, mode))[0] == (1, 1)


def test_boxes():
    assert frame_for(300, 400, Reading(16, 224)) == ((12, 16), (0, 0, 400, 300))
    assert frame_for(300, 400, Reading(16, 224, "stretch")) == ((14, 14), (0, 0, 400, 300))
    assert frame_for(300, 400, Reading(16, 224, "crop", crop_share=0.5)) == ((14, 14), (125, 75, 275, 225))


@given(lengths, lengths, st.floats(0.1, 1))
def test_a_centre_square_lies_inside_the_picture(height, width, share):
    grid, (left, top, right, bottom) = frame_for(height, width, Reading(16, 224, "crop", crop_share=share))
    assert grid == (14, 14)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert right - left == pytest.approx(bottom - top) == pytest.approx(share * min(height, width))
