"""Masks of single objects: run lengths equal those of pycocotools, and lead back to the same pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from lookwhere_cli.errors import PictureError
from lookwhere_cli.output.masks.run_lengths import (
    area_of,
    decode,
    decode_part,
    encode_box,
    encode_outline,
    encode_part,
    polygons_of,
)


@st.composite
def parts(draw):
    """A mask of a part of a picture, and where it lies."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    top, left = draw(st.integers(0, height)), draw(st.integers(0, width))
    shape = draw(st.integers(0, height - top)), draw(st.integers(0, width - left))
    return draw(arrays(np.bool_, shape)), left, top, (height, width)


def whole(part, left, top, size):
    pixels = np.zeros(size, np.uint8, order="F")
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    return pixels


@given(parts())
def test_run_lengths_of_a_part_are_those_of_the_whole_mask(arguments):
    found, expected = encode_part(*arguments), coco.encode(whole(*arguments))
    assert found == {"size": list(expected["size"]), "counts": expected["counts"].decode()}
    assert (decode(found) == whole(*arguments)).all()
    assert area_of(found) == arguments[0].sum()


@given(parts())
def test_polygons_cover_the_same_pixels(arguments):
    shape = polygons_of(encode_part(*arguments))
    assert shape.is_valid and shape.area == arguments[0].sum()
    if not shape.is_empty:
        rows, columns = np.nonzero(whole(*arguments))
        assert shape.bounds == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


@given(parts())
def test_the_part_that_holds_a_mask(arguments):
    part, left, top = decode_part(encode_part(*arguments))
    assert (whole(part, left, top, arguments[3]) == whole(*arguments)).all()
    assert not part.size or (part.any(axis=1)[[0, -1]].all() and part.any(axis=0)[[0, -1]].all())


def test_a_part_of_a_giant_picture_takes_no_memory_for_the_rest():
    found = encode_part(np.ones((3, 2), np.bool_), 50_000, 60_000, (70_000, 60_000))
    assert area_of(found) == 6
    assert coco.toBbox(found).tolist() == [50_000, 60_000, 2, 3]
    assert polygons_of(found).bounds == (50_000, 60_000, 50_002, 60_003)
    with pytest.raises(PictureError, match="80000 x 100000 pixels can't be written as run lengths"):
        encode_part(np.ones((3, 2), np.bool_), 0, 0, (100_000, 80_000))


def test_outlines_of_every_kind():
    square = [[1, 1, 5, 1, 5, 4, 1, 4]]
    mask = encode_outline(square, (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1:4, 1:5] = True
    assert (decode(mask) == expected).all()
    assert encode_outline(mask, (6, 8)) == mask
    counts = {"size": [6, 8], "counts": [7, 3, 3, 3, 3, 3, 3, 3, 20]}
    assert (decode(encode_outline(counts, (6, 8))) == expected).all()
    two = encode_outline([*square, [6, 0, 8, 0, 8, 6, 6, 6]], (6, 8))
    assert area_of(two) == 12 + 12


@pytest.mark.parametrize(
    ("box", "area"), [((1, 1, 5, 4), 12), ((0.4, 0.6, 2.5, 2.5), 2), ((-5, -5, 99, 99), 48), ((3, 3, 3, 3), 0)]
)
def test_boxes_are_masks_of_the_pixels_whose_centres_they_hold(box, area):
    assert area_of(encode_box(box, (6, 8))) == area
