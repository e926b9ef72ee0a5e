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
    cell touches the box. A box that lost all of its points to smaller ones gets the nearest of the points in it that
    lie in no smaller box, belong to a larger one, or belong to a box that they do not lie in.
    """
    if boxes.shape[1] == 0:
        return torch.full(points.shape[:2], NONE, device=points.device)
    within = inside(points, boxes) & real[:, None]
    centres, sides = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    away, area = points[:, :, None] - centres[:, None], sides.prod(-1)
    belongs = within & (away.abs() <= (SHARE * sides).clamp(min=RADIUS)[:, None]).all(-1)
    orphaned = real & ~belongs.any(1)
    distances = away.square().sum(-1)
    belongs |= _nearest_that_touch(points, boxes, distances) & orphaned[:, None]
    while True:
        numbers, areas = _smallest(belongs, area)
        lies_in_own = within.gather(2, numbers.clamp(min=0)[..., None])[..., 0]
        areas = torch.where(lies_in_own, areas, math.inf)
        could = within & (area[:, None] < areas[..., None]) & _is_lost(numbers, real)[:, None]
        if not could.any():
            return numbers
        taken = _nearest(distances, could)
        belongs = belongs & (within | ~taken.any(2, keepdim=True)) | taken


def inside(
    points: Float[Tensor, "batch points 2"], boxes: Float[Tensor, "batch boxes 4"]
) -> Bool[Tensor, "batch points boxes"]:
    """Return which points lie in which boxes."""
    left_top, right_bottom = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    return ((points[:, :, None] > left_top) & (points[:, :, None] < right_bottom)).all(-1)


def _smallest(
    belongs: Bool[Tensor, "batch points boxes"], area: Float[Tensor, "batch boxes"]
) -> tuple[Int64[Tensor, "batch points"], Float[Tensor, "batch points"]]:
    """Return the number of the smallest box of each point, and its area; -1 and infinity for a point of no box."""
    areas, numbers = torch.where(belongs, area[:, None], math.inf).min(dim=2)
    return torch.where(areas.isfinite(), numbers, NONE), areas


def _is_lost(numbers: Int64[Tensor, "batch points"], real: Bool[Tensor, "batch boxes"]) -> Bool[Tensor, "batch boxes"]:
    """Return which boxes have no point."""
    own = numbers[..., None] == torch.arange(real.shape[1], device=real.device)
    return real & ~own.any(1)


def _nearest(
    distances: Float[Tensor, "batch points boxes"], allowed: Bool[Tensor, "batch points boxes"]
) -> Bool[Tensor, "batch points boxes"]:
    """Return for each box the nearest of the points that are allowed; none if there are none."""
    nearest = torch.where(allowed, distances, math.inf).argmin(dim=1, keepdim=True)
    return torch.zeros_like(allowed).scatter(1, nearest, True) & allowed


def _nearest_that_touch(
    points: Float[Tensor, "batch points 2"],
    boxes: Float[Tensor, "batch boxes 4"],
    distances: Float[Tensor, "batch points boxes"],
) -> Bool[Tensor, "batch points boxes"]:
    """Return for each box the point nearest to its centre, if the point's cell and the box have an area in common."""
    cells = points.floor()[:, :, None]
    touches = ((cells < boxes[:, None, :, 2:]) & (cells + 1 > boxes[:, None, :, :2])).all(-1)
    return _nearest(distances, torch.ones_like(touches)) & touches
