"""How much of each cell is worth reading, from regions or from a mask's class boundaries."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from lookwhere_cli.data.masks import IGNORED
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.training.sample import Sample


def region_coverage(sample: Sample, grid: Grid, patch: int) -> Float32[Tensor, " cells"]:
    """Return the share of each cell, 0..1 and row by row, that the sample's boxes and regions cover; else zeros.

    The picture has grid x patch pixels. A pixel that a box touches counts as covered; unknown pixels are left out.
    """
    height, width = grid[0] * patch, grid[1] * patch
    covered = torch.zeros(height, width, dtype=torch.uint8) if sample.regions is None else sample.regions.clone()
    for left, top, right, bottom in () if sample.boxes is None else sample.boxes.tolist():
        covered[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = 1
    counts = _count_values(covered, grid)
    return counts[:, 1] / counts[:, :IGNORED].sum(1).clamp(min=1)


def class_boundaries(mask: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, " cells"]:
    """Return how mixed each cell is, row by row: 1 - the share of its most frequent class, from 0 to below 1.

    The mask's sides are multiples of the grid's. Pixels of 255 are left out; a cell that has no others is 0.
    """
    counts = _count_values(mask, grid)[:, :IGNORED]
    total = counts.sum(1)
    return (total - counts.amax(1)) / total.clamp(min=1)


def _count_values(mask: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, "cells 256"]:
    """Count the pixels of each value in each cell."""
    rows, columns = grid
    row = torch.arange(rows, dtype=torch.int32).repeat_interleave(mask.shape[0] // rows)
    column = torch.arange(columns, dtype=torch.int32).repeat_interleave(mask.shape[1] // columns)
    cell = row[:, None] * columns + column
    counts = torch.bincount((cell * 256 + mask).flatten(), minlength=rows * columns * 256)
    return counts.view(rows * columns, 256).float()
