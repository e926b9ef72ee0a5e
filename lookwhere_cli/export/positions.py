"""Positions at cells of a grid that is known only when a graph runs; `models.positions` has the same values.

A position is a product of matrices: how much of each stored row and column goes into it, times the stored table. That
is 20 operations in place of 300, each of which would cost a few microseconds however few its numbers. What has to be
exact is computed in whole numbers: no double precision, which some execution providers lack.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from lookwhere_cli.models.positions import SHARPNESS
from lookwhere_cli.models.vit import ViT

Count: TypeAlias = int | Tensor
"""Cells along an axis: a size of an input while it is traced, or a tensor without axes."""
REACH = 2  # stored positions on either side of a place that the kernel reaches


class Positions(nn.Module):
    """The positions of a ViT's cells, out of its stored table."""

    def __init__(self, vit: ViT) -> None:
        super().__init__()
        rows, columns = vit.grid
        table = vit.pos_embed.detach()[0, vit.prefix_positions :]
        self.table = nn.Parameter(table.reshape(rows, columns, -1), requires_grad=False)
        self.rows, self.columns = StoredAxis(rows), StoredAxis(columns)

    def at(
        self, cells: Int64[Tensor, "*batch cells"], grid: Int64[Tensor, " 2"]
    ) -> Float32[Tensor, "*batch cells dim"]:
        """Return the positions of cells, row * columns + column, of a grid."""
        row = cells // grid[1]
        down, across = self.rows(row, grid[0]), self.columns(cells - row * grid[1], grid[1])
        return (down[..., :, None] * across[..., None, :]).flatten(-2) @ self.table.flatten(0, 1)

    def whole(self, rows: int, columns: int) -> Float32[Tensor, "cells dim"]:
        """Return the positions of all cells of a grid, row by row."""
        down, across = self.rows(torch.arange(rows), rows), self.columns(torch.arange(columns), columns)
        by_row = (down @ self.table.flatten(1)).unflatten(1, self.table.shape[1:])
        return (across @ by_row).flatten(0, 1)


class StoredAxis(nn.Module):
    """One axis of a stored grid: how much of each stored position goes into a place of another grid."""

    near: Tensor
    ends: Tensor

    def __init__(self, stored: int) -> None:
        super().__init__()
        self.stored = stored
        near = torch.arange(-REACH, stored + REACH)
        self.register_buffer("near", near.float())
        # Beyond its ends, the axis is continued with its last positions.
        self.register_buffer("ends", (near.clamp(0, stored - 1)[:, None] == torch.arange(stored)).float())

    def forward(self, places: Int64[Tensor, "*cells"], count: Count) -> Float32[Tensor, "*cells {self.stored}"]:
        """Return the weights at places, 0..count - 1."""
        # The centre of a cell is ((2 place + 1) stored - count) / (2 count). `float(count)` would make a size constant.
        centre = ((2 * places + 1) * self.stored - count).float() / (2.0 * count)
        return _kernel((centre[..., None] - self.near).abs()) @ self.ends


def _kernel(distance: Float32[Tensor, "*cells"]) -> Float32[Tensor, "*cells"]:
    """Return Keys' cubic kernel, which is 0 from a distance of REACH on.

    Up to 1 it is (1 - d) (1 + d - (s + 2) d d), from there to 2 it is s (d - 1) (2 - d) (2 - d), with s for SHARPNESS.
    """
    inner = (1 - distance).relu() * (1 + distance - (SHARPNESS + 2) * distance * distance)
    left = (2 - distance).relu()
    return inner + SHARPNESS * (distance - 1).relu() * left * left
