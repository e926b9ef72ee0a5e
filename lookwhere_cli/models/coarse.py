"""Which coarse patches the extractor reads: all, or only those that show what the chosen cells leave unread.

A coarse patch that chosen cells cover says what they say better, so that it costs and disturbs. Imports no torch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config


def count_coarse(config: Config, coarse: int, k: int, cells: int) -> int:
    """Return how many of `coarse` patches the model reads beside k of a grid's cells."""
    return count_unread(coarse, k, cells) if config.coarse_patches == "unread" else coarse


def count_unread(coarse: int, k: int, cells: int) -> int:
    """Return as large a share of `coarse` patches as k of `cells` cells leave unread."""
    return round(coarse * (1 - k / cells))


def least_covered(
    cells: Int64[ndarray, "batch k"], grid: Grid, coarse_grid: Grid, count: int
) -> Int64[ndarray, "batch {count}"]:
    """Return the `count` coarse patches of which cells cover the least area, row by row; of equals the first.

    cells: row * columns + column on `grid`. The result counts on `coarse_grid` in the same way.
    """
    covered = covered_areas(cells, grid, coarse_grid)
    return np.sort(np.argsort(covered, axis=1, kind="stable")[:, :count], axis=1)


def covered_areas(cells: Int64[ndarray, "batch k"], grid: Grid, coarse_grid: Grid) -> Float32[ndarray, "batch coarse"]:
    """Return how much of each coarse patch cells cover, in units in which all areas are whole numbers."""
    is_read = np.zeros((len(cells), grid[0] * grid[1]), np.float32)
    np.put_along_axis(is_read, cells, 1, axis=1)
    down, across = _overlaps(grid[0], coarse_grid[0]), _overlaps(grid[1], coarse_grid[1])
    areas: Float32[ndarray, "batch coarse"] = (down @ is_read.reshape(-1, *grid) @ across.T).reshape(len(cells), -1)
    return areas


@lru_cache
def _overlaps(fine: int, coarse: int) -> Float32[ndarray, "{coarse} {fine}"]:
    """Return the length that each of `coarse` parts of a line shares with each of `fine` parts of the same line.

    The line is fine * coarse long, so that lengths are whole numbers and ties between areas are exact.
    """
    starts, coarse_starts = np.arange(fine) * coarse, np.arange(coarse)[:, None] * fine
    ends = np.minimum(starts + coarse, coarse_starts + fine)
    lengths: Float32[ndarray, "{coarse} {fine}"] = np.maximum(0, ends - np.maximum(starts, coarse_starts)).astype(
        np.float32
    )
    lengths.setflags(write=False)
    return lengths
