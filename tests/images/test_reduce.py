import io
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.reduce import Reduction, reduction_for
from lookwhere_cli.images.view import open_view, view_of
from tests.images.pictures import noise, smooth

KINDS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "AVIF", "PPM", "array", "image")


def opened(pixels, kind, reading):
    if kind == "array":
        return view_of(pixels, reading)
    picture = Image.fromarray(pixels)
    if kind == "image":
        return view_of(picture, reading)
    stream = io.BytesIO()
    picture.save(stream, kind)
    return open_view(stream, reading)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=10)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from(["whole", "crop", "stretch"]),
    st.integers(2, 5),
    st.floats(0.3, 1),
)
def test_no_picture_keeps_more_than_twice_its_grids_pixels(kind, height, width, mode, cells, share):
    view = opened(noise(height, width), kind, Reading(16, 16 * cells, mode, crop_share=share))
    rows, columns, _ = view.source.pixels.shape
    assert rows <= 2 * 16 * view.grid[0]
    assert columns <= 2 * 16 * view.grid[1]
    assert view.nbytes == rows * columns * 3
    assert view.size == (height, width)


@pytest.mark.parametrize("mode", ["whole", "crop", "stretch"])
@settings(deadline=None, max_examples=40)
@given(st.integers(40, 600), st.integers(40, 600), st.integers(4, 12))
def test_reducing_and_cropping_shift_nothing(mode, height, width, cells):
    pixels = smooth(height, width)
    view = view_of(pixels, Reading(4, 4 * cells, mode))
    assume(view.source.pixels.shape[:2] != (height, width))
    size = (2 * cells, 2 * cells)
    expected = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, tuple(map(float, view.box)))
    error = np.abs(view.thumbnail(*size).astype(int) - expected)
    assert error.mean() < 1
    assert error.max() <= 4


def test_a_long_picture_is_cropped_but_not_reduced_if_the_part_that_is_read_is_small():
    pixels = noise(100, 1000)
    view = view_of(pixels, Reading(4, 80, "crop", crop_share=1))
    assert view.grid == (20, 20)
    left = 450 - 5  # the pixels that resampling reaches for
    np.testing.assert_array_equal(view.source.pixels, pixels[:, left : 550 + 5])
    assert view.source.place == (-left, 0, 1000 - left, 100)


def test_a_large_picture_is_reduced_band_by_band_to_what_resizing_it_at_once_gives():
    pixels = smooth(2400, 3200)
    view = view_of(pixels, Reading(16, 224))
    assert view.source.pixels.shape == (2 * 192, 2 * 256, 3)
    once = Image.fromarray(pixels).resize((512, 384), Image.Resampling.BICUBIC)
    assert np.abs(view.source.pixels.astype(int) - once).max() <= 1


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "I;16", "F"])
def test_bands_do_not_show(mode):
    """Each kind of pixel is converted and reduced in bands; soft gradients stay soft across them."""
    slope = Image.linear_gradient("L").resize((1500, 3000), Image.Resampling.BICUBIC)
    picture = slope.convert("L" if mode == "I;16" else mode).convert(mode)
    view = view_of(picture, Reading(16, 224, "stretch"))
    assert view.source.pixels.shape == (448, 448, 3)
    steps = np.diff(view.source.pixels[:, 224].astype(int), axis=0)
    assert np.abs(steps).max() <= 3


@given(st.floats(0, 300), st.floats(1, 300), st.integers(12, 60), st.floats(1, 1000))
def test_a_reduced_axis_holds_the_part_that_is_read(near, side, grid_pixels, extent):
    assume(near + side <= extent)
    length = math.ceil(extent)
    reduction = reduction_for(near, near + side, grid_pixels, extent, length)
    assert 0 <= reduction.start <= near + 1e-6
    assert near + side - 1e-6 <= reduction.stop <= length
    assert 1 <= reduction.pixels <= 2 * grid_pixels
    assert reduction.scale >= 1 or reduction.scale == pytest.approx(1)


@given(st.floats(0, 50), st.floats(100, 900), st.integers(1, 100), st.data())
def test_the_decoded_range_of_a_band_is_what_bicubic_reaches_for(start, stop, pixels, data):
    reduction, length = Reduction(start, stop, pixels), math.ceil(stop)
    first = data.draw(st.integers(0, pixels - 1))
    last = data.draw(st.integers(first + 1, pixels))
    scale = (stop - start) / pixels
    reach = 2 * scale if scale > 1 else 0
    begin, end = max(0, start + first * scale - reach), min(length, start + last * scale + reach)
    assert reduction.decoded(first, last, length) == (math.floor(begin), math.ceil(end))
