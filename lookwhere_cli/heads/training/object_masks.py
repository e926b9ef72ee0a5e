"""Learning the masks of objects: what each place of a box shows, at the points that belong to the box."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from lookwhere_cli.models.candidates import MASK_PLACES, MASK_SIDE, MASK_TERMS

GROWN = 1.1
"""How much larger than its box the region is that a mask is learned in: a box that is found is never exact."""
MOST_POINTS = 64
"""Points of a picture whose masks are learned in a step."""


def mask_losses(
    points: Float[Tensor, "batch points 2"],
    numbers: Float[Tensor, "batch points numbers"],
    belongs: Bool[Tensor, "batch points"],
    boxes: Float[Tensor, "positives 4"],
    masks: Float[Tensor, "positives places"],
) -> Float[Tensor, ""]:
    """Return the sum over points of the binary cross-entropy and the Dice loss of their masks.

    points, numbers: of all candidates; see `split_numbers`. belongs: which of them belong to a box. boxes: of those, in
    cells. masks: of those, the share of each place that belongs to the object; NaN where that is unknown, which is not
    learned. Of more than MOST_POINTS in a picture, some count for all.
    """
    side = points_per_side(points)
    channels = count_channels(numbers.shape[-1], side)
    factors, values = numbers[..., : channels + MASK_TERMS], dense_values(points, numbers, channels, side)
    total, starts = 0 * numbers.sum(), belongs.sum(1).cumsum(0).tolist()  # the layers always have a gradient
    for picture, (start, stop) in enumerate(zip([0, *starts[:-1]], starts, strict=True)):
        known = (~masks[start:stop, 0].isnan()).nonzero()[:, 0]
        if not len(known):
            continue
        some = known[torch.linspace(0, len(known) - 1, min(len(known), MOST_POINTS), device=known.device).long()]
        predicted = _predicted(factors[picture, belongs[picture]][some], values[picture], boxes[start:stop][some])
        total = total + _loss(predicted, _grown(masks[start:stop][some])) * (len(known) / len(some))
    return total


def points_per_side(points: Float[Tensor, "batch points 2"]) -> int:
    """Return how many points lie along each side of a cell: the first one lies half their distance from its corner."""
    return round(0.5 / float(points[0, 0, 0] % 1))


def count_channels(numbers: int, side: int) -> int:
    """Return the channels of a model with so many numbers of masks for each point."""
    return (numbers - MASK_TERMS) // (1 + (MASK_PLACES // side) ** 2)


def dense_values(
    points: Float[Tensor, "batch points 2"], numbers: Float[Tensor, "batch points numbers"], channels: int, side: int
) -> Float[Tensor, "batch channels rows columns"]:
    """Return the values of all places up to the last cell that was read; 0 where none was read."""
    each = MASK_PLACES // side
    first = (points * MASK_PLACES - each / 2).round().long()
    columns, rows = ((first.amax((0, 1)) // MASK_PLACES + 1) * MASK_PLACES).tolist()
    offsets = torch.arange(each, device=points.device)
    column, row = first[..., 0, None, None] + offsets, first[..., 1, None, None] + offsets[:, None]
    places = (row * columns + column).flatten(1)
    values = numbers[..., channels + MASK_TERMS :].reshape(len(points), -1, channels)
    dense = values.new_zeros(len(points), rows * columns, channels)
    dense = dense.scatter(1, places[..., None].expand(-1, -1, channels), values)
    return dense.mT.reshape(len(points), channels, rows, columns)


def _predicted(
    factors: Float[Tensor, "n numbers"], values: Float[Tensor, "channels rows columns"], boxes: Float[Tensor, "n 4"]
) -> Float[Tensor, "n places"]:
    """Return the logits at the places of each box, grown."""
    channels, rows, columns = values.shape
    within = _places_within(boxes)  # (places, 2), from -1 to 1 between the sides of a box
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    places = (centres[:, None] + halves[:, None] * within) * MASK_PLACES
    normalised = 2 * places / places.new_tensor([columns, rows]) - 1
    sampled = F.grid_sample(values[None], normalised[None], align_corners=False)[0]
    x, y = within.unbind(-1)
    terms = torch.stack([torch.ones_like(x), x, y, x * x, y * y, x * y])
    return torch.einsum("nc,cnp->np", factors[:, :channels], sampled) + factors[:, channels:] @ terms


def _loss(logits: Float[Tensor, "n places"], wanted: Float[Tensor, "n places"]) -> Float[Tensor, ""]:
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1)
    found = logits.sigmoid()
    dice = 1 - (2 * (found * wanted).sum(1) + 1) / (found.square().sum(1) + wanted.square().sum(1) + 1)
    return (entropy + dice).sum()


def _grown(masks: Float[Tensor, "n places"]) -> Float[Tensor, "n places"]:
    """Return what lies at the places of the grown boxes: nothing outside of the boxes."""
    places = _places_within(masks).reshape(1, MASK_SIDE, MASK_SIDE, 2).expand(len(masks), -1, -1, -1)
    squares = masks.reshape(-1, 1, MASK_SIDE, MASK_SIDE)
    inside = (places.abs() <= 1).all(-1)
    return (F.grid_sample(squares, places, padding_mode="border", align_corners=False)[:, 0] * inside).flatten(1)


def _places_within(like: Tensor) -> Float[Tensor, "places 2"]:
    """Return the x and y of the places of a grown box, row by row, from -1 to 1 between the sides of the box."""
    along = (((torch.arange(MASK_SIDE, device=like.device) + 0.5) / MASK_SIDE) * 2 - 1) * GROWN
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).to(like.dtype)
