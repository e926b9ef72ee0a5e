"""Fine-tuning as a run: labelled pictures and a model in, a model for their classes out (paper, section on it)."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.data.counts import count_classes
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.regions import Regions
from lookwhere_cli.errors import DataError, PictureError, UsageError
from lookwhere_cli.heads.training.base import AuxiliaryTraining, TrainingHead
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.images.large.parts import size_of_part
from lookwhere_cli.models.build import Model
from lookwhere_cli.models.config import Config
from lookwhere_cli.training.average import AverageRule, growing_decay
from lookwhere_cli.training.contract import Epochs, Learner
from lookwhere_cli.training.finetune.batches import Batches, BatchRecipe, TrainingBatch
from lookwhere_cli.training.finetune.criterion import Criterion, LabelCriterion, TeacherCriterion, teacher_of
from lookwhere_cli.training.finetune.first_queries import PICTURES, start_queries
from lookwhere_cli.training.finetune.methods import METHODS, TrainingMethod
from lookwhere_cli.training.finetune.objective import SCORES_WEIGHT, Objective
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.validate import validate
from lookwhere_cli.training.optim import FRESH, optimizer_of
from lookwhere_cli.training.resuming import stored_examples

MEASURED = 200  # pictures whose sizes give the typical one
_MAP_HEAD = "selector.head."
_FRESH = (*FRESH[1:], "head.", "decoder.", "detector.", "extractor.cropr.", "reuse.", "second_look.")
"""Beginnings of the names of weights that learn at the rate of fresh ones."""


@dataclass(frozen=True)
class FineTuningPlan:
    """A fine-tuning, for `loop.Run`.

    Attributes:
        base: the model to start from.
        config: of the new model; each epoch is scored at its k.
        labelled: every example has a split.
        regions: where pictures are worth reading, with the steering "look".
        teacher: a model whose answers replace the labels.
        typical: the typical (height, width) of the training pictures, from which the config's grid was made.
    """

    recipe: FineTuning
    base: Loaded
    config: Config
    labelled: LabelledSet
    regions: Regions | None = None
    teacher: Loaded | None = None
    typical: tuple[int, int] | None = None

    history_key = "steps"

    @property
    def head(self) -> TrainingHead:
        """The task."""
        return TRAINING_HEADS[self.labelled.kind]

    @property
    def method(self) -> TrainingMethod:
        """The method."""
        return METHODS[self.recipe.shape.method]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the result depends on."""
        return self._identity(self.recipe)

    @property
    def extended_identity(self) -> dict[str, Any] | None:
        """The identity of the run that this one goes on from; None for a run of its own."""
        earlier = self.recipe.earlier
        return None if earlier is None else self._identity(earlier)

    def _identity(self, recipe: FineTuning) -> dict[str, Any]:
        return {
            **recipe.as_dict(),
            "start": self.base.revision,
            "data": fingerprint(self.labelled),
            "look": self.regions and self.regions.fingerprint(),
            "config": json.loads(json.dumps(self.config.to_dict())),
            **({"scores_weight": SCORES_WEIGHT} if self._teaches_pruning else {}),
            "teacher": self.teacher and self.teacher.revision,
        }

    @property
    def epochs(self) -> Epochs:
        """Epochs are scored on the validation pictures."""
        score = partial(validate, labelled=self.labelled, failed=self._failed)
        return Epochs(score, self.recipe.patience, self._failed, self.recipe.validate_every)

    @cached_property
    def _failed(self) -> list[str]:
        """A sentence for each validation picture that could not be read in the last epoch."""
        return []

    @property
    def picture_count(self) -> int:
        """The number of training pictures."""
        return len(self.labelled.of("train"))

    @property
    def pictures(self) -> dict[str, Any]:
        """The examples, and the typical size of the pictures."""
        return {"examples": stored_examples(self.labelled), "typical": self.typical and list(self.typical)}

    def batches(self, share: tuple[int, int]) -> Batches:
        """Return the batches of all epochs. Raises UsageError if processes can't share a batch evenly."""
        recipe, config, labelled = self.recipe, self.config, self.labelled
        if recipe.batch % share[1]:
            raise UsageError(
                f"--batch-size {recipe.batch} can't be divided evenly among {share[1]} processes; use a multiple of "
                f"{share[1]}."
            )
        batch_recipe = BatchRecipe(
            config.size,
            config.thumbnail_size,
            config.coarse_size,
            config.patch,
            recipe.k,
            recipe.batch,
            recipe.seed,
            recipe.augmentation,
            coverage_from_targets=self._needs_coverage,
            added=recipe.added,
            masks=config.has_masks,
            eased_epochs=recipe.extended[0] if recipe.extended else recipe.epochs,
        )
        classes = len(labelled.classes)
        return Batches(self.head, classes, labelled.of("train"), self.regions, batch_recipe, recipe.epochs, share)

    @property
    def _needs_coverage(self) -> bool:
        """True if targets tell the selector or the pruning modules which cells matter."""
        return self._teaches_pruning or (self.recipe.steering == "look" and self.head.is_dense)

    @property
    def _teaches_pruning(self) -> bool:
        """True if pruning modules learn from coverage instead of auxiliary heads."""
        return self.config.prune is not None and not isinstance(self.head, AuxiliaryTraining)

    def period(self, batches: Any) -> int:
        """Return the number of steps in an epoch."""
        steps: int = batches.per_epoch
        return steps

    def restarts(self, period: int) -> tuple[int, ...]:
        """Return the steps at which the learning rate rises once more: where each earlier run ended."""
        return tuple(epochs * period for epochs in self.recipe.extended)

    def start_model(self) -> Model:
        """Return the new model with the weights of `base`."""
        return self.method.start(self.base.lookwhere, self.config)

    def average_rule(self) -> AverageRule:
        """Return the moving average with the recipe's decay, reached as the run gets longer."""
        return growing_decay(self.recipe.average)

    def learner(self, model: Model, device: torch.device) -> Learner:
        """Return the model's objective and optimiser. Raises UsageError for a teacher that does not fit."""
        objective = self.method.objective(model, self._criterion(), self.recipe.steering)
        assert isinstance(objective, nn.Module)
        objective.to(device)
        auxiliaries = objective.auxiliaries
        # A map that is trained towards regions is a new one, so its head learns at the rate of fresh weights.
        fresh = (*_FRESH, _MAP_HEAD) if self.recipe.steering == "look" else _FRESH
        optimizer = optimizer_of(model, self.recipe.rates, fresh, auxiliaries)
        parts = {"model": model, "auxiliaries": nn.Module() if auxiliaries is None else auxiliaries}
        return Learner(objective, parts, optimizer, after_step=objective.after_step)

    def begin(
        self,
        learner: Learner,
        first: Callable[[int], Iterator[TrainingBatch]],
        sum_over_processes: Callable[[Tensor], Tensor],
    ) -> None:
        """Set the queries of pruning modules from training pictures, if each module has a single one.

        Modules of dense tasks have a query for each cell, which stay as they were drawn.
        """
        objective = learner.module
        if isinstance(objective, Objective) and objective.has_single_queries:
            start_queries(objective, first(math.ceil(PICTURES / self.recipe.batch)), sum_over_processes)

    def _criterion(self) -> Criterion:
        if self.teacher is not None:
            return TeacherCriterion(self.head, teacher_of(self.teacher, self.config))
        return LabelCriterion(self.head, class_weights(self.labelled, self.recipe.balance))


