"""What-where distillation as a run: photographs and teachers in, a pretrained model out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.models.build import Model
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.training.average import AverageRule, growing_decay
from lookwhere_cli.training.contract import Learner
from lookwhere_cli.training.distil.distillation import Distillation, student_of, weighted_sum
from lookwhere_cli.training.distil.recipe import Pretraining
from lookwhere_cli.training.distil.teacher import Teacher
from lookwhere_cli.training.distil.views import ViewBatch, Views
from lookwhere_cli.training.optim import optimizer_of
from lookwhere_cli.training.timm_models import TimmViT

SHAPES = {
    "selector_depth": "--selector-depth",
    "registers": "--registers",
    "map_scale": "give smaller views by --size, or --thumbnail-size",
}
"""What of a config shapes weights and can be chosen, and by which options."""


@dataclass(frozen=True)
class PretrainingPlan:
    """A distillation, for `loop.Run`.

    teachers: the first one is also the start of the student, and the target of its tokens and its map.
    folders: the photographs of each folder; all must be readable. init: a model whose weights replace the teacher's as
    the start. save_every: steps between checkpoints.
    """

    recipe: Pretraining
    teachers: Sequence[TimmViT]
    config: Config
    folders: Sequence[Sequence[str]]
    init: Loaded | None = None
    save_every: int = 100

    history_key = "history"
    epochs = None
    extended_identity = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the result depends on."""
        return {
            **self.recipe.as_dict(),
            "teachers": [teacher.fingerprint() for teacher in self.teachers],
            "photographs": [
                hashlib.sha256("\0".join(paths).encode(errors="surrogateescape")).hexdigest() for paths in self.folders
            ],
            "config": json.loads(json.dumps(self.config.to_dict())),
            "init": self.init and self.init.revision,
        }

    @property
    def picture_count(self) -> int:
        """The number of photographs."""
        return sum(map(len, self.folders))

    @property
    def pictures(self) -> list[list[str]]:
        """The photographs of each folder."""
        return [list(folder) for folder in self.folders]

    def batches(self, share: tuple[int, int]) -> Views:
        """Return the views of each step. Raises DataError if there are no photographs."""
        if not any(self.folders):
            raise DataError("There are no photographs to train on.")
        recipe = self.recipe
        return Views(self.folders, recipe.views, recipe.batch, recipe.seed, recipe.steps, share)

    def period(self, batches: object) -> int:
        """Return the number of steps between checkpoints."""
        return self.save_every

    def restarts(self, period: int) -> tuple[int, ...]:
        """Return no step: a distillation has one schedule."""
        return ()

    def start_model(self) -> LookWhere:
        """Return the student with the first teacher's weights, or with those of `init`. Raises ModelError."""
        student = student_of(self.teachers[0].vit, self.config)
        if self.init is not None:
            _start_from(self.init, student)
        return student

    def average_rule(self) -> AverageRule:
        """Return the exponential moving average whose decay grows to the recipe's."""
        return growing_decay(self.recipe.average)

    def learner(self, model: Model, device: torch.device) -> Learner:
        """Return the student and its teachers."""
        assert isinstance(model, LookWhere)
        recipe = self.recipe
        teachers = [Teacher(teacher, recipe.map_recipe).to(device) for teacher in self.teachers]
        module = Distillation(model, teachers, recipe.weights, recipe.patch_loss)
        total = partial(weighted_sum, weights=recipe.weights)
        return Learner(module, {"student": model}, optimizer_of(model, recipe.rates), total)

    def begin(
        self,
        learner: Learner,
        first: Callable[[int], Iterator[ViewBatch]],
        sum_over_processes: Callable[[Tensor], Tensor],
    ) -> None:
        """Do nothing: the student starts with its teacher's weights."""


def _start_from(init: Loaded, student: LookWhere) -> None:
    """Load a model's weights into the student, positions resized to its grids. Raises ModelError."""
    model = init.lookwhere
    has, needs = model.config, student.config
    if differing := [name for name in SHAPES if getattr(has, name) != getattr(needs, name)]:
        each = (f"{name} {getattr(has, name)} instead of {getattr(needs, name)} ({SHAPES[name]})" for name in differing)
        raise ModelError(f"The model {init.name!r} does not fit this run: it has {', '.join(each)}.")
    state = model.state_dict()
    state["extractor.pos_embed"] = model.extractor.positions_for(student.extractor.grid)
    state["selector.backbone.pos_embed"] = model.selector.backbone.positions_for(student.selector.backbone.grid)
    try:
        student.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"The model {init.name!r} has other shapes than this run: {str(error).splitlines()[1].strip()}"
        ) from None
