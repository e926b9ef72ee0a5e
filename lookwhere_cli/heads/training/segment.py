"""Learning masks: a class for each pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, UInt8
from numpy import ndarray
from torch import Tensor

from lookwhere_cli.heads.training.base import StackedTargets, balance_factors, median_ratios
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config, Pool

IGNORED = 255
"""A mask's value for pixels that are not trained on."""


class MasksTraining(StackedTargets):
    """A class per pixel: cross-entropy at the masks' resolution. Targets are uint8 (batch, height, width)."""

    has_one_label = False
    is_dense = True

    def configure(
        self, config: Config, classes: tuple[str, ...], pool: Pool, decoder_channels: int, points: int
    ) -> Config:
        """Return the config of a segmentation model."""
        return replace(
            config,
            task="segment",
            multi_label=False,
            labels=classes,
            pool="cls",
            decoder_channels=decoder_channels,
        )

    def target(
        self, classes: Sequence[int], annotation: UInt8[Tensor, "height width"] | None, class_count: int
    ) -> UInt8[Tensor, "height width"]:
        """Return the mask."""
        assert annotation is not None
        return annotation

    def weigh_classes(
        self, counts: Int[ndarray, " classes"], examples: int, balance: float
    ) -> Float32[Tensor, " classes"]:
        """Weigh a class by the median count of pixels over its own."""
        return balance_factors(median_ratios(counts), balance)

    def loss(
        self,
        logits: Float[Tensor, "batch classes fine_rows fine_columns"],
        targets: UInt8[Tensor, "batch height width"],
        class_weights: Float[Tensor, " classes"],
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy of all pixels, logits resized bilinearly; ignored pixels count as no loss."""
        logits = F.interpolate(logits, size=targets.shape[-2:], mode="bilinear", align_corners=False)
        # The mean is over all pixels, ignored ones too, so that processes which share a batch weigh theirs alike.
        return F.cross_entropy(logits, targets.long(), class_weights, ignore_index=IGNORED, reduction="none").mean()

    def soften(
        self, logits: Float[Tensor, "batch classes fine_rows fine_columns"]
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Return the softmax at each place."""
        return logits.softmax(1)

    def soft_loss(
        self,
        logits: Float[Tensor, "batch classes fine_rows fine_columns"],
        probabilities: Float[Tensor, "batch classes rows columns"],
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy at the teacher's resolution."""
        logits = F.interpolate(logits, size=probabilities.shape[-2:], mode="bilinear", align_corners=False)
        return F.cross_entropy(logits, probabilities)

    def auxiliary_queries(self, grid: Grid) -> int:
        """One answer for each cell."""
        return math.prod(grid)

    def auxiliary_loss(
        self,
        logits: Float[Tensor, "batch cells classes"],
        targets: UInt8[Tensor, "batch height width"],
        class_weights: Float[Tensor, " classes"],
        grid: Grid,
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy of all pixels, where those of a cell have its logits."""
        return cell_loss(logits, class_shares(targets, len(class_weights), grid) * class_weights)

    def soft_auxiliary_loss(
        self,
        logits: Float[Tensor, "batch cells classes"],
        probabilities: Float[Tensor, "batch classes fine_rows fine_columns"],
        grid: Grid,
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy with the mean of the teacher's probabilities in each cell."""
        return cell_loss(logits, F.adaptive_avg_pool2d(probabilities, grid).flatten(2).mT)

    def coverage(self, target: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, " cells"]:
        """Cells are worth reading where classes meet."""
        return class_boundaries(target, grid)


def class_shares(
    masks: UInt8[Tensor, "batch height width"], classes: int, grid: Grid
) -> Float[Tensor, "batch cells {classes}"]:
    """Return each class's share of each cell's pixels, 0..1; ignored pixels belong to no class."""
    return torch.stack(
        [F.adaptive_avg_pool2d((masks == index).float(), grid).flatten(1) for index in range(classes)], dim=-1
    )


def cell_loss(
    logits: Float[Tensor, "batch cells classes"], shares: Float[Tensor, "batch cells classes"]
) -> Float[Tensor, ""]:
    """Return the mean over cells of the cross-entropy with these shares of the classes."""
    return -(shares * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


def class_boundaries(mask: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, " cells"]:
    """Return how mixed each cell is, row by row: 1 - the share of its most frequent class, from 0 to below 1.

    The mask's sides are multiples of the grid's. Ignored pixels are left out; a cell that has no others is 0.
    """
    counts = count_values(mask, grid)[:, :IGNORED]
    total = counts.sum(1)
    return (total - counts.amax(1)) / total.clamp(min=1)


def count_values(mask: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, "cells 256"]:
    """Count the pixels of each value in each cell. The mask's sides are multiples of the grid's."""
    rows, columns = grid
    row = torch.arange(rows, dtype=torch.int32).repeat_interleave(mask.shape[0] // rows)
    column = torch.arange(columns, dtype=torch.int32).repeat_interleave(mask.shape[1] // columns)
    cell = row[:, None] * columns + column
    counts = torch.bincount((cell * 256 + mask).flatten(), minlength=rows * columns * 256)
    return counts.view(rows * columns, 256).float()
