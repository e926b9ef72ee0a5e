"""Which point learns which box."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

RADIUS = 1.5
"""A point belongs to a box if it lies in it, at most this many cells from its centre along each axis ..."""
SHARE = 0.35
"""... or at most this share of the box's width and height, if that is more."""
NONE = -1
"""In place of a box's number: the point belongs to no box."""


def assign(
    points: Float[Tensor, "batch points 2"], boxes: Float[Tensor, "batch boxes 4"], real: Bool[Tensor, "batch boxes"]
) -> Int64[Tensor, "batch points"]:
    """Return the number of each point's box, or -1. Lengths in cells; `real` marks the boxes that are there.

    Of several boxes the smallest counts. A box at whose centre no cell was read gets the nearest point, if the point's
    cell touches the box.
    """
    if boxes.shape[1] == 0:
        return torch.full(points.shape[:2], NONE, device=points.device)
    belongs = _near_centres(points, boxes) & real[:, None]
    orphaned = real & ~belongs.any(1)
    belongs |= _nearest_that_touch(points, boxes) & orphaned[:, None]
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    smallest = torch.where(belongs, area[:, None], math.inf).min(dim=2)
    return torch.where(smallest.values.isfinite(), smallest.indices, NONE)


def inside(
    points: Float[Tensor, "batch points 2"], boxes: Float[Tensor, "batch boxes 4"]
) -> Bool[Tensor, "batch points boxes"]:
    """Return which points lie in which boxes."""
    left_top, right_bottom = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    return ((points[:, :, None] > left_top) & (points[:, :, None] < right_bottom)).all(-1)


def _near_centres(
    points: Float[Tensor, "batch points 2"], boxes: Float[Tensor, "batch boxes 4"]
) -> Bool[Tensor, "batch points boxes"]:
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    near = (points[:, :, None] - centres[:, None]).abs() <= (SHARE * sides).clamp(min=RADIUS)[:, None]
    return inside(points, boxes) & near.all(-1)


def _nearest_that_touch(
    points: Float[Tensor, "batch points 2"], boxes: Float[Tensor, "batch boxes 4"]
) -> Bool[Tensor, "batch points boxes"]:
    """Return for each box the point nearest to its centre, if the point's cell and the box have an area in common."""
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    nearest = (points[:, :, None] - centres[:, None]).square().sum(-1).argmin(dim=1)  # (batch, boxes)
    cells = torch.take_along_dim(points, nearest[..., None], 1).floor()
    touches = ((cells < boxes[..., 2:]) & (cells + 1 > boxes[..., :2])).all(-1)
    return torch.zeros(*points.shape[:2], boxes.shape[1], dtype=torch.bool, device=points.device).scatter(
        1, nearest[:, None], touches[:, None]
    )
