"""What training asks of a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from torch import Tensor

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config, Pool

HEAVIEST = 10.0
"""A class of the median frequency counts 1; this bounds the factor of rarer and of more frequent classes."""


class TrainingHead(Protocol):
    """How one kind of labels is learnt.

    Shapes: `logits` are what the model's head returns, (batch, classes) or, for masks, (batch, classes, fine_rows,
    fine_columns) or, for boxes, (batch, points, numbers). `targets` are a batch of what `target` returns.
    `probabilities` are a teacher's, from `soften`, in the shape of its logits. `class_weights` (classes,) are from
    `weigh_classes`. Losses are means over the batch.
    """

    @property
    def has_one_label(self) -> bool:
        """True if each picture as a whole has exactly one label."""
        ...

    @property
    def is_dense(self) -> bool:
        """True if every cell is answered, so that pruning must return cells and begins gently."""
        ...

    @property
    def teaches_selector(self) -> bool:
        """True if the labels train the selector unless a user wants it frozen: they tell where things are, and all."""
        ...

    def configure(
        self, config: Config, classes: tuple[str, ...], pool: Pool, decoder_channels: int, points: int
    ) -> Config:
        """Return the config of a model for these classes. Options that the task has no use for are ignored.

        points: along each side of a cell, for boxes.
        """
        ...

    def target(self, classes: Sequence[int], annotation: Tensor | None, class_count: int) -> Tensor:
        """Return the target for one picture, from its class indices or from what is known of its pixels.

        annotation: its mask (height, width), or its objects (objects, columns): left, top, right and bottom in cells
        of its grid, class, 1 for a crowd and, for masks, the share of each place in its box that belongs to it.
        """
        ...

    def stack(self, targets: Sequence[Tensor]) -> Tensor:
        """Stack the targets of the pictures of a batch: (batch, ...)."""
        ...

    def weigh_classes(
        self, counts: Int[ndarray, " classes"], examples: int, balance: float
    ) -> Float32[Tensor, " classes"]:
        """Return each class's weight, which grows with its rarity.

        counts: training examples of each class; for masks, pixels. balance: 0..1; 0 weighs all classes alike.
        """
        ...

    def loss(self, logits: Tensor, targets: Tensor, class_weights: Float[Tensor, " classes"]) -> Float[Tensor, ""]:
        """Compute the loss against labels.

        logits: the output of the model's head, (batch, ...). targets: as `stack` returns them.
        """
        ...

    def soften(self, logits: Tensor) -> Tensor:
        """Turn a teacher's logits into the probabilities, 0..1 in the same shape, that a student learns."""
        ...

    def soft_loss(self, logits: Tensor, probabilities: Tensor) -> Float[Tensor, ""]:
        """Compute the loss against a teacher's probabilities, of the shape of the logits."""
        ...

    def coverage(self, target: Tensor, grid: Grid) -> Float32[Tensor, " cells"] | None:
        """Return how much of each cell is worth reading, 0..1, as the target shows; None if it does not show that."""
        ...


@runtime_checkable
class AuxiliaryTraining(Protocol):
    """A task that auxiliary heads of pruning modules can solve, too. Shapes as in `TrainingHead`.

    A task without it teaches the modules which cells to keep by its `coverage`.
    """

    def auxiliary_queries(self, grid: Grid) -> int:
        """Return the number of answers that an auxiliary head gives, for a model with this grid."""
        ...

    def auxiliary_loss(
        self,
        logits: Float[Tensor, "batch queries classes"],
        targets: Tensor,
        class_weights: Float[Tensor, " classes"],
        grid: Grid,
    ) -> Float[Tensor, ""]:
        """Compute an auxiliary head's loss against labels. grid: the model's own."""
        ...

    def soft_auxiliary_loss(
        self, logits: Float[Tensor, "batch queries classes"], probabilities: Tensor, grid: Grid
    ) -> Float[Tensor, ""]:
        """Compute an auxiliary head's loss against a teacher's probabilities."""
        ...


class StackedTargets:
    """What all tasks have in common whose targets have one shape, whatever the picture's grid."""

    teaches_selector = False

    def stack(self, targets: Sequence[Tensor]) -> Tensor:
        """Stack the targets of the pictures of a batch."""
        return torch.stack(list(targets))


def balance_factors(ratios: Float[ndarray, " classes"], balance: float) -> Float32[Tensor, " classes"]:
    """Return the ratios, bounded by HEAVIEST in both directions, to the power `balance`."""
    return torch.from_numpy(np.clip(ratios, 1 / HEAVIEST, HEAVIEST) ** balance).float()


def median_ratios(counts: Int[ndarray, " classes"]) -> Float[ndarray, " classes"]:
    """Return the median count over each class's own."""
    present = np.maximum(counts.astype(np.float64), 1)
    return np.median(present) / present
