"""Positions at cells of a grid that is known only when a graph runs; `models.positions` has the same values.

All indices are computed in whole numbers: no double precision, which some execution providers lack.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.positions import Taps, cubic_weights

Count: TypeAlias = int | Tensor
"""Cells along an axis: a size of an input while it is traced, or a tensor without axes."""


def interpolate_positions(
    table: Float32[Tensor, "stored dim"],
    stored: Grid,
    rows: Int64[Tensor, "*cells"],
    columns: Int64[Tensor, "*cells"],
    grid: tuple[Count, Count],
) -> Float32[Tensor, "*cells dim"]:
    """Return the positions of the cells at these rows and columns of `grid`, out of the table of the grid `stored`.

    The 16 taps are added one after the other: together they would hold 16 times the memory of the result.
    """
    down, across = _taps(rows, stored[0], grid[0]), _taps(columns, stored[1], grid[1])
    positions = torch.zeros(())
    for y in range(4):
        for x in range(4):
            weight = down.weights[..., y] * across.weights[..., x]
            index = down.indices[..., y] * stored[1] + across.indices[..., x]
            positions = positions + F.embedding(index, table) * weight[..., None]
    return positions


def _taps(places: Int64[Tensor, "*cells"], stored: int, count: Count) -> Taps:
    """Return the four stored positions around each place, and their weights."""
    # The centre of a cell is ((2 place + 1) stored - count) / (2 count). `float(count)` would make a size constant.
    centre = (2 * places + 1) * stored - count
    before = centre // (2 * count)
    fraction = (centre - before * (2 * count)).float() / (2.0 * count)
    indices = torch.stack([before + tap for tap in (-1, 0, 1, 2)], dim=-1)
    return Taps(indices.clamp(0, stored - 1), cubic_weights(fraction))
