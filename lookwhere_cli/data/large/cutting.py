"""Where a large picture is cut into windows, and which of them hold something."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from lookwhere_cli.data.large.find import LargePicture
from lookwhere_cli.data.large.shapes import DrawnShape
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.large.base import LargeSource

LabelTask = Literal["detect", "segment", "classify"]
"""What windows are labelled with: boxes, masks, or a class of the whole window."""
IGNORED_REST = "ignore"
"""Instead of a class: places without a label are not trained on."""
HELD = 0.1
"""The least share of a window without labels that must hold something."""
_DETAIL = 8
"""Places along each side of a window at which it is looked up whether it holds something."""
_REGIONS, _LABELLED_REGIONS = 5, 10
"""Regions along each side of a picture that is divided, at first, and of all of them those that must have labels."""
PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom in whole pixels."""


@dataclass(frozen=True)
class WindowCutting:
    """How large pictures are cut into windows for training.

    Attributes:
        side: of a window, in pixels: of full resolution, or as large as `mpp` or `gsd` says.
        overlap: share of a window that the next one shows, too; None: 0.2 for boxes, else 0.
        negatives: windows without a label for each one with labels; None: all that hold something.
        task: None for what the labels are: rectangles, other polygons, or points.
        unlabelled: the class of what has no label, in masks and of windows; "ignore": it is not trained on.
        mpp, gsd: microns or metres that a pixel of a window covers; None for pixels of full resolution.
        bands, stretch_range: of rasters; see `Reading`.
    """

    side: int
    overlap: float | None = None
    negatives: float | None = 1.0
    task: LabelTask | None = None
    unlabelled: str = "background"
    mpp: float | None = None
    gsd: float | None = None
    bands: tuple[int, ...] = ()
    stretch_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class CutPicture:
    """A large picture that is ready to be cut.

    size: (height, width). side: of a window in full-resolution pixels. content: the share of each place that holds
    something, over all of the picture.
    """

    record: LargePicture
    size: tuple[int, int]
    side: int
    shapes: Sequence[DrawnShape]
    content: Float32[ndarray, "rows columns"]

    def holds_something(self, windows: Int64[ndarray, "n 4"]) -> Bool[ndarray, " n"]:
        """Return which windows hold something on a tenth of their area or more."""
        sums = np.pad(self.content.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        rows, columns = self.content.shape
        scale = np.array([columns / self.size[1], rows / self.size[0]] * 2)
        scaled = windows * scale
        left, top = np.floor(scaled[:, :2] + 1e-6).astype(int).T
        right, bottom = np.ceil(scaled[:, 2:] - 1e-6).astype(int).T
        held = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
        return np.asarray(held >= HELD * (bottom - top) * (right - left))


def window_side(source: LargeSource, cutting: WindowCutting) -> int:
    """Return the side of a window in full-resolution pixels. Raises DataError where the size of a pixel is unknown."""
    wanted, unit = (cutting.mpp, "µm") if cutting.mpp is not None else (cutting.gsd, "m")
    if wanted is None:
        return cutting.side
    spacing = source.spacing
    if spacing is None or spacing.unit != unit:
        known = "does not tell the size of its pixels" if spacing is None else f"has pixels in {spacing.unit}"
        option = "--mpp" if unit == "µm" else "--gsd"
        raise DataError(f"{source.path!r} {known}, which {option} needs; leave {option} out.")
    return max(1, round(cutting.side * wanted / math.sqrt(spacing.across * spacing.down)))


def content_of(source: LargeSource, side: int) -> Float32[ndarray, "rows columns"]:
    """Return which places of a picture hold something, with 8 along the side of a window."""
    height, width = source.size
    rows, columns = (math.ceil(length * _DETAIL / side) for length in (height, width))
    return source.content((0.0, 0.0, float(width), float(height)), rows, columns)


def lay_out(region: PixelBox, side: int, overlap: float) -> Int64[ndarray, "windows 4"]:
    """Return the windows of a region, row by row. The last ones end with it; a smaller region is one window."""
    left, top, right, bottom = region
    lefts, tops = _starts(left, right, side, overlap), _starts(top, bottom, side, overlap)
    width, height = min(side, right - left), min(side, bottom - top)
    return np.array([(x, y, x + width, y + height) for y in tops for x in lefts], np.int64)


def _starts(first: int, end: int, side: int, overlap: float) -> list[int]:
    last = max(first, end - side)
    return [*range(first, last, max(1, round(side * (1 - overlap)))), last]


def divide(picture: CutPicture) -> dict[str, PixelBox]:
    """Divide a picture into regions, by names such as "2,3" (row, column), so that ten or more of them have labels.

    There are 5 x 5 or, if labels lie close together, more, until each is a window.
    """
    most = [max(1, length // picture.side) for length in picture.size]
    number = _REGIONS
    while True:
        rows, columns = (_edges(length, min(number, one)) for length, one in zip(picture.size, most, strict=True))
        if number >= max(most) or _with_labels(picture.shapes, rows, columns) >= _LABELLED_REGIONS:
            break
        number *= 2
    return {
        f"{row + 1},{column + 1}": (columns[column], rows[row], columns[column + 1], rows[row + 1])
        for row in range(len(rows) - 1)
        for column in range(len(columns) - 1)
    }


def _edges(length: int, parts: int) -> list[int]:
    return [round(length * part / parts) for part in range(parts + 1)]


def _with_labels(shapes: Sequence[DrawnShape], rows: Sequence[int], columns: Sequence[int]) -> int:
    """Return the number of regions in which the middle of a shape lies."""
    bounds = np.array([shape.bounds for shape in shapes]).reshape(-1, 4)
    x, y = bounds[:, 0::2].mean(axis=1), bounds[:, 1::2].mean(axis=1)
    return len(set(zip(np.searchsorted(rows, y).tolist(), np.searchsorted(columns, x).tolist(), strict=True)))
