"""How much of each cell is worth reading, from a picture's regions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float32
from torch import Tensor

from lookwhere_cli.heads.training.segment import IGNORED, count_values
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
    counts = count_values(covered, grid)
    return counts[:, 1] / counts[:, :IGNORED].sum(1).clamp(min=1)
