"""What an answer is compared with: labels, or a teacher's answers to the same pictures."""

from __future__ import annotations

from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.heads.training.base import AuxiliaryTraining, TrainingHead
from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.vit import cut
from lookwhere_cli.strategies.base import StagedStrategy
from lookwhere_cli.strategies.registry import default_strategy
from lookwhere_cli.training.finetune.batches import TrainingBatch, grid_of


class Criterion(Protocol):
    """Compares answers to a batch with targets, which are computed once per batch for all answers."""

    @property
    def head(self) -> TrainingHead:
        """The task."""
        ...

    def targets(self, batch: TrainingBatch) -> Tensor:
        """Return the batch's targets, (batch, ...): labels as the task stacks them, or a teacher's probabilities."""
        ...

    def loss(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """Compute the loss of the output of a model's head, (batch, ...)."""
        ...

    def auxiliary_loss(
        self, logits: Float[Tensor, "batch queries classes"], targets: Tensor, grid: Grid
    ) -> Float[Tensor, ""]:
        """Compute the loss of an auxiliary head's output, of a task with `AuxiliaryTraining`. grid: the model's own."""
        ...


class LabelCriterion(nn.Module):
    """Compares with labels. class_weights: (classes,), from the task's `weigh_classes`."""

    def __init__(self, head: TrainingHead, class_weights: Float[Tensor, " classes"]) -> None:
        super().__init__()
        self.head = head
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights, persistent=False)

    def targets(self, batch: TrainingBatch) -> Tensor:
        """Return the labels."""
        return batch.targets

    def loss(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """Compute the task's loss."""
        return self.head.loss(logits, targets, self.class_weights)

    def auxiliary_loss(
        self, logits: Float[Tensor, "batch queries classes"], targets: Tensor, grid: Grid
    ) -> Float[Tensor, ""]:
        """Compute the task's loss for an auxiliary head."""
        assert isinstance(self.head, AuxiliaryTraining)
        return self.head.auxiliary_loss(logits, targets, self.class_weights, grid)


class TeacherCriterion(nn.Module):
    """Distillation: compares with the probabilities of a teacher that reads all cells of the very same pictures.

    Labels are not used: "Knowledge distillation: a good teacher is patient and consistent", Beyer et al., arXiv
    2106.05237, section 3. teacher: as `teacher_of` returns it.
    """

    def __init__(self, head: TrainingHead, teacher: LookWhere) -> None:
        super().__init__()
        self.head, self.teacher = head, teacher
        self._normalise = Normaliser(teacher.config)

    @torch.no_grad()
    def targets(self, batch: TrainingBatch) -> Tensor:
        """Return the teacher's probabilities, in the shape of its logits."""
        pictures = self._normalise(batch.pictures)
        grid = grid_of(pictures, self.teacher.config.patch)
        cells = torch.arange(grid[0] * grid[1], device=pictures.device).expand(len(pictures), -1)
        prefix_tokens = self.teacher.select(pictures, grid).prefix_tokens
        chosen = Chosen(cut(pictures, self.teacher.config.patch), cells, grid, prefix_tokens)
        return self.head.soften(self.teacher.answer(chosen).float())

    def loss(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """Compute the task's loss against the probabilities."""
        return self.head.soft_loss(logits, targets)

    def auxiliary_loss(
        self, logits: Float[Tensor, "batch queries classes"], targets: Tensor, grid: Grid
    ) -> Float[Tensor, ""]:
        """Compute the same for an auxiliary head."""
        assert isinstance(self.head, AuxiliaryTraining)
        return self.head.soft_auxiliary_loss(logits, targets, grid)


def teacher_of(loaded: Loaded, config: Config) -> LookWhere:
    """Return the model as a teacher of one with this config.

    Raises UsageError unless it reads all cells in one pass, with the same patches, and has the same labels.
    """
    own, strategy = loaded.config, default_strategy(loaded.config)
    if own.has_selector or isinstance(strategy, StagedStrategy):
        raise UsageError(
            f"The teacher {loaded.name!r} {strategy.summary}; choose a teacher that was trained with --method full."
        )
    if (own.task, own.multi_label, own.labels) != (config.task, config.multi_label, config.labels):
        raise UsageError(
            f"The teacher {loaded.name!r} has other labels ({head_of(own).describe()}) than the data "
            f"({head_of(config).describe()}); choose one that was trained on the same classes, in the same order."
        )
    if own.patch != config.patch:
        raise UsageError(
            f"The teacher {loaded.name!r} has patches of {own.patch} pixels, the new model of {config.patch} pixels; "
            "they must be equal."
        )
    return loaded.lookwhere
