"""Learning boxes: what is at each point that was read, and where its sides are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.training.assign import NONE, assign, inside
from lookwhere_cli.heads.training.base import balance_factors, median_ratios
from lookwhere_cli.heads.training.object_masks import mask_losses
from lookwhere_cli.models.candidates import BOX, CLASSES, POINT, split_numbers
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config, Pool

GIOU_WEIGHT, L1_WEIGHT = 2.0, 0.5
"""Weights of the two losses of boxes beside that of the classes."""
MASK_WEIGHT = 1.0
"""The same for the masks of objects."""
MASK = slice(6, None)
"""The columns of targets that hold a mask."""
FOCUS = 2.0
"""Exponent of the quality focal loss: the larger, the less do points count that are answered well."""
MARGIN = 0.25
"""Cells by which a box grows before the selector is told to read it (4 pixels of a cell of 16): the sides of a box
show only if what lies outside of them is read, too."""
NO_OBJECT = -1
"""Class of the rows that fill up the targets of pictures with fewer boxes."""


class BoxesTraining:
    """Boxes with classes. Targets are float32 (batch, boxes, 6): left, top, right, bottom in cells, class, crowd. For
    masks each row goes on with the share of each place in the box that belongs to the object; NaN if it is unknown.

    Losses are sums over points, divided by the number of points that belong to a box.
    """

    has_one_label = False
    is_dense = True
    teaches_selector = True

    def configure(
        self, config: Config, classes: tuple[str, ...], pool: Pool, decoder_channels: int, points: int
    ) -> Config:
        """Return the config of a detection model."""
        config = replace(config, multi_label=False, pool="cls", decoder_channels=0)
        return replace(config, task="detect", labels=classes, detect_points=points)

    def target(
        self, classes: Sequence[int], annotation: Float[Tensor, "objects columns"] | None, class_count: int
    ) -> Float32[Tensor, "objects columns"]:
        """Return the objects."""
        assert annotation is not None
        return annotation

    def stack(self, targets: Sequence[Float[Tensor, "_ columns"]]) -> Float32[Tensor, "batch boxes columns"]:
        """Stack the boxes of pictures, however many each has, and a row of none."""
        stacked = pad_sequence(list(targets), batch_first=True, padding_value=NO_OBJECT)
        return F.pad(stacked, (0, 0, 0, 1), value=NO_OBJECT)

    def weigh_classes(
        self, counts: Int[ndarray, " classes"], examples: int, balance: float
    ) -> Float32[Tensor, " classes"]:
        """Weigh a class by the median count over its own."""
        return balance_factors(median_ratios(counts), balance)

    def loss(
        self,
        logits: Float[Tensor, "batch points numbers"],
        targets: Float[Tensor, "batch boxes columns"],
        class_weights: Float[Tensor, " classes"],
    ) -> Float[Tensor, ""]:
        """Compute the quality focal loss of the classes, GIoU and L1 (in cells) of the boxes, and that of masks.

        `class_weights` apply to the points of each class. Points of no box in a crowd do not count.
        """
        logits, numbers_of_masks = split_numbers(logits, len(class_weights))
        points, scores, predicted = logits[..., POINT].detach(), logits[..., CLASSES], logits[..., BOX]
        is_crowd, is_real = targets[..., 5] > 0, targets[..., 4] >= 0
        numbers = assign(points, targets[..., BOX], is_real & ~is_crowd)
        belongs = numbers != NONE
        own = torch.take_along_dim(targets, numbers.clamp(min=0)[..., None], 1)[belongs]
        positives = max(1, len(own))
        overlap = BoxOverlap(predicted[belongs], own[:, BOX])
        wanted = torch.zeros_like(scores)
        classes = own[:, 4].long()
        wanted[(*belongs.nonzero(as_tuple=True), classes)] = overlap.iou.detach()
        weights = torch.ones_like(scores)
        weights[belongs] = class_weights[classes][:, None]
        ignored = (inside(points, targets[..., BOX]) & (is_real & is_crowd)[:, None]).any(-1) & ~belongs
        focal = quality_focal(scores, wanted) * weights * ~ignored[..., None]
        distances = (predicted[belongs] - own[:, BOX]).abs().mean(-1)
        total = focal.sum() + GIOU_WEIGHT * (1 - overlap.giou).sum() + L1_WEIGHT * distances.sum()
        if own.shape[1] > MASK.start:
            total = total + MASK_WEIGHT * mask_losses(points, numbers_of_masks, belongs, own[:, BOX], own[:, MASK])
        return total / positives

    def soften(self, logits: Tensor) -> Tensor:
        """Raise UsageError: boxes are learned from labels only."""
        raise UsageError("Boxes can't be learned from a teacher's answers; leave --teacher out.")

    def soft_loss(self, logits: Tensor, probabilities: Tensor) -> Float[Tensor, ""]:
        """Raise UsageError, as `soften` does."""
        raise UsageError("Boxes can't be learned from a teacher's answers; leave --teacher out.")

    def coverage(self, target: Float[Tensor, "objects columns"], grid: Grid) -> Float32[Tensor, " cells"]:
        """Cells are worth reading where boxes are, and a few pixels around them; crowds too."""
        grown = target[:, BOX] + MARGIN * target.new_tensor([-1, -1, 1, 1])
        return covered_shares(grown[None], grid)[0].amax(0) if len(target) else _nothing(grid)


class BoxOverlap:
    """How much pairs of boxes overlap. iou, giou: (pairs,); GIoU is IoU less the share of the hull that is in neither
    box, and so has a gradient for boxes apart.
    """

    def __init__(self, first: Float[Tensor, "pairs 4"], second: Float[Tensor, "pairs 4"]) -> None:
        shared = _area(torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:]))
        hull = _area(torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:]))
        union = _area(first[:, :2], first[:, 2:]) + _area(second[:, :2], second[:, 2:]) - shared
        self.iou = shared / union.clamp(min=1e-9)
        self.giou = self.iou - (hull - union) / hull.clamp(min=1e-9)


def quality_focal(
    scores: Float[Tensor, "*points classes"], wanted: Float[Tensor, "*points classes"]
) -> Float[Tensor, "*points classes"]:
    """Return Generalized Focal Loss's loss of each score before the sigmoid; `wanted`: the IoU of the point's box, or 0
    (Li et al. 2020)."""
    far = (wanted - scores.sigmoid()).abs()
    return far**FOCUS * F.binary_cross_entropy_with_logits(scores, wanted, reduction="none")


def covered_shares(boxes: Float[Tensor, "batch boxes 4"], grid: Grid) -> Float32[Tensor, "batch boxes cells"]:
    """Return the share of each cell that each box covers, 0..1. Boxes in cells of `grid`."""
    across = _covered_along(boxes[..., 0], boxes[..., 2], grid[1])
    down = _covered_along(boxes[..., 1], boxes[..., 3], grid[0])
    return (down[..., :, None] * across[..., None, :]).flatten(-2)


def _covered_along(
    first: Float[Tensor, "batch boxes"], last: Float[Tensor, "batch boxes"], count: int
) -> Float[Tensor, "batch boxes {count}"]:
    """Return the share of each of `count` cells along an axis that lies between `first` and `last`."""
    starts = torch.arange(count, device=first.device, dtype=first.dtype)
    return (torch.minimum(last[..., None], starts + 1) - torch.maximum(first[..., None], starts)).clamp(min=0)


def _area(left_top: Float[Tensor, "pairs 2"], right_bottom: Float[Tensor, "pairs 2"]) -> Float[Tensor, " pairs"]:
    return (right_bottom - left_top).clamp(min=0).prod(-1)


def _nothing(grid: Grid) -> Float32[Tensor, " cells"]:
    return torch.zeros(math.prod(grid))
