"""Learning labels of whole pictures: one, or several at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from numpy import ndarray
from torch import Tensor

from lookwhere_cli.heads.training.base import StackedTargets, balance_factors, median_ratios
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config, Pool

SMOOTHING = 0.1
"""Label smoothing, as usual in the field."""


class PictureTraining(StackedTargets, ABC):
    """What all labels of whole pictures have in common: an auxiliary head answers once, with the model's own loss."""

    is_dense = False

    @abstractmethod
    def loss(
        self, logits: Float[Tensor, "batch classes"], targets: Tensor, class_weights: Float[Tensor, " classes"]
    ) -> Float[Tensor, ""]:
        """Compute the loss against labels."""

    @abstractmethod
    def soft_loss(
        self, logits: Float[Tensor, "batch classes"], probabilities: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, ""]:
        """Compute the loss against a teacher's probabilities."""

    def auxiliary_queries(self, grid: Grid) -> int:
        """One answer for the whole picture."""
        return 1

    def auxiliary_loss(
        self,
        logits: Float[Tensor, "batch 1 classes"],
        targets: Tensor,
        class_weights: Float[Tensor, " classes"],
        grid: Grid,
    ) -> Float[Tensor, ""]:
        """Compute the model's loss."""
        return self.loss(logits.squeeze(1), targets, class_weights)

    def soft_auxiliary_loss(
        self, logits: Float[Tensor, "batch 1 classes"], probabilities: Float[Tensor, "batch classes"], grid: Grid
    ) -> Float[Tensor, ""]:
        """Compute the model's loss."""
        return self.soft_loss(logits.squeeze(1), probabilities)

    def coverage(self, target: Tensor, grid: Grid) -> Float32[Tensor, " cells"] | None:
        """Return None: labels of the whole picture do not show where to read."""
        return None


class SingleLabelTraining(PictureTraining):
    """One label: smoothed cross-entropy. Targets are int64 (batch,)."""

    has_one_label = True

    def configure(
        self, config: Config, classes: tuple[str, ...], pool: Pool, decoder_channels: int, points: int
    ) -> Config:
        """Return the config of a classifier."""
        return _configure_classifier(config, classes, pool, multi_label=False)

    def target(self, classes: Sequence[int], annotation: Tensor | None, class_count: int) -> Int64[Tensor, ""]:
        """Return the class's index."""
        return torch.tensor(classes[0])

    def weigh_classes(
        self, counts: Int[ndarray, " classes"], examples: int, balance: float
    ) -> Float32[Tensor, " classes"]:
        """Weigh a class by the median count over its own."""
        return balance_factors(median_ratios(counts), balance)

    def loss(
        self,
        logits: Float[Tensor, "batch classes"],
        targets: Int64[Tensor, " batch"],
        class_weights: Float[Tensor, " classes"],
    ) -> Float[Tensor, ""]:
        """Compute the smoothed cross-entropy, in which a picture counts as its class does."""
        return F.cross_entropy(logits, targets, class_weights, reduction="none", label_smoothing=SMOOTHING).mean()

    def soften(self, logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        """Return the softmax."""
        return logits.softmax(1)

    def soft_loss(
        self, logits: Float[Tensor, "batch classes"], probabilities: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy with the probabilities."""
        return F.cross_entropy(logits, probabilities)


class MultiLabelTraining(PictureTraining):
    """Several labels: a binary cross-entropy for each. Targets are float32 (batch, classes) of 0 and 1."""

    has_one_label = False

    def configure(
        self, config: Config, classes: tuple[str, ...], pool: Pool, decoder_channels: int, points: int
    ) -> Config:
        """Return the config of a classifier with several labels per picture."""
        return _configure_classifier(config, classes, pool, multi_label=True)

    def target(
        self, classes: Sequence[int], annotation: Tensor | None, class_count: int
    ) -> Float32[Tensor, " classes"]:
        """Return 1 for each of the picture's classes, 0 for the others."""
        return torch.zeros(class_count).index_fill_(0, torch.tensor(classes, dtype=torch.int64), 1.0)

    def weigh_classes(
        self, counts: Int[ndarray, " classes"], examples: int, balance: float
    ) -> Float32[Tensor, " classes"]:
        """Weigh a class's positive examples by the number of pictures without the class over the number with it."""
        present = np.maximum(counts.astype(np.float64), 1)
        return balance_factors((examples - present).clip(1) / present, balance)

    def loss(
        self,
        logits: Float[Tensor, "batch classes"],
        targets: Float[Tensor, "batch classes"],
        class_weights: Float[Tensor, " classes"],
    ) -> Float[Tensor, ""]:
        """Compute the binary cross-entropy; `class_weights` apply to positive examples."""
        return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=class_weights)

    def soften(self, logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
        """Return the sigmoid."""
        return logits.sigmoid()

    def soft_loss(
        self, logits: Float[Tensor, "batch classes"], probabilities: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, ""]:
        """Compute the binary cross-entropy with the probabilities."""
        return F.binary_cross_entropy_with_logits(logits, probabilities)


def _configure_classifier(config: Config, classes: tuple[str, ...], pool: Pool, multi_label: bool) -> Config:
    return replace(config, task="classify", multi_label=multi_label, labels=classes, pool=pool, decoder_channels=0)
