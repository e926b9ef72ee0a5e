"""Windows and regions of large pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.data.large.cutting import CutPicture, WindowCutting, content_of, divide, lay_out, window_side
from lookwhere_cli.data.large.drawn import ClassPolygon, DrawnMask, draw_polygons
from lookwhere_cli.data.large.find import LargePicture
from lookwhere_cli.data.large.shapes import DrawnShape
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.large.base import Spacing
from tests.large_sources import ArraySource

LENGTHS = st.integers(1, 300)


def shape(left, top, right, bottom, label="cell"):
    ring = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)
    return DrawnShape("Feature 1 of 'a.geojson'", label, np.zeros((0, 2)), ((ring,),))


def cut_picture(source, side, shapes=()):
    return CutPicture(LargePicture(source.path, None), source.size, side, list(shapes), content_of(source, side))


@given(LENGTHS, LENGTHS, st.integers(1, 100), st.sampled_from([0.0, 0.2, 0.5]))
def test_windows_cover_the_region_and_stay_in_it(width, height, side, overlap):
    covered = np.zeros((height, width), np.bool_)
    for left, top, right, bottom in lay_out((7, 3, 7 + width, 3 + height), side, overlap) - [7, 3, 7, 3]:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert right - left == min(side, width)
        covered[top:bottom, left:right] = True
    assert covered.all()


@given(LENGTHS, LENGTHS, st.integers(1, 100))
def test_regions_share_no_pixels_and_leave_none_out(width, height, side):
    source = ArraySource(np.zeros((height, width, 3), np.uint8))
    times = np.zeros((height, width), int)
    for left, top, right, bottom in divide(cut_picture(source, side, [shape(0, 0, 1, 1)])).values():
        times[top:bottom, left:right] += 1
    assert (times == 1).all()


def test_regions_get_smaller_until_ten_have_labels():
    source = ArraySource(np.zeros((400, 400, 3), np.uint8))
    spread = [shape(x, y, x + 1, y + 1) for x in range(10, 400, 80) for y in range(10, 400, 80)]
    close = [shape(x, y, x + 1, y + 1) for x in range(2, 80, 20) for y in range(2, 80, 20)]
    assert len(divide(cut_picture(source, 10, spread))) == 25
    assert len(divide(cut_picture(source, 10, close))) > 25


def test_a_window_holds_something_on_a_tenth_of_its_area():
    pixels = np.full((80, 80, 3), 255, np.uint8)
    pixels[:, :40] = 100
    windows = np.array([(0, 0, 40, 40), (40, 0, 80, 40), (34, 0, 74, 40), (40, 40, 80, 80)])
    assert cut_picture(ArraySource(pixels), 40).holds_something(windows).tolist() == [True, False, True, False]


def test_the_side_follows_the_size_of_a_pixel():
    source = ArraySource(np.zeros((8, 8, 3), np.uint8), spacing=Spacing(0.25, 0.25, "µm"))
    assert window_side(source, WindowCutting(224, mpp=0.5)) == 448
    assert window_side(source, WindowCutting(224)) == 224
    with pytest.raises(DataError, match="has pixels in µm, which --gsd needs"):
        window_side(source, WindowCutting(224, gsd=0.5))
    with pytest.raises(DataError, match="does not tell the size of its pixels, which --mpp needs"):
        window_side(ArraySource(np.zeros((8, 8, 3), np.uint8)), WindowCutting(224, mpp=0.5))


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 20), st.integers(1, 20))
def test_a_rectangle_is_drawn_to_the_pixel(left, top, width, height):
    (ring,) = shape(left, top, left + width, top + height).polygons[0]
    drawn = draw_polygons([ClassPolygon((ring,), 7)], (3, 5), (30, 30), (30, 30), 0)
    expected = np.zeros((30, 30), np.uint8)
    expected[max(0, top - 5) : max(0, top - 5 + height), max(0, left - 3) : max(0, left - 3 + width)] = 7
    assert np.array_equal(drawn, expected)


def test_holes_are_left_and_later_polygons_lie_above():
    outer, hole = shape(0, 0, 10, 10).polygons[0][0], shape(2, 2, 8, 8).polygons[0][0]
    inner = shape(4, 4, 6, 6).polygons[0][0]
    drawn = draw_polygons([ClassPolygon((outer, hole), 1), ClassPolygon((inner,), 2)], (0, 0), (12, 12), (12, 12), 0)
    assert drawn[1, 1] == 1
    assert drawn[3, 3] == 0
    assert drawn[5, 5] == 2
    assert drawn[11, 11] == 0


def test_a_mask_is_named_by_what_it_shows():
    ring = shape(0, 0, 4, 4).polygons[0]
    one = DrawnMask("a", (ClassPolygon(ring, 1),), (0, 0), (8, 8), 0)
    other = DrawnMask("a", (ClassPolygon(ring, 2),), (0, 0), (8, 8), 0)
    assert one != other
    assert one == DrawnMask("a", (ClassPolygon(ring, 1),), (0, 0), (8, 8), 0)
