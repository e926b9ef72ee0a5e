"""From k tokens to a token for every cell: a blend of the five nearest chosen ones, or what was read coarsely there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lookwhere_cli.models.chosen import Grid

NEAREST = 5
_CHUNK = 1 << 22  # distances held at once


def spread(
    tokens: Float[Tensor, "batch k channels"], cells: Int[Tensor, "batch k"], grid: Grid
) -> Float[Tensor, "batch cells channels"]:
    """Weights 1 / (distance + 1e-8), normalised, over the 5 nearest chosen cells (all of them where k < 5).

    Equal distances are ordered by the cells' indices, so the result does not depend on the order of `cells`.
    `tokens` may be features or logits: blending is linear, so a head with few classes is cheaper before it.
    """
    return torch.stack([_spread_one(*one, grid) for one in zip(tokens, cells, strict=True)])


def overlay(
    tokens: Float[Tensor, "batch k channels"],
    cells: Int[Tensor, "batch k"],
    grid: Grid,
    beneath: Float[Tensor, "batch coarse channels"],
    coarse_grid: Grid,
) -> Float[Tensor, "batch cells channels"]:
    """The chosen cells' tokens; elsewhere those of the coarse grid, resized bilinearly."""
    ground = F.interpolate(beneath.mT.unflatten(-1, coarse_grid), size=grid, mode="bilinear", align_corners=False)
    return ground.flatten(2).mT.scatter(1, cells[..., None].expand_as(tokens), tokens)


def _spread_one(
    tokens: Float[Tensor, "k channels"], cells: Int[Tensor, " k"], grid: Grid
) -> Float[Tensor, "cells channels"]:
    nearest, squared = _nearest(cells, grid)
    weights = 1 / (squared.sqrt() + 1e-8)
    weights = (weights / weights.sum(dim=1, keepdim=True)).to(tokens.dtype)
    return F.embedding_bag(nearest, tokens, per_sample_weights=weights, mode="sum")


def _nearest(cells: Int[Tensor, " k"], grid: Grid) -> tuple[Int[Tensor, "cells near"], Float[Tensor, "cells near"]]:
    """Positions in `cells` of the nearest chosen ones, and their squared distances, for every cell of the grid."""
    rows, columns = grid
    ordered, order = cells.sort()
    k, near = len(cells), min(NEAREST, len(cells))
    row, column, place = (torch.arange(count, device=cells.device) for count in (rows, columns, k))
    # Unique integers that order by distance, then by cell: `ordered` ascends, so its position breaks ties alike.
    down = (row[:, None] - ordered // columns).square() * k + place
    across = (column[:, None] - ordered % columns).square() * k
    parts = down.split(max(1, _CHUNK // across.numel()))
    key = torch.cat([(part[:, None] + across).topk(near, largest=False).values.flatten(0, 1) for part in parts])
    return order[key % k], (key // k).float()
