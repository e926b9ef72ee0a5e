"""Resampling of any cells of a grid to exactly the pixels that Pillow gives them when it resizes the whole picture."""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, Num, UInt8
from numpy import ndarray
from PIL import Image

_BITS = 22
"""Fractional bits of the integer weights that Pillow multiplies 8-bit pixels by."""
_CHUNK_VALUES = 1 << 19
"""Source values that are resampled together, in 4 MiB: few large calls let other threads run meanwhile."""
_WHOLE_SHARE = 1 / 2
"""From this share of the cells on, resizing all of the picture is faster than cutting each cell."""


class Axis(NamedTuple):
    """How one axis of a picture becomes cells: pixels start..stop, counted from `first`, become `cells` cells.

    first, last: the range of pixels that resampling reaches for. Pillow rounds a box's edges to single precision; all
    cells are resampled with the numbers of this one box, so that none depends on the others that are read.
    """

    first: int
    last: int
    start: float
    stop: float
    cells: int
    patch: int

    @property
    def pixels(self) -> int:
        """The number of pixels after resampling."""
        return self.cells * self.patch

    @property
    def is_copy(self) -> bool:
        """True if each pixel after resampling is one pixel before."""
        return self.start.is_integer() and self.stop - self.start == self.pixels


def axis(near: float, far: float, cells: int, patch: int, length: int) -> Axis:
    """Return how near..far of an axis of `length` pixels becomes `cells` cells of `patch` pixels each."""
    reach = 2 * max(1.0, (far - near) / (cells * patch)) + 1  # bicubic's, and 1 for the rounding of edges
    first, last = max(0, math.floor(near - reach)), min(length, math.ceil(far + reach))
    return Axis(first, last, near - first, min(far - first, last - first), cells, patch)


def all_cells(
    pixels: UInt8[ndarray, "height width 3"], down: Axis, across: Axis
) -> UInt8[ndarray, "rows columns patch patch 3"]:
    """Resample a picture, first across, then down, each rounded to 8 bits, and cut it into the cells of a grid."""
    source = Image.fromarray(pixels[down.first : down.last, across.first : across.last])
    narrowed = source.resize(
        (across.pixels, source.height), Image.Resampling.BICUBIC, (across.start, 0, across.stop, source.height)
    )
    box = (0, down.start, across.pixels, down.stop)
    resized = np.asarray(narrowed.resize((across.pixels, down.pixels), Image.Resampling.BICUBIC, box))
    return resized.reshape(down.cells, down.patch, across.cells, across.patch, 3).swapaxes(1, 2)


def some_cells(
    pixels: UInt8[ndarray, "height width 3"], down: Axis, across: Axis, cells: Int[ndarray, " k"]
) -> UInt8[ndarray, "k patch patch 3"]:
    """Return some of `all_cells`, each row * columns + column, at a cost that grows with their number."""
    rows, columns = np.unravel_index(cells, (down.cells, across.cells))
    if down.is_copy and across.is_copy:
        return _copied(pixels, down, across, rows, columns)
    if len(cells) > _WHOLE_SHARE * down.cells * across.cells:
        return all_cells(pixels, down, across)[rows, columns]
    (tops, heights), (lefts, widths) = cell_windows(down), cell_windows(across)
    return resampled(pixels, tops[rows], lefts[columns], heights, widths, rows, columns)


