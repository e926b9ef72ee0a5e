"""What fine-tuning minimises: the losses of the task, of the selector, and of the auxiliary heads of pruning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.heads.training.base import AuxiliaryTraining
from lookwhere_cli.models.build import Model
from lookwhere_cli.models.cascade.looks import run_looks
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid, Selection
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.pruning.auxiliary import AttentionVariant, Auxiliaries
from lookwhere_cli.models.pruning.cropr import RecordedInputs
from lookwhere_cli.models.selector import spaced
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.finetune.batches import TrainingBatch, grid_of
from lookwhere_cli.training.finetune.criterion import Criterion
from lookwhere_cli.training.finetune.steering import STEERERS, Steering, coverage_loss

SCORES_WEIGHT = 0.1
"""Of the loss of pruning modules' scores, which also trains the blocks: at 1, the model learns the task less well."""


class FineTuningObjective(Protocol):
    """Computes the losses of a batch by name; all are added up."""

    @property
    def auxiliaries(self) -> nn.Module | None:
        """Modules that are trained with the model but not saved with it; None for no such modules."""
        ...

    def __call__(self, batch: TrainingBatch) -> dict[str, Float[Tensor, ""]]:
        """Compute the losses."""
        ...

    def after_step(self) -> None:
        """Copy what the model needs of the auxiliaries into it."""
        ...


