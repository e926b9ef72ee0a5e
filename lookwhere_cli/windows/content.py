"""Which windows of a picture hold something."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.source import Source
from lookwhere_cli.windows.grid import WindowGrid

RESOLUTION = 16
"""Pixels of the overview, down and across, from which a window's content is known."""
BLOCK = 32
"""Windows, down and across, of a part of the overview that is read at once."""


def content_of(source: Source, grid: WindowGrid) -> Float32[ndarray, " windows"]:
    """Return the share, 0..1, of each window that holds something.

    It is 1 for sources that do not tell, and where the overview can't be read: the windows themselves will tell why.
    """
    shares = np.ones((len(grid.tops), len(grid.lefts)), np.float32)
    if is_large(source):
        for rows, columns in grid.blocks(BLOCK, BLOCK):
            box = grid.around((rows, columns))
            height, width = overview_size(box, grid.shape)
            with suppress(PictureError, OSError):
                content = source.content(box, height, width).astype(np.float64)
                down, across = edges_in(grid, (rows, columns), box, (height, width))
                shares[rows, columns] = means(content, down, across)
    return shares.reshape(-1)


def overview_size(box: Box, shape: tuple[int, int], resolution: int = RESOLUTION) -> tuple[int, int]:
    """Return (height, width) of the overview of a box that gives a window `resolution` pixels, down and across."""
    height, width = box[3] - box[1], box[2] - box[0]
    return max(1, round(height / shape[0] * resolution)), max(1, round(width / shape[1] * resolution))


def edges_in(
    grid: WindowGrid, block: tuple[slice, slice], box: Box, size: tuple[int, int]
) -> tuple[Float64[ndarray, "rows 2"], Float64[ndarray, "columns 2"]]:
    """Return tops and bottoms, lefts and rights of a block's windows in the overview of `box`, which has this size."""
    tops, lefts = grid.tops[block[0], None] - box[1], grid.lefts[block[1], None] - box[0]
    down = (tops + np.array([0, grid.shape[0]])) * (size[0] / (box[3] - box[1]))
    across = (lefts + np.array([0, grid.shape[1]])) * (size[1] / (box[2] - box[0]))
    return down, across


def means(
    values: Float64[ndarray, "height width"], down: Float64[ndarray, "rows 2"], across: Float64[ndarray, "columns 2"]
) -> Float64[ndarray, "rows columns"]:
    """Return the mean of an array within each rectangle; edges may lie between its elements."""
    sums = np.pad(values, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    by_row = _between(sums, down)
    total = _between(by_row.T, across).T
    areas = np.diff(down)[:, :1] * np.diff(across)[:, 0]
    return np.clip(total / areas, values.min(initial=0.0), values.max(initial=0.0))


def _between(sums: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the differences of running sums between pairs of edges, interpolated."""
    below = np.clip(np.floor(edges).astype(np.int64), 0, len(sums) - 1)
    above = np.minimum(below + 1, len(sums) - 1)
    share = (edges - below)[..., None]
    values = sums[below] * (1 - share) + sums[above] * share
    return values[:, 1] - values[:, 0]