def resampled(
    pixels: UInt8[ndarray, "height width 3"],
    tops: Int[ndarray, " k"],
    lefts: Int[ndarray, " k"],
    heights: Float64[ndarray, "rows patch window"],
    widths: Float64[ndarray, "columns patch window"],
    rows: Int[ndarray, " k"],
    columns: Int[ndarray, " k"],
) -> UInt8[ndarray, "k patch patch 3"]:
    """Resample the windows of pixels with these corners, by the weights of each cell's row and column.

    heights, widths: see `cell_windows`.
    """
    patches = np.empty((len(rows), heights.shape[1], widths.shape[1], 3), np.uint8)
    size = heights.shape[2], widths.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(pixels, size, (0, 1))
    chunk = max(1, _CHUNK_VALUES // (3 * size[0] * size[1]))
    for start in range(0, len(rows), chunk):
        some = slice(start, start + chunk)
        window = windows[tops[some], lefts[some]].astype(np.float64)
        narrowed = _clipped(window @ widths[columns[some]][:, None].mT)
        np.floor(narrowed, out=narrowed)
        levels = _clipped(heights[rows[some]][:, None] @ narrowed)
        patches[some] = levels.transpose(0, 2, 3, 1)  # which rounds down
    return patches


def _copied(
    pixels: UInt8[ndarray, "height width 3"],
    down: Axis,
    across: Axis,
    rows: Int[ndarray, " k"],
    columns: Int[ndarray, " k"],
) -> UInt8[ndarray, "k patch patch 3"]:
    top, left = down.first + int(down.start), across.first + int(across.start)
    inner = pixels[top : top + down.pixels, left : left + across.pixels]
    return inner.reshape(down.cells, down.patch, across.cells, across.patch, 3)[rows, :, columns]


def _clipped(levels: Float64[ndarray, "..."]) -> Float64[ndarray, "..."]:
    """Add 1/2 to the levels, in place, and clip them to 0..255: rounded down, they are then what Pillow rounds to."""
    levels += 0.5
    return np.clip(levels, 0, 255, out=levels)


@lru_cache(maxsize=16)
def cell_windows(one: Axis) -> tuple[Int[ndarray, " cells"], Float64[ndarray, "cells patch window"]]:
    """Return the first source pixel of each cell's window, and the weights of the window's pixels.

    The weights are multiples of 2**-22: in double precision, sums of their products with pixels are exact.
    """
    first, last, weights = _weights(one)
    begin, end = first.reshape(one.cells, -1).min(1), last.reshape(one.cells, -1).max(1)
    window = int((end - begin).max())
    begin = np.minimum(begin, one.last - one.first - window)
    placed = np.zeros((one.pixels, window + weights.shape[1]))
    offsets = first - begin.repeat(one.patch)
    np.put_along_axis(placed, offsets[:, None] + np.arange(weights.shape[1]), weights, axis=1)
    return one.first + begin, np.ascontiguousarray(placed[:, :window]).reshape(one.cells, one.patch, window)


def _weights(one: Axis) -> tuple[Int[ndarray, " pixels"], Int[ndarray, " pixels"], Float64[ndarray, "pixels taps"]]:
    """Return the first and last source pixels of each resampled pixel, and Pillow's weights of those between."""
    scale = float(np.float32(one.stop) - np.float32(one.start)) / one.pixels
    stretch = max(scale, 1.0)
    centres = float(np.float32(one.start)) + (np.arange(one.pixels) + 0.5) * scale
    first = np.maximum((centres - 2 * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((centres + 2 * stretch + 0.5).astype(np.int64), one.last - one.first)
    taps = first[:, None] + np.arange((last - first).max())
    weights = np.where(taps < last[:, None], _bicubic((taps - centres[:, None] + 0.5) * (1 / stretch)), 0.0)
    weights /= weights.cumsum(1)[:, -1:]  # not sum: like Pillow, from left to right
    return first, last, np.trunc(weights * 2**_BITS + np.copysign(0.5, weights)) / 2**_BITS


def _bicubic(distances: Float64[ndarray, "..."]) -> Float64[ndarray, "..."]:
    x = np.abs(distances)
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def alias(array: Num[ndarray, "h w c"], height: int, width: int) -> Float32[ndarray, "height width c"]:
    """Resize an array bilinearly, with half-pixel centres and without antialiasing.

    This equals torch's interpolate(mode="bilinear", align_corners=False, antialias=False).
    """
    top, bottom, down = _neighbours(array.shape[0], height)
    left, right, across = _neighbours(array.shape[1], width)
    array = array.astype(np.float32)
    rows = array[top] * (1 - down)[:, None, None] + array[bottom] * down[:, None, None]
    resized = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    return resized.astype(np.float32, copy=False)


def _neighbours(
    length: int, resized: int
) -> tuple[Int[ndarray, " resized"], Int[ndarray, " resized"], Float32[ndarray, " resized"]]:
    """Return, for each position after resizing, the two source positions around it and the second one's weight."""
    half = np.float32(0.5)  # single precision, as in torch: in double, pixels would differ in their fifth digit
    centres = np.maximum((np.arange(resized, dtype=np.float32) + half) * np.float32(length / resized) - half, 0)
    lower: ndarray[Any, Any] = np.minimum(centres.astype(np.intp), length - 1)
    return lower, np.minimum(lower + 1, length - 1), (centres - lower).astype(np.float32)
