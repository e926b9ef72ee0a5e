import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.images.large.levels import Extent, Level, scale_for

PYRAMID = [Level((4000 // step, 8000 // step), (step, step), (256, 256)) for step in (1, 2, 4, 8)]


@pytest.mark.parametrize(("pixels", "number"), [(0.5, 0), (1, 0), (1.9, 0), (2, 1), (7.9, 2), (8, 3), (500, 3)])
def test_the_coarsest_level_with_a_pixel_for_each_is_chosen(pixels, number):
    assert scale_for(PYRAMID, pixels, pixels).number == number


def test_a_level_may_be_coarser_by_the_rounding_of_its_size():
    assert scale_for([Level((101, 101), (1, 1), (64, 64)), Level((50, 50), (2.02, 2.02), (64, 64))], 2, 2).number == 1


@given(st.floats(0.1, 2000), st.floats(0.1, 2000), st.sampled_from([(256, 256), (240, 240), (100, 7000), (1, 8000)]))
def test_averaging_leaves_two_to_four_pixels_for_each(down, across, tile):
    level = Level((4000, 8000), (1, 1), tile)
    scale = scale_for([level], down, across)
    for pixels, step in zip((down, across), scale.step, strict=True):
        assert step == 1 or 2 <= pixels / step < 4 or step == 1024


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0.5, 300))
def test_blocks_cover_a_level_once(height, width, pixels):
    level = Level((height, width), (1, 1), (37, 53))
    scale = scale_for([level], pixels, pixels)
    whole = Extent(0, 0, *scale.size)
    covered = [scale.stored(row, column, level) for row, column in whole.pieces(scale.block)]
    assert sum(extent.height * extent.width for extent in covered) == height * width
    assert len(set(covered)) == len(covered)


def test_narrow_strips_are_decoded_together():
    assert Level((8000, 8000), (1, 1), (1, 8000)).unit == (32, 8000)
    assert Level((8000, 8000), (1, 1), (64, 64)).unit == (64, 64)
