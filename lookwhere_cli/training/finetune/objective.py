"""What fine-tuning minimises: the task's loss on the chosen cells; where the selector learns, the map's; and where the
extractor prunes, the losses of what teaches its modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from lookwhere_cli.dvt_predictor import grids_for
from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.looks import run_looks
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid, Selection
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.pruning.auxiliary import AttentionVariant, Auxiliaries
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.distil.losses import map_loss
from lookwhere_cli.training.finetune.batches import Batch, grid_of
from lookwhere_cli.training.finetune.criterion import Criterion, cell_loss

Steering = Literal["frozen", "look", "attention"]
"""What moves the map: nothing; where to look, as it is told; or the extractor's own attention."""

EXPLORED = 0.25  # share of the cells drawn at random while attention steers: what is never read is never asked for


class Objective(nn.Module):
    """A model and its losses on a batch, by name.

    auxiliaries: what teaches the model's pruning modules beside it, where it has any; no part of the model.
    """

    def __init__(self, model: LookWhere, criterion: Criterion, steering: Steering) -> None:
        super().__init__()
        self.model, self.criterion, self.steering = model, criterion, steering
        self._normalise = Normaliser(model.config)
        if steering == "frozen":
            model.selector.requires_grad_(False)
        self.auxiliaries = _auxiliaries_of(model)
        self.hand_over()
        self._attended: Tensor | None = None
        if steering == "attention":
            self._last_attention.register_forward_pre_hook(self._remember)

    def forward(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The losses, to be added up."""
        grid = grid_of(batch.pictures, self.model.config.patch)
        selection = self._select(batch, grid)
        cells = self._cells(batch, selection.map.detach())
        with self._watched(batch.progress if self._dense else 1.0) as watched:
            answers = self._answers(batch, grid, cells, selection.prefix_tokens)
        targets = self.criterion.targets(batch)
        each = [self.criterion.whole(logits.float(), targets) for logits in answers]
        losses = {"task": torch.stack(each).sum()}
        if self.auxiliaries is not None:
            losses["auxiliary"] = self._auxiliary_loss(self.auxiliaries(watched).float(), targets)
        if self.steering == "look" and batch.look is not None:
            losses["look"] = look_loss(selection.map, batch.look)
        elif self.steering == "attention":
            losses["look"] = map_loss(selection.map.gather(1, cells), self._attention(batch.k))
        return losses

    @torch.no_grad()
    def before_pruning(self, batch: Batch) -> Sequence[Float[Tensor, "batch tokens dim"]]:
        """What each pruning module would be given if none dropped anything; empty for a model without them.

        Tokens are ordered prefix, cells, coarse.
        """
        grid = grid_of(batch.pictures, self.model.config.patch)
        selection = self._select(batch, grid)
        with self._watched(0.0) as watched:
            self._answers(batch, grid, self._cells(batch, selection.map), selection.prefix_tokens)
        return watched

    def hand_over(self) -> None:
        """Let the model prune as its modules have been taught so far; to be done after each step."""
        if self.auxiliaries is not None and self.model.extractor.cropr is not None:
            self.auxiliaries.copy_queries(self.model.extractor.cropr)

    def _watched(self, progress: float) -> AbstractContextManager[Sequence[Tensor]]:
        """What the pruning modules are given; how much they drop depends on the progress."""
        cropr = self.model.extractor.cropr
        return nullcontext(()) if cropr is None else cropr.record_inputs(progress)

    @property
    def _dense(self) -> bool:
        return self.model.config.task == "segment"

    def _auxiliary_loss(
        self, logits: Float[Tensor, "batch modules queries classes"], targets: Tensor
    ) -> Float[Tensor, ""]:
        """The task's own loss for each module, added up. Of masks a query answers for its cell of the model's grid."""
        if self._dense:
            shares = self.criterion.shares(targets, self.model.config.grid)
            each = [cell_loss(one, shares) for one in logits.unbind(1)]
        else:
            each = [self.criterion.whole(one, targets) for one in logits.squeeze(2).unbind(1)]
        return torch.stack(each).sum()

    def _answers(
        self,
        batch: Batch,
        grid: Grid,
        cells: Int64[Tensor, "batch k"],
        prefix_tokens: Float[Tensor, "batch prefix dim"],
    ) -> Sequence[Tensor]:
        """Return the model's output; if it learns a second look, the logits of both looks."""
        pictures = cut(batch.pictures, self.model.config.patch)
        patches = torch.take_along_dim(pictures, cells[:, :, None, None, None], 1)
        chosen = Chosen(self._normalise(patches), cells, grid, prefix_tokens, self._coarse(batch))
        if batch.added:
            return run_looks(self.model, chosen, (batch.k, batch.k + batch.added))
        return [self.model.answer(chosen)]

    def _select(self, batch: Batch, grid: Grid) -> Selection[Tensor]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.steering != "frozen"):
            return self.model.select(self._normalise(batch.thumbnails), grid)

    def _coarse(self, batch: Batch) -> Coarse[Tensor] | None:
        if batch.coarse is None:
            return None
        patch = self.model.config.patch
        return Coarse(cut(self._normalise(batch.coarse), patch), grid_of(batch.coarse, patch))

    def _cells(self, batch: Batch, scores: Float[Tensor, "batch cells"]) -> Int[Tensor, "batch k"]:
        """The best; where it was told so, those worth a look first; while attention steers, a share at random."""
        if self.steering == "look" and batch.look is not None and batch.told:
            return choose(scores.softmax(-1) + batch.look, batch.k + batch.added)
        if self.steering != "attention":
            return choose(scores, batch.k + batch.added)
        places = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        drawn = torch.zeros_like(scores).scatter(1, batch.random, -places.to(scores.dtype))
        explored = int(EXPLORED * batch.k)
        best = choose(scores, batch.k - explored)
        rest = choose(drawn.scatter(1, best, -torch.inf), explored)
        return torch.cat([best, rest], dim=1)

    def _remember(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._attended = inputs[0].detach()

    @property
    def _last_attention(self) -> Any:
        last: Any = self.model.extractor.blocks[-1]
        return last.attn

    @torch.no_grad()
    def _attention(self, count: int) -> Float[Tensor, "batch {count}"]:
        """What CLS asks of each of the `count` cells in the last block: logits, mean over heads."""
        attention, x, config = self._last_attention, self._attended, self.model.config
        assert isinstance(x, Tensor)
        q, k, _ = attention.qkv(x).chunk(3, dim=-1)
        q, k = (part.unflatten(-1, (config.heads, -1)).transpose(1, 2).float() for part in (q, k))
        first = config.prefix_tokens
        scores = q[:, :, :1] @ k[:, :, first : first + count].mT / q.shape[-1] ** 0.5
        return scores[:, :, 0].mean(1)


def _auxiliaries_of(model: LookWhere) -> Auxiliaries | None:
    config, cropr = model.config, model.extractor.cropr
    if cropr is None:
        return None
    queries = math.prod(config.grid) if config.task == "segment" else 1
    return Auxiliaries(cropr, queries, len(config.labels), AttentionVariant(norm=config.prune_norm))


class CascadeObjective(nn.Module):
    """A cascade over grids and its loss on a batch: the sum of its exits'.

    Nothing is detached: a later exit's loss also moves the exits that it reuses.
    """

    auxiliaries = None

    def __init__(self, model: DVT, criterion: Criterion) -> None:
        super().__init__()
        self.model, self.criterion = model, criterion
        self._normalise = Normaliser(model.config)

    def forward(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The loss, by the name of a task's."""
        config = self.model.config
        grids = grids_for(config, grid_of(batch.pictures, config.patch))
        answers = self.model(self._normalise(batch.pictures), grids)
        targets = self.criterion.targets(batch)
        losses = [self.criterion.whole(logits.float(), targets) for logits in answers]
        return {"task": torch.stack(losses).sum()}

    def hand_over(self) -> None:
        """Nothing: all that is learnt is the model's own."""


def look_loss(map: Float[Tensor, "batch cells"], look: Float[Tensor, "batch cells"]) -> Float[Tensor, ""]:
    """KL(where to look || selector's map), both as distributions over the cells; zero for pictures without a word."""
    total = look.sum(1, keepdim=True)
    wanted = look / total.clamp_min(1e-9)
    each = F.kl_div(map.log_softmax(-1), wanted, reduction="none").sum(1)
    return (each * (total[:, 0] > 0)).mean()
