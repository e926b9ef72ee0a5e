"""Which pixel of a picture belongs to which cell, at any resolution it is shown in."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Cells = Sequence[Sequence[int]]
"""Chosen cells as (row, column) pairs, best first."""

Box = tuple[float, float, float, float]
"""Left, top, right, bottom of the part of a picture that the grid covers."""

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
"""The box of a grid that covers the picture, in shares of its sides."""

OUTSIDE = -1
"""Stands for the cell of a pixel that no cell covers."""


def cells_along(pixels: int, start: float, stop: float, cells: int) -> NDArray[np.intp]:
    """Give each of `pixels` along one side the cell, 0..cells-1, that holds its centre, or OUTSIDE.

    `start` and `stop` are the ends of the grid along that side, in pixels.
    """
    centres = np.arange(pixels) + 0.5
    cell = np.floor((centres - start) * cells / (stop - start)).astype(np.intp)
    # A centre within the grid can't leave it by rounding; one outside it can't be drawn in.
    return np.where((centres >= start) & (centres < stop), cell.clip(0, cells - 1), OUTSIDE)


def cell_of(row: NDArray[np.intp], column: NDArray[np.intp], columns: int) -> NDArray[np.intp]:
    """Join cells along the two sides, (height,) and (width,), into cell indices (height, width), or OUTSIDE."""
    inside = (row[:, None] != OUTSIDE) & (column[None, :] != OUTSIDE)
    return np.where(inside, row[:, None] * columns + column[None, :], OUTSIDE)


def cells_of_pixels(height: int, width: int, grid: tuple[int, int], share: Box = WHOLE) -> NDArray[np.intp]:
    """Give every pixel of a (height, width) rendering its cell index, or OUTSIDE.

    `grid` is (rows, columns); `share` is the box of the grid in shares (0..1) of the picture's sides.
    """
    left, top, right, bottom = share
    row = cells_along(height, top * height, bottom * height, grid[0])
    column = cells_along(width, left * width, right * width, grid[1])
    return cell_of(row, column, grid[1])


def chosen_mask(grid: tuple[int, int], cells: Cells) -> NDArray[np.bool_]:
    """Mark the chosen cells of a grid: (rows * columns + 1,), where the last, index OUTSIDE, is never chosen."""
    mask = np.zeros(grid[0] * grid[1] + 1, dtype=np.bool_)
    for row, column in cells:
        mask[row * grid[1] + column] = True
    return mask


def fit(height: int, width: int, max_height: int, max_width: int) -> tuple[int, int]:
    """Scale (height, width) up or down to the largest size within the limits, keeping its shape; each at least 1."""
    scale = min(max_height / height, max_width / width)
    return (
        min(max_height, max(1, round(height * scale))),
        min(max_width, max(1, round(width * scale))),
    )
