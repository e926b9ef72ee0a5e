"""The student and one step of what-where distillation (paper, section on pretraining)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.distil.losses import (
    PatchLoss,
    Weights,
    logits_loss,
    map_loss,
    patch_loss_chosen,
    patch_loss_spread,
)
from lookwhere_cli.training.distil.teacher import Targets, Teacher, resized


def student_of(vit: Any, config: Config) -> LookWhere:
    """A LookWhere that starts as the teacher: the extractor from all of it, the selector from its first blocks.

    Positions are resized to the student's grids; the map's head and, with `prefix: add`, the handover start fresh.
    """
    stored = {name: value.clone() for name, value in vit.state_dict().items()}
    as_teacher = replace(config, grid=vit.patch_embed.grid_size, thumbnail_grid=vit.patch_embed.grid_size)
    model, start = LookWhere(config), LookWhere(as_teacher)
    with torch.no_grad():
        for part, vit_part in ((model.extractor, start.extractor), (model.selector.backbone, start.selector.backbone)):
            vit_part.load_state_dict(stored, strict=False)
            part.load_state_dict(stored | {"pos_embed": vit_part.positions_for(part.grid)}, strict=False)
        if config.labels:
            model.head.load_state_dict({name: stored[f"head.{name}"] for name in ("weight", "bias")})
    if config.prefix == "replace":
        model.extractor.cls_token.requires_grad_(False)
        if model.extractor.reg_token is not None:
            model.extractor.reg_token.requires_grad_(False)
    return model


class Distillation(nn.Module):
    """Student and teachers on one batch: the losses, by name."""

    def __init__(
        self, student: LookWhere, teachers: Sequence[Teacher], weights: Weights, patch_loss: PatchLoss
    ) -> None:
        super().__init__()
        self.student = student
        self._normalise = Normaliser(student.config, white=1)
        self.weights, self.patch_loss = weights, patch_loss
        self._teachers = list(teachers)  # a plain list: frozen, and in no checkpoint

    def forward(
        self, pictures: Float[Tensor, "batch 3 height width"], thumbnail: Grid, k: int
    ) -> dict[str, Float[Tensor, ""]]:
        """Pictures in 0..1; `thumbnail` in pixels (height, width). The first teacher gives CLS, patches and map."""
        with torch.no_grad():
            targets = [teacher(pictures) for teacher in self._teachers]
        return self._losses(pictures, thumbnail, k, targets)

    def _losses(
        self, pictures: Float[Tensor, "batch 3 height width"], thumbnail: Grid, k: int, targets: Sequence[Targets]
    ) -> dict[str, Float[Tensor, ""]]:
        config, first, teacher = self.student.config, targets[0], self._teachers[0]
        grid = (pictures.shape[-2] // config.patch, pictures.shape[-1] // config.patch)
        small = F.interpolate(pictures, size=thumbnail, mode="bicubic", antialias=True, align_corners=False)
        selection = self.student.select(self._normalise(small.clamp(0, 1)), grid)
        cells = choose(selection.map.detach(), k)
        patches = torch.take_along_dim(cut(self._normalise(pictures), config.patch), cells[:, :, None, None, None], 1)
        chosen = Chosen(patches, cells, grid, selection.prefix_tokens)
        tokens = self.student.extractor(chosen, self._returned()).tokens
        losses = {
            "cls": F.mse_loss(tokens[:, 0].float(), first.cls.float()),
            "map": map_loss(selection.map, resized(first.map[:, None], teacher.grid, grid)[:, 0]),
        }
        if self.weights.patch:
            wanted = resized(first.patches.float().mT, teacher.grid, grid).mT
            of_cells = tokens[:, config.prefix_tokens :]
            if self.patch_loss == "spread":
                losses["patch"] = patch_loss_spread(of_cells, cells, grid, wanted)
            else:
                losses["patch"] = patch_loss_chosen(of_cells, cells, wanted)
        if config.labels:
            wanted = torch.stack([target.logits.float().softmax(-1) for target in targets]).mean(0)
            losses["logits"] = logits_loss(self.student.logits(tokens[:, 0]), wanted)
        return losses

    def _returned(self) -> slice:
        return slice(None) if self.weights.patch else slice(0, 1)


def total(losses: Mapping[str, Float[Tensor, ""]], weights: Weights) -> Float[Tensor, ""]:
    """The weighted sum."""
    return torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()
