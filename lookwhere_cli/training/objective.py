"""What fine-tuning minimises: the task's loss on the chosen cells; where the selector learns, the map's; and where the
extractor prunes, the losses of what teaches its modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int64, UInt8
from torch import Tensor, nn

from lookwhere_cli.dvt_predictor import grids_for
from lookwhere_cli.models.auxiliary import Attending, Auxiliaries
from lookwhere_cli.models.cascade import every
from lookwhere_cli.models.config import Config, Grid
from lookwhere_cli.models.dvt import DVT
from lookwhere_cli.models.extractor import Coarse
from lookwhere_cli.models.looks import Seen, Whole, looks_of
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import Selection, choose
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.batches import Batch
from lookwhere_cli.training.examples import Kind
from lookwhere_cli.training.losses import map_loss

Steering = Literal["frozen", "look", "attention"]
"""What moves the map: nothing; where to look, as it is told; or the extractor's own attention."""

SMOOTHING = 0.1  # of labels, as usual in the field
EXPLORED = 0.25  # share of the cells drawn at random while attention steers: what is never read is never asked for
IGNORED = 255


class Objective(nn.Module):
    """A model and its losses on a batch, by name.

    auxiliaries: what teaches the model's pruning modules beside it, where it has any; no part of the model.
    class_weights: (classes,) factor of each class's part of the loss; for several labels, of its positive examples.
    """

    def __init__(
        self, model: LookWhere, kind: Kind, steering: Steering, class_weights: Float[Tensor, " classes"]
    ) -> None:
        super().__init__()
        self.model, self.kind, self.steering = model, kind, steering
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights, persistent=False)
        if steering == "frozen":
            model.selector.requires_grad_(False)
        self.auxiliaries = _auxiliaries_of(model, kind)
        self.hand_over()
        self._attended: Tensor | None = None
        if steering == "attention":
            self._last_attention.register_forward_pre_hook(self._remember)

    def forward(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The losses, to be added up."""
        grid = _grid_of(batch.pictures, self.model.config.patch)
        selection = self._select(batch, grid)
        cells = self._cells(batch, selection.map.detach())
        with self._watched(batch.progress) as watched:
            answers = self._answers(batch, grid, cells, selection.prefix_tokens)
        each = [self._task_loss(logits.float(), batch.targets) for logits in answers]
        losses = {"task": torch.stack(each).sum()}
        if self.auxiliaries is not None:
            losses["auxiliary"] = self._auxiliary_loss(self.auxiliaries(watched).float(), batch.targets)
        if self.steering == "look" and batch.look is not None:
            losses["look"] = look_loss(selection.map, batch.look)
        elif self.steering == "attention":
            losses["look"] = map_loss(selection.map.gather(1, cells), self._attention(batch.k))
        return losses

    def hand_over(self) -> None:
        """Let the model prune as its modules have been taught so far; to be done after each step."""
        if self.auxiliaries is not None and self.model.extractor.cropr is not None:
            self.auxiliaries.hand_over(self.model.extractor.cropr)

    def _watched(self, progress: float) -> AbstractContextManager[Sequence[Tensor]]:
        """What the pruning modules are given; for masks, fewer tokens are dropped in the training's first half."""
        cropr = self.model.extractor.cropr
        if cropr is None:
            return nullcontext(())
        return cropr.watched(progress if self.kind == "masks" else 1.0)

    def _auxiliary_loss(
        self, logits: Float[Tensor, "batch modules queries classes"], targets: Tensor
    ) -> Float[Tensor, ""]:
        """The task's own loss for each module, added up. Of masks a query answers for its cell of the model's grid."""
        if self.kind == "masks":
            shares = class_shares(targets, logits.shape[-1], self.model.config.grid)
            each = [cell_loss(one, shares, self.class_weights) for one in logits.unbind(1)]
        else:
            each = [self._task_loss(one, targets) for one in logits.squeeze(2).unbind(1)]
        return torch.stack(each).sum()

    def _answers(
        self,
        batch: Batch,
        grid: Grid,
        cells: Int64[Tensor, "batch k"],
        prefix_tokens: Float[Tensor, "batch prefix dim"],
    ) -> Sequence[Tensor]:
        """The logits; of a model that learns to look twice, those of both looks, as it gives them later."""
        model, pictures = self.model, cut(batch.pictures, self.model.config.patch)
        if batch.added:
            whole = Whole(self._normalised(pictures))
            looks = looks_of(model, (batch.k, batch.k + batch.added))
            return every(looks, Seen(whole, grid, cells, prefix_tokens, self._coarse(batch)))
        chosen = torch.take_along_dim(pictures, cells[:, :, None, None, None], 1)
        given = (self._normalised(chosen), cells, grid, prefix_tokens, self._coarse(batch))
        return [model.segment(*given) if self.kind == "masks" else model.logits(model.extract(*given))]

    def _select(self, batch: Batch, grid: Grid) -> Selection:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.steering != "frozen"):
            return self.model.select(self._normalised(batch.thumbnails), grid)

    def _coarse(self, batch: Batch) -> Coarse | None:
        if batch.coarse is None:
            return None
        patch = self.model.config.patch
        return Coarse(cut(self._normalised(batch.coarse), patch), _grid_of(batch.coarse, patch))

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

    def _task_loss(self, logits: Tensor, targets: Tensor) -> Float[Tensor, ""]:
        if self.kind == "multi":
            return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=self.class_weights)
        if self.kind == "single":
            return class_loss(logits, targets, self.class_weights)
        return pixel_loss(logits, targets, self.class_weights)

    def _normalised(self, pixels: UInt8[Tensor, "*batch 3 height width"]) -> Float[Tensor, "*batch 3 height width"]:
        return normalised(pixels, self.model.config)

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


