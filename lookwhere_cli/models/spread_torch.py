"""`spread` for tensors, with gradients in the tokens; and tokens laid over a coarse grid."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.spread import nearest_cells


def spread_tensor(
    tokens: Float[Tensor, "batch k channels"], cells: Int[Tensor, "batch k"], grid: Grid
) -> Float[Tensor, "batch cells channels"]:
    """Return a token for every cell of `grid`, as `spread` does. The nearest cells are found on the CPU."""
    pictures = zip(tokens, cells.cpu().numpy(), strict=True)
    return torch.stack([_spread_one(of_picture, each, grid) for of_picture, each in pictures])


def overlay(
    tokens: Float[Tensor, "batch k channels"],
    cells: Int[Tensor, "batch k"],
    grid: Grid,
    coarse: Float[Tensor, "batch coarse channels"],
    coarse_grid: Grid,
) -> Float[Tensor, "batch cells channels"]:
    """Return the tokens at the chosen cells; elsewhere the coarse grid's, resized bilinearly."""
    ground = F.interpolate(coarse.mT.unflatten(-1, coarse_grid), size=grid, mode="bilinear", align_corners=False)
    return ground.flatten(2).mT.scatter(1, cells[..., None].expand_as(tokens), tokens)


def _spread_one(
    tokens: Float[Tensor, "k channels"], cells: Int[np.ndarray, " k"], grid: Grid
) -> Float[Tensor, "cells channels"]:
    places, weights = (torch.from_numpy(part).to(tokens.device) for part in nearest_cells(cells, grid))
    return F.embedding_bag(places, tokens, per_sample_weights=weights.to(tokens.dtype), mode="sum")
