"""From k tokens to a token for every cell: a weighted mean of the nearest chosen cells' tokens. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.constants import NEAREST

F = TypeVar("F", bound=np.floating)

_SMALLEST_TILE = 16  # cells: smaller tiles would take more time each than they save
_TILE_CELLS = 36  # chosen cells that a tile holds on average
_KEYS = 1 << 22  # distances held at once
_BLOCK = 256  # cells whose neighbours' tokens are held at once


class Neighbours(NamedTuple):
    """The nearest chosen cells of every cell of a grid, nearest first.

    places: indices into the chosen cells. weights: of their tokens; those of a cell sum to 1.
    """

    places: Int64[ndarray, "cells near"]
    weights: Float32[ndarray, "cells near"]


def spread(
    tokens: Float[ndarray, "batch k channels"], cells: Int[ndarray, "batch k"], grid: Grid
) -> Float[ndarray, "batch cells channels"]:
    """Return a token for every cell of `grid`, in the dtype of `tokens`.

    cells: row * columns + column of each token, in any order, none twice. Tokens may be features or logits: a linear
    head gives the same before and after, and costs less before if it has few classes.
    """
    return np.stack([_spread_one(*one, grid) for one in zip(tokens, cells, strict=True)])


def nearest_cells(cells: Int[ndarray, " k"], grid: Grid) -> Neighbours:
    """Find the 5 nearest chosen cells of every cell of `grid` (all of them if k < 5).

    Weights are 1 / (distance + 1e-8), normalised. Equal distances are ordered by the cells' indices, so the result does
    not depend on the order of `cells`.
    """
    rows, columns = grid
    order = np.argsort(cells, kind="stable")
    row, column = np.divmod(cells[order], columns)
    near = min(NEAREST, len(cells))
    places, squared = (np.empty((rows, columns, near), np.int64) for _ in range(2))
    for tile in _tiles(grid, len(cells)):
        candidates = _candidates(tile, row, column, near)
        place, squared[tile] = _nearest_in_tile(tile, row[candidates], column[candidates], near)
        places[tile] = order[candidates[place]]
    weights = 1 / (np.sqrt(squared.reshape(-1, near), dtype=np.float32) + np.float32(1e-8))
    return Neighbours(places.reshape(-1, near), weights / weights.sum(axis=1, keepdims=True))


Tile = tuple[slice, slice]
"""Some rows and columns of the grid."""


def _tiles(grid: Grid, k: int) -> Iterator[Tile]:
    """Cut the grid into squares that hold a number of chosen cells on average."""
    rows, columns = grid
    side = max(_SMALLEST_TILE, math.isqrt(_TILE_CELLS * rows * columns // k))
    for top in range(0, rows, side):
        for left in range(0, columns, side):
            yield slice(top, min(top + side, rows)), slice(left, min(left + side, columns))


def _candidates(
    tile: Tile, row: Int[ndarray, " k"], column: Int[ndarray, " k"], near: int
) -> Int64[ndarray, " candidates"]:
    """Return which chosen cells can be among the `near` nearest of any cell of the tile, ascending.

    No cell of the tile is farther from its nearest than the tile's centre is from its own, plus half a diagonal; so
    nothing counts that is farther from the centre than that and another half.
    """
    rows, columns = tile
    away = np.hypot(row - (rows.start + rows.stop - 1) / 2, column - (columns.start + columns.stop - 1) / 2)
    diagonal = math.hypot(rows.stop - rows.start - 1, columns.stop - columns.start - 1)
    return np.flatnonzero(away <= np.partition(away, near - 1)[near - 1] + diagonal + 1e-6)


def _nearest_in_tile(
    tile: Tile, row: Int[ndarray, " candidates"], column: Int[ndarray, " candidates"], near: int
) -> tuple[Int[ndarray, "rows columns near"], Int[ndarray, "rows columns near"]]:
    """Return the nearest candidates of each cell of the tile, nearest first, and their squared distances."""
    rows, columns = (np.arange(side.start, side.stop)[:, None] for side in tile)
    count = len(row)
    # Unique integers that order by distance, then by place; candidates ascend, so ties are ordered by cell.
    down = (rows - row) ** 2 * count + np.arange(count)
    across = (columns - column) ** 2 * count
    if down.max() + across.max() < 1 << 31:  # several times faster to partition
        down, across = down.astype(np.int32), across.astype(np.int32)
    step = max(1, _KEYS // across.size)
    best = [_smallest(down[top : top + step, None] + across, near) for top in range(0, len(down), step)]
    squared, place = np.divmod(np.concatenate(best), count)
    return place, squared


def _smallest(keys: Int[ndarray, "rows columns candidates"], near: int) -> Int[ndarray, "rows columns near"]:
    """Return the smallest keys of each cell, ascending; `keys` are reordered."""
    if near < keys.shape[-1]:
        keys.partition(near - 1, axis=-1)
    return np.sort(keys[..., :near], axis=-1)


def _spread_one(tokens: NDArray[F], cells: Int[ndarray, " k"], grid: Grid) -> NDArray[F]:
    """Blend some cells at a time: their neighbours' tokens fit into the processor's cache."""
    places, weights = nearest_cells(cells, grid)
    weights = weights.astype(tokens.dtype, copy=False)
    blended = np.empty((len(places), tokens.shape[1]), tokens.dtype)
    for start in range(0, len(places), _BLOCK):
        some = slice(start, start + _BLOCK)
        np.matmul(weights[some, None], tokens[places[some]], out=blended[some, None])
    return blended