class Objective(nn.Module):
    """A model that reads chosen cells, or all, and its losses.

    auxiliaries: the auxiliary heads that train the model's pruning modules; None for a model without them, and for
    tasks whose labels tell which cells to keep: there, the loss "auxiliary" is that of the modules' own scores, and
    each batch has coverage.
    """

    def __init__(self, model: LookWhere, criterion: Criterion, steering: Steering) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self.steerer = STEERERS[steering](model)
        self._normalise = Normaliser(model.config)
        self.auxiliaries = _auxiliaries_of(model, criterion)
        self.after_step()

    def forward(self, batch: TrainingBatch) -> dict[str, Float[Tensor, ""]]:
        """Compute the losses "task" and, where there are any, "auxiliary" and "look"."""
        grid = grid_of(batch.pictures, self.model.config.patch)
        selection = self._select(batch, grid)
        cells = self._choose(batch, selection, grid)
        with self._watch_pruning(batch.progress if self.criterion.head.is_dense else 1.0) as watched:
            answers = self._answers(batch, grid, cells, selection.prefix_tokens)
        targets = self.criterion.targets(batch)
        losses = {"task": _sum(self.criterion.loss(logits.float(), targets) for logits in answers)}
        if self.auxiliaries is not None:
            losses["auxiliary"] = self._auxiliary_loss(self.auxiliaries(watched).float(), targets)
        elif watched:
            assert batch.coverage is not None
            losses["auxiliary"] = SCORES_WEIGHT * self._scores_loss(watched, batch.coverage.gather(1, cells))
        selector_loss = self.steerer.loss(batch, selection.map, cells)
        return losses if selector_loss is None else losses | {"look": selector_loss}

    @torch.no_grad()
    def inputs_of_pruning(self, batch: TrainingBatch) -> Sequence[Float[Tensor, "batch tokens dim"]]:
        """Return each pruning module's input if no module dropped anything; empty for a model without them.

        Tokens are ordered prefix, cells, coarse.
        """
        grid = grid_of(batch.pictures, self.model.config.patch)
        selection = self._select(batch, grid)
        with self._watch_pruning(0.0) as watched:
            self._answers(batch, grid, self._choose(batch, selection, grid), selection.prefix_tokens)
        return watched

    @property
    def has_single_queries(self) -> bool:
        """True if the model has pruning modules whose auxiliary heads answer once for the whole picture."""
        head = self.criterion.head
        return isinstance(head, AuxiliaryTraining) and bool(
            self.auxiliaries and head.auxiliary_queries(self.model.config.grid) == 1
        )

    def after_step(self) -> None:
        """Give the pruning modules the queries of their auxiliary heads."""
        if self.auxiliaries is not None and self.model.extractor.cropr is not None:
            self.auxiliaries.copy_queries(self.model.extractor.cropr)

    def _watch_pruning(self, progress: float) -> AbstractContextManager[RecordedInputs]:
        """Collect the inputs of the pruning modules, which drop more the further training has come, 0..1."""
        cropr = self.model.extractor.cropr
        return nullcontext(RecordedInputs()) if cropr is None else cropr.record_inputs(progress)

    def _auxiliary_loss(
        self, logits: Float[Tensor, "batch modules queries classes"], targets: Tensor
    ) -> Float[Tensor, ""]:
        grid = self.model.config.grid
        return _sum(self.criterion.auxiliary_loss(one, targets, grid) for one in logits.unbind(1))

    def _scores_loss(self, inputs: RecordedInputs, coverage: Float[Tensor, "batch k"]) -> Float[Tensor, ""]:
        """Compute how far the pruning modules' scores are from the share of each cell that objects cover, on average.

        Unlike the loss of auxiliary heads, it also trains the blocks: without that, scores keep hardly more of the
        cells of rare, small objects than chance does. Coarse tokens cover nothing.
        """
        assert self.model.extractor.cropr is not None
        prefix = self.model.config.prefix_tokens
        coverage = F.pad(coverage, (0, inputs[0].shape[1] - prefix - coverage.shape[1]))
        scores = self.model.extractor.cropr.scores(inputs)
        losses = [
            coverage_loss(one[:, prefix:], coverage.gather(1, places[:, prefix:] - prefix))
            for one, places in zip(scores, inputs.places, strict=True)
        ]
        return torch.stack(losses).mean()

    def _answers(
        self,
        batch: TrainingBatch,
        grid: Grid,
        cells: Int64[Tensor, "batch k"],
        prefix_tokens: Float[Tensor, "batch prefix dim"],
    ) -> Sequence[Tensor]:
        """Return the output of the model's head, or the outputs of both looks of a model with a second look."""
        pictures = cut(batch.pictures, self.model.config.patch)
        patches = torch.take_along_dim(pictures, cells[:, :, None, None, None], 1)
        chosen = Chosen(self._normalise(patches), cells, grid, prefix_tokens, self._coarse(batch))
        if batch.added:
            return run_looks(self.model, chosen, (batch.k, batch.k + batch.added))
        return [self.model.answer(chosen)]

    def _choose(self, batch: TrainingBatch, selection: Selection[Tensor], grid: Grid) -> Int64[Tensor, "batch k"]:
        return self.steerer.choose(batch, spaced(selection.map.detach(), grid, self.model.config.map_spacing))

    def _select(self, batch: TrainingBatch, grid: Grid) -> Selection[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.steerer.trains_selector):
            return self.model.select(self._normalise(batch.thumbnails), grid)

    def _coarse(self, batch: TrainingBatch) -> Coarse[Tensor] | None:
        if batch.coarse is None:
            return None
        patch = self.model.config.patch
        return Coarse(cut(self._normalise(batch.coarse), patch), grid_of(batch.coarse, patch))


def objective_of(model: Model, criterion: Criterion, steering: Steering) -> Objective:
    """Return the objective of a model with cells. Raises TypeError for a cascade."""
    if not isinstance(model, LookWhere):
        raise TypeError(f"{type(model).__name__} has no cells to choose")
    return Objective(model, criterion, steering)


def _sum(losses: Iterable[Float[Tensor, ""]]) -> Float[Tensor, ""]:
    return torch.stack(list(losses)).sum()


def _auxiliaries_of(model: LookWhere, criterion: Criterion) -> Auxiliaries | None:
    config, cropr = model.config, model.extractor.cropr
    if cropr is None:
        return None
    if not isinstance(criterion.head, AuxiliaryTraining):
        cropr.learn_queries()
        return None
    queries = criterion.head.auxiliary_queries(config.grid)
    return Auxiliaries(cropr, queries, len(config.labels), AttentionVariant(norm=config.prune_norm))
