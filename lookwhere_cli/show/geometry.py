"""The cell of each pixel of a picture, at any resolution that the picture is shown at."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int, UInt8

from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.view import View

CellPositions: TypeAlias = Sequence[Sequence[int]]
"""Chosen cells as (row, column) pairs, best first."""

GridBox: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom of the part of a picture that the grid covers."""

WHOLE: GridBox = (0.0, 0.0, 1.0, 1.0)
"""The box of a grid that covers the whole picture, as shares of its sides."""

OVERVIEW_SIDE = 2048
"""The longer side, in pixels, of slides and rasters where they are drawn on."""

OUTSIDE = -1
"""The index given to pixels outside the grid."""


def cells_along(pixels: int, start: float, stop: float, cells: int) -> Int[np.ndarray, " pixels"]:
    """Return, for each of `pixels` along one side, the cell (0..cells-1) that holds its centre, or OUTSIDE.

    start, stop: the ends of the grid along that side, in pixels.
    """
    centres = np.arange(pixels) + 0.5
    cell = np.floor((centres - start) * cells / (stop - start)).astype(np.intp)
    # Rounding must move no centre across the grid's ends.
    return np.where((centres >= start) & (centres < stop), cell.clip(0, cells - 1), OUTSIDE)


def cell_of(
    row: Int[np.ndarray, " height"], column: Int[np.ndarray, " width"], columns: int
) -> Int[np.ndarray, "height width"]:
    """Join rows and columns of cells into cell indices, or OUTSIDE."""
    inside = (row[:, None] != OUTSIDE) & (column[None, :] != OUTSIDE)
    return np.where(inside, row[:, None] * columns + column[None, :], OUTSIDE)


def cells_of_pixels(
    height: int, width: int, grid: tuple[int, int], share: GridBox = WHOLE
) -> Int[np.ndarray, "height width"]:
    """Return the cell index of each pixel of a picture shown at (height, width), or OUTSIDE.

    grid: (rows, columns). share: the box of the grid, as shares (0..1) of the picture's sides.
    """
    left, top, right, bottom = share
    row = cells_along(height, top * height, bottom * height, grid[0])
    column = cells_along(width, left * width, right * width, grid[1])
    return cell_of(row, column, grid[1])


def chosen_mask(grid: tuple[int, int], cells: CellPositions) -> Bool[np.ndarray, " cells_and_outside"]:
    """Return True at the index of each chosen cell. The last entry, at index OUTSIDE, is False."""
    mask = np.zeros(grid[0] * grid[1] + 1, dtype=np.bool_)
    for row, column in cells:
        mask[row * grid[1] + column] = True
    return mask


def inner_edge(lit: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of a mask that have a neighbour outside it, on one of four sides."""
    framed = np.pad(lit, 1)
    inside = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return lit & ~inside


def pixels_of(view: View, side: int) -> UInt8[np.ndarray, "height width 3"]:
    """Return the part of a picture that its grid covers, in its shape, with a longer side of `side` pixels."""
    left, top, right, bottom = view.box
    scale = side / max(right - left, bottom - top)
    height, width = (max(1, round(length * scale)) for length in (bottom - top, right - left))
    return np.clip(view.thumbnail(height, width), 0, 255).astype(np.uint8)


def shown_size(view: View) -> tuple[int, int]:
    """Return the (height, width) at which a picture is drawn on: its own, or that of an overview if it is large."""
    if not is_large(view.source):
        return view.size
    scale = min(1.0, OVERVIEW_SIDE / max(view.size))
    return max(1, round(view.size[0] * scale)), max(1, round(view.size[1] * scale))


def scaled_box(box: GridBox, full: tuple[int, int], shown: tuple[int, int]) -> GridBox:
    """Return where a box of a picture of a full (height, width) lies as the picture is shown."""
    down, across = shown[0] / full[0], shown[1] / full[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def fit(height: int, width: int, max_height: int, max_width: int) -> tuple[int, int]:
    """Scale (height, width) to the largest size within the limits that keeps its shape; each side is at least 1."""
    scale = min(max_height / height, max_width / width)
    return (
        min(max_height, max(1, round(height * scale))),
        min(max_width, max(1, round(width * scale))),
    )