def class_weights(labelled: LabelledSet, balance: float) -> Tensor:
    """Return a weight for each class, (classes,) float32, from how often it occurs in the training examples.

    balance: 0..1; 0 weighs all classes alike.
    """
    counts, examples = count_classes(labelled, "train"), len(labelled.of("train"))
    return TRAINING_HEADS[labelled.kind].weigh_classes(counts, examples, balance)


def fingerprint(labelled: LabelledSet) -> str:
    """Return a hash of all paths, labels, boxes and splits; checkpoints store it, so it must never change."""
    examples = "\0".join(str(replace(example, group=None)) for example in labelled.examples)
    digest = hashlib.sha256(f"{labelled.classes} {examples}".encode(errors="surrogateescape"))
    for example in labelled.examples:
        if example.objects is not None:
            boxes, classes, crowd, outlines = example.objects
            for part in (boxes, classes, crowd):
                digest.update(part.tobytes())
            digest.update(b"" if outlines is None else repr(outlines).encode())
    return digest.hexdigest()


def typical_size(labelled: LabelledSet) -> tuple[int, int]:
    """Return the median (height, width) of the training pictures as displayed, from the first ones that can be read.

    Raises DataError if none of them can.
    """
    sizes = [size for example in labelled.of("train")[:MEASURED] if (size := _size_of(example.path)) is not None]
    if not sizes:
        raise DataError("The training pictures can't be read any more.")
    height, width = np.median(np.array(sizes), axis=0)
    return int(height), int(width)


def _size_of(path: str) -> tuple[int, int] | None:
    try:
        return size_of_part(path)
    except PictureError:
        return None