def _auxiliaries_of(model: LookWhere, kind: Kind) -> Auxiliaries | None:
    config, cropr = model.config, model.extractor.cropr
    if cropr is None:
        return None
    queries = math.prod(config.grid) if kind == "masks" else 1
    return Auxiliaries(cropr, queries, len(config.labels), Attending(norm=config.prune_norm))


def _grid_of(pictures: UInt8[Tensor, "batch 3 height width"], patch: int) -> Grid:
    return pictures.shape[-2] // patch, pictures.shape[-1] // patch


class CascadeObjective(nn.Module):
    """A cascade over grids and its loss on a batch: the sum of its exits' cross-entropies.

    class_weights: as in `Objective`. Nothing is detached: a later exit's loss also moves the exits that it reuses.
    """

    auxiliaries = None

    def __init__(self, model: DVT, class_weights: Float[Tensor, " classes"]) -> None:
        super().__init__()
        self.model = model
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The loss, by the name of a task's."""
        config = self.model.config
        grids = grids_for(config, _grid_of(batch.pictures, config.patch))
        answers = self.model(normalised(batch.pictures, config), grids)
        losses = [class_loss(logits.float(), batch.targets, self.class_weights) for logits in answers]
        return {"task": torch.stack(losses).sum()}

    def hand_over(self) -> None:
        """Nothing: all that is learnt is the model's own."""


def normalised(
    pixels: UInt8[Tensor, "*batch 3 height width"], config: Config
) -> Float[Tensor, "*batch 3 height width"]:
    """Pixels as the model has them."""
    mean, std = (torch.tensor(value, device=pixels.device).view(3, 1, 1) for value in (config.mean, config.std))
    return (pixels.float() / 255 - mean) / std


def class_loss(
    logits: Float[Tensor, "batch classes"], targets: Int64[Tensor, " batch"], class_weights: Float[Tensor, " classes"]
) -> Float[Tensor, ""]:
    """Cross-entropy of one label, smoothed; a picture counts as its class does."""
    return F.cross_entropy(logits, targets, class_weights, reduction="none", label_smoothing=SMOOTHING).mean()


def look_loss(map: Float[Tensor, "batch cells"], look: Float[Tensor, "batch cells"]) -> Float[Tensor, ""]:
    """KL(where to look || selector's map), both as distributions over the cells; zero for pictures without a word."""
    total = look.sum(1, keepdim=True)
    wanted = look / total.clamp_min(1e-9)
    each = F.kl_div(map.log_softmax(-1), wanted, reduction="none").sum(1)
    return (each * (total[:, 0] > 0)).mean()


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
    logits: Float[Tensor, "batch cells classes"],
    shares: Float[Tensor, "batch cells classes"],
    class_weights: Float[Tensor, " classes"],
) -> Float[Tensor, ""]:
    """Mean cross-entropy of all pixels where those of a cell have its logits: `pixel_loss` without the resizing."""
    return -(shares * class_weights * logits.log_softmax(dim=-1)).sum(dim=-1).mean()
