import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.orientation import TURNS
from lookwhere_cli.images.view import open_view
from tests.images.pictures import noise

orientations = st.integers(1, 8)


def displayed(pixels, orientation):
    """Turn stored pixels as Pillow does."""
    picture = Image.fromarray(pixels)
    picture.getexif()[274] = orientation
    return np.asarray(ImageOps.exif_transpose(picture))


@given(orientations, st.integers(1, 9), st.integers(1, 9))
def test_a_stored_view_is_the_picture_before_its_turn(orientation, height, width):
    pixels = noise(height, width)
    upright = displayed(pixels, orientation)
    np.testing.assert_array_equal(TURNS[orientation].stored_view(upright), pixels)
    assert TURNS[orientation].size(height, width) == upright.shape[:2]


@given(orientations, st.integers(1, 9), st.integers(1, 9), st.data())
def test_a_box_turns_with_its_pixels(orientation, height, width, data):
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = left, top, data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    pixels, turn = noise(height, width), TURNS[orientation]
    x0, y0, x1, y1 = turn.displayed_box(box, height, width)
    inner = displayed(pixels, orientation)[y0:y1, x0:x1]
    np.testing.assert_array_equal(turn.stored_view(inner), pixels[box[1] : box[3], box[0] : box[2]])
    assert turn.stored_box((x0, y0, x1, y1), height, width) == box


def waves(height, width):
    """Three waves across, two down: half a decoded pixel of shift changes their pixels by many levels."""
    y, x = np.mgrid[:height, :width]
    across, down = np.sin((x + 0.5) / width * 6 * np.pi), np.cos((y + 0.5) / height * 4 * np.pi)
    return np.stack([128 + 110 * across, 128 + 110 * down, 128 + 110 * across * down], axis=-1).astype(np.uint8)


def encoded(pixels, kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, exif=exif, quality=98, subsampling=0)
    return stream.getvalue()


@pytest.mark.parametrize("mode", ["whole", "crop", "stretch"])
@pytest.mark.parametrize(("kind", "mean", "most"), [("JPEG", 1, 8), ("PNG", 0.3, 2)])
@settings(deadline=None, max_examples=25)
@given(
    orientation=orientations,
    height=st.integers(130, 700),
    width=st.integers(130, 700),
    cells=st.sampled_from([12, 16, 21]),
)
def test_a_turned_picture_is_read_as_its_upright_twin(kind, mean, most, mode, orientation, height, width, cells):
    """JPEGs are decoded at 1 to 1/8 of their size, and both are reduced; no side need be a multiple of anything."""
    reading, upright = Reading(4, 4 * cells, mode), waves(height, width)
    turned = open_view(encoded(TURNS[orientation].stored_view(upright), kind, orientation), reading)
    twin = open_view(encoded(upright, kind, 1), reading)
    assert (turned.size, turned.grid, turned.box) == (twin.size, twin.grid, twin.box)
    every = np.arange(twin.grid[0] * twin.grid[1])
    for one, other in (
        (turned.patches(every), twin.patches(every)),
        (turned.thumbnail(40, 40), twin.thumbnail(40, 40)),
    ):
        error = np.abs(one.astype(int) - other)
        assert error.mean() < mean
        assert error.max() <= most
