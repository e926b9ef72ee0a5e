"""What trains the selector: nothing, regions that are worth reading, or the extractor's own attention."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64
from torch import Tensor, nn

from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import choose
from lookwhere_cli.training.distil.losses import map_loss
from lookwhere_cli.training.finetune.batches import TrainingBatch

Steering = Literal["frozen", "look", "attention"]
"""frozen: nothing; look: regions, or class boundaries of masks; attention: CLS of the extractor's last block."""
EXPLORED = 0.25
"""Share of the cells that are drawn at random under attention: cells that are never read get no attention."""


class Steerer(Protocol):
    """Chooses the cells that are read in training, and computes the selector's loss."""

    @property
    def trains_selector(self) -> bool:
        """True if the selector gets gradients."""
        ...

    def choose(self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"]) -> Int[Tensor, "batch k"]:
        """Choose the cells of all looks, best first. scores: the selector map with the model's spacing, detached."""
        ...

    def loss(
        self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"], cells: Int[Tensor, "batch k"]
    ) -> Float[Tensor, ""] | None:
        """Compute the selector's loss after the extractor's pass over `cells`; None if it has none."""
        ...


class FrozenSelector:
    """Leaves the selector as it is."""

    trains_selector = False

    def __init__(self, model: LookWhere) -> None:
        model.selector.requires_grad_(False)

    def choose(self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"]) -> Int[Tensor, "batch k"]:
        """Choose the best cells of the map."""
        return choose(scores, batch.k + batch.added)

    def loss(self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"], cells: Int[Tensor, "batch k"]) -> None:
        """A frozen selector has no loss."""


class CoverageSteerer:
    """Moves the map towards the batch's coverage."""

    trains_selector = True

    def __init__(self, model: LookWhere) -> None: ...

    def choose(self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"]) -> Int[Tensor, "batch k"]:
        """Choose the best cells; with `covered_first`, those with the highest coverage before all others."""
        if batch.coverage is not None and batch.covered_first:
            scores = scores.softmax(-1) + batch.coverage
        return choose(scores, batch.k + batch.added)

    def loss(
        self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"], cells: Int[Tensor, "batch k"]
    ) -> Float[Tensor, ""] | None:
        """Compute the `coverage_loss`, with the `level_loss` of comparable ones; None for a batch without coverage."""
        if batch.coverage is None:
            return None
        loss = coverage_loss(scores, batch.coverage)
        return loss + level_loss(scores, batch.coverage) if batch.comparable else loss


class AttentionSteerer:
    """Moves the map, among the cells that are read, towards the attention of CLS in the extractor's last block."""

    trains_selector = True

    def __init__(self, model: LookWhere) -> None:
        self._config = model.config
        last: Any = model.extractor.blocks[-1]
        self._attention = last.attn
        self._attention.register_forward_pre_hook(self._remember_input)
        self._input: Tensor | None = None

    def choose(self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"]) -> Int[Tensor, "batch k"]:
        """Choose the best cells, and a share at random."""
        places = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        ranks = torch.zeros_like(scores).scatter(1, batch.random_order, -places.to(scores.dtype))
        explored = int(EXPLORED * batch.k)
        best = choose(scores, batch.k - explored)
        rest = choose(ranks.scatter(1, best, -torch.inf), explored)
        return torch.cat([best, rest], dim=1)

    def loss(
        self, batch: TrainingBatch, scores: Float[Tensor, "batch cells"], cells: Int64[Tensor, "batch k"]
    ) -> Float[Tensor, ""]:
        """Compute the divergence of the map from the attention on the cells that were read."""
        return map_loss(scores.gather(1, cells), self._cls_attention(cells.shape[1]))

    def _remember_input(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._input = inputs[0].detach()

    @torch.no_grad()
    def _cls_attention(self, count: int) -> Float[Tensor, "batch {count}"]:
        """Compute the attention logits of CLS for each of the `count` cells, averaged over the heads."""
        x = self._input
        assert x is not None
        q, k, _ = self._attention.qkv(x).chunk(3, dim=-1)
        q, k = (part.unflatten(-1, (self._config.heads, -1)).transpose(1, 2).float() for part in (q, k))
        first = self._config.prefix_tokens
        scores = q[:, :, :1] @ k[:, :, first : first + count].mT / q.shape[-1] ** 0.5
        return scores[:, :, 0].mean(1)


STEERERS: dict[Steering, Callable[[LookWhere], Steerer]] = {
    "frozen": FrozenSelector,
    "look": CoverageSteerer,
    "attention": AttentionSteerer,
}


def coverage_loss(scores: Float[Tensor, "batch cells"], coverage: Float[Tensor, "batch cells"]) -> Float[Tensor, ""]:
    """Return KL(coverage || selector map), both as distributions over cells; a picture of all zeros counts as zero."""
    total = coverage.sum(1, keepdim=True)
    target = coverage / total.clamp_min(1e-9)
    divergence = F.kl_div(scores.log_softmax(-1), target, reduction="none").sum(1)
    return (divergence * (total[:, 0] > 0)).mean()


def level_loss(scores: Float[Tensor, "batch cells"], coverage: Float[Tensor, "batch cells"]) -> Float[Tensor, ""]:
    """Return KL(coverage || sums of the maps), both as distributions over a batch's pictures; 0 without any coverage.

    It raises and lowers whole maps, which `coverage_loss` leaves free, so that those of different pictures, such as
    the blocks of an overview, can be compared.
    """
    total = coverage.sum(1)
    target = total / total.sum().clamp_min(1e-9)
    return F.kl_div(scores.logsumexp(-1).log_softmax(-1), target, reduction="sum")
