"""Training a cascade over grids (DVT): its start and its objective."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import nn

from lookwhere_cli.models.build import Model
from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.shapes import shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.strategies.grids import grids_for
from lookwhere_cli.training.finetune.batches import TrainingBatch, grid_of
from lookwhere_cli.training.finetune.criterion import Criterion
from lookwhere_cli.training.finetune.start import has_same_head


class CascadeObjective(nn.Module):
    """A cascade and its loss, the sum of its exits'.

    Nothing is detached: the loss of a later exit also trains the earlier exits that it reuses.
    """

    auxiliaries = None

    def __init__(self, model: DVT, criterion: Criterion) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self._normalise = Normaliser(model.config)

    def forward(self, batch: TrainingBatch) -> dict[str, Float[torch.Tensor, ""]]:
        """Compute the loss "task"."""
        config = self.model.config
        grids = grids_for(config, grid_of(batch.pictures, config.patch))
        answers = self.model(self._normalise(batch.pictures), grids)
        targets = self.criterion.targets(batch)
        losses = [self.criterion.loss(logits.float(), targets) for logits in answers]
        return {"task": torch.stack(losses).sum()}

    def after_step(self) -> None:
        """Do nothing: all that is trained belongs to the model."""


def start_cascade(base: LookWhere, config: Config) -> DVT:
    """Return a cascade with this config, float32, in which each exit starts with the extractor's weights.

    The heads start with that of `base` if it has the same labels, pooling and task.
    """
    cascade = DVT(config, shapes_of(config))
    cascade.start_from(base.extractor.float(), base.head.float() if has_same_head(base.config, config) else None)
    return cascade


def cascade_objective(model: Model, criterion: Criterion) -> CascadeObjective:
    """Return the objective of a cascade. Raises TypeError for any other model."""
    if isinstance(model, LookWhere):
        raise TypeError("a model that is no cascade has no exits")
    return CascadeObjective(model, criterion)
