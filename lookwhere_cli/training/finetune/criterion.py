"""What fine-tuning asks of logits: that they say what the labels say, or what a teacher says of the same pictures."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.data.examples import Kind
from lookwhere_cli.errors import UsageError
from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.finetune.batches import Batch, grid_of

SMOOTHING = 0.1  # of labels, as usual in the field
IGNORED = 255


class Criterion(Protocol):
    """A task's loss. What `targets` gives of a batch is made once, and asked of every answer to it."""

    def targets(self, batch: Batch) -> Tensor:
        """What is to be said of the batch's pictures."""
        ...

    def whole(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """The loss of a model's answer: (batch, classes), or for masks (batch, classes, fine_rows, fine_columns)."""
        ...

    def shares(self, targets: Tensor, grid: Grid) -> Float[Tensor, "batch cells classes"]:
        """For masks, how much each class is asked of each cell of a grid; what `cell_loss` takes."""
        ...


class LabelCriterion(nn.Module):
    """The labels' own loss: cross-entropy, for several labels to a picture a binary one for each.

    class_weights: (classes,) factor of each class's part of the loss; for several labels, of its positive examples.
    """

    def __init__(self, kind: Kind, class_weights: Float[Tensor, " classes"]) -> None:
        super().__init__()
        self.kind = kind
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights, persistent=False)

    def targets(self, batch: Batch) -> Tensor:
        """The labels."""
        return batch.targets

    def whole(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """Of one label it is smoothed; of masks it is taken pixel by pixel."""
        if self.kind == "multi":
            return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.class_weights)
        if self.kind == "single":
            return class_loss(logits, targets, self.class_weights)
        return pixel_loss(logits, targets, self.class_weights)

    def shares(self, targets: UInt8[Tensor, "batch height width"], grid: Grid) -> Float[Tensor, "batch cells classes"]:
        """The classes' parts of each cell's pixels, each as much as its class counts."""
        return class_shares(targets, len(self.class_weights), grid) * self.class_weights


class TeacherCriterion(nn.Module):
    """Distillation: the cross-entropy with what a teacher, which reads all cells, says of the very same pictures.

    Labels have no part in it: "Knowledge distillation: a good teacher is patient and consistent", Beyer et al.,
    arXiv 2106.05237, section 3. The teacher is as `teacher_of` checks.
    """

    def __init__(self, teacher: LookWhere) -> None:
        super().__init__()
        self.teacher = teacher
        self._normalise = Normaliser(teacher.config)

    @torch.no_grad()
    def targets(self, batch: Batch) -> Tensor:
        """Probabilities, in the shape of the teacher's logits."""
        patch, pictures = self.teacher.config.patch, self._normalise(batch.pictures)
        grid = grid_of(pictures, patch)
        cells = torch.arange(grid[0] * grid[1], device=pictures.device).expand(len(pictures), -1)
        chosen = Chosen(cut(pictures, patch), cells, grid, self.teacher.select(pictures, grid).prefix_tokens)
        if self.teacher.config.task == "segment":
            return self.teacher.segment(chosen).float().softmax(1)
        logits = self.teacher.logits(self.teacher.extract(chosen)).float()
        return logits.sigmoid() if self.teacher.config.multi_label else logits.softmax(1)

    def whole(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        """Of masks it is taken where the teacher has logits, not at each pixel."""
        if self.teacher.config.multi_label:
            return F.binary_cross_entropy_with_logits(logits, targets)
        if self.teacher.config.task == "segment":
            logits = F.interpolate(logits, size=targets.shape[-2:], mode="bilinear", align_corners=False)
        return F.cross_entropy(logits, targets)

    def shares(
        self, targets: Float[Tensor, "batch classes fine_rows fine_columns"], grid: Grid
    ) -> Float[Tensor, "batch cells classes"]:
        """The mean of the teacher's probabilities in each cell."""
        return F.adaptive_avg_pool2d(targets, grid).flatten(2).mT


def teacher_of(loaded: Loaded, config: Config) -> LookWhere:
    """The model as a teacher of one with this config.

    Raises UsageError unless it reads all cells, of the same size, and its answers are about the same labels.
    """
    own = loaded.config
    if own.exits or own.selector_depth:
        what = "is a cascade over grids" if own.exits else "chooses cells, and does not see the rest"
        raise UsageError(f"The teacher {loaded.name} {what}; take one that was trained with --method full.")
    if (own.task, own.multi_label, own.labels) != (config.task, config.multi_label, config.labels):
        raise UsageError(
            f"The teacher {loaded.name} answers another question ({_question(own)}; asked is {_question(config)}); "
            "take one that was trained on the same classes, in the same order."
        )
    if own.patch != config.patch:
        raise UsageError(f"The teacher {loaded.name} has patches of {own.patch} px, the model of {config.patch} px.")
    return loaded.lookwhere


def _question(config: Config) -> str:
    kind = "masks" if config.task == "segment" else "several labels" if config.multi_label else "one label"
    return f"{kind} of {len(config.labels)} classes"


def class_loss(
    logits: Float[Tensor, "batch classes"], targets: Int64[Tensor, " batch"], class_weights: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """Cross-entropy of one label, smoothed; a picture counts as its class does."""
    return F.cross_entropy(logits, targets, class_weights, reduction="none", label_smoothing=SMOOTHING).mean()


def pixel_loss(
    logits: Float[Tensor, "batch classes fine_rows fine_columns"],
    masks: UInt8[Tensor, "batch height width"],
    class_weights: Float[Tensor, " classes"],
) -> Float[Tensor, ""]:
    """Cross-entropy at the masks' own resolution, logits resized bilinearly; pixels of 255 count as no loss."""
    logits = F.interpolate(logits, size=masks.shape[-2:], mode="bilinear", align_corners=False)
    # Over all pixels, ignored ones too, so that processes which share a batch weigh theirs alike.
    return F.cross_entropy(logits, masks.long(), class_weights, ignore_index=IGNORED, reduction="none").mean()


def class_shares(
    masks: UInt8[Tensor, "batch height width"], classes: int, grid: Grid
) -> Float[Tensor, "batch cells {classes}"]:
    """What part of each cell's pixels each class has, 0..1; what is 255 (ignored) is no class's."""
    return torch.stack(
        [F.adaptive_avg_pool2d((masks == index).float(), grid).flatten(1) for index in range(classes)], dim=-1
    )


def cell_loss(
    logits: Float[Tensor, "batch cells classes"], shares: Float[Tensor, "batch cells classes"]
) -> Float[Tensor, ""]:
    """Mean cross-entropy of all pixels where those of a cell have its logits: `pixel_loss` without the resizing."""
    return -(shares * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
