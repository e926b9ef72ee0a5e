"""The student, and the losses of a step of what-where distillation (paper, section on pretraining)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid
from lookwhere_cli.models.coarse import count_unread, least_covered
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.selector import choose, spaced
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.distil.losses import (
    PatchLoss,
    Weights,
    logits_loss,
    map_loss,
    patch_loss_chosen,
    patch_loss_spread,
)
from lookwhere_cli.training.distil.teacher import Teacher, TeacherOutput, resize_grid
from lookwhere_cli.training.distil.views import ViewBatch


def student_of(vit: Any, config: Config) -> LookWhere:
    """Return a LookWhere model with the weights of timm's `vit`.

    The extractor takes all of its blocks, the selector the first ones. Positions are resized to the student's grids.
    The map's head and, with `prefix: add`, the handover have fresh weights.
    """
    stored = with_registers(vit, config.registers - vit.num_reg_tokens)
    teacher_config = replace(config, grid=vit.patch_embed.grid_size, thumbnail_grid=vit.patch_embed.grid_size)
    model, start = LookWhere(config), LookWhere(teacher_config)
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


def with_registers(vit: Any, count: int) -> dict[str, Tensor]:
    """Return the weights of timm's `vit` with `count` further registers, which begin as what it makes of grey corners.

    A ViT without registers keeps notes of the whole picture in cells of little content, above all in the corners. The
    student's registers begin as these cells, so that it need not read them. count: 0 to 4.
    """
    stored = {name: value.clone() for name, value in vit.state_dict().items()}
    if not count:
        return stored
    rows, columns = vit.patch_embed.grid_size
    corners = torch.tensor([0, columns - 1, (rows - 1) * columns, rows * columns - 1])[:count]
    first = stored["pos_embed"].shape[1] - rows * columns  # the first cell's position
    positions = stored["pos_embed"][:, first + corners]
    tokens = stored["patch_embed.proj.bias"].expand(1, count, -1)
    if first:
        stored["pos_embed"] = torch.cat(
            [stored["pos_embed"].narrow(1, 0, first), positions, stored["pos_embed"][:, first:]], dim=1
        )
    else:
        tokens = tokens + positions
    own = [stored["reg_token"]] if "reg_token" in stored else []
    stored["reg_token"] = torch.cat([*own, tokens], dim=1)
    return stored


class Distillation(nn.Module):
    """A student and its teachers; computes the losses of a batch by name.

    The first teacher's CLS, patch tokens and map are the student's targets; the logits' target is the mean of all.
    """

    def __init__(
        self, student: LookWhere, teachers: Sequence[Teacher], weights: Weights, patch_loss: PatchLoss
    ) -> None:
        super().__init__()
        self.student = student
        self.weights, self.patch_loss = weights, patch_loss
        self._normalise = Normaliser(student.config, white=1)
        self._teachers = list(teachers)  # a plain list keeps them out of parameters and state

    def forward(self, batch: ViewBatch) -> dict[str, Float[Tensor, ""]]:
        """Compute the losses that have a weight."""
        pictures = batch.pictures.float() / 255
        if batch.mix < 1:
            pictures = batch.mix * pictures + (1 - batch.mix) * pictures.roll(1, dims=0)
        with torch.no_grad():
            targets = [teacher(pictures) for teacher in self._teachers]
        return self._losses(pictures, batch.k, batch.coarse, targets)

    def _losses(
        self, pictures: Float[Tensor, "batch 3 height width"], k: int, coarse: int, targets: Sequence[TeacherOutput]
    ) -> dict[str, Float[Tensor, ""]]:
        config, first = self.student.config, targets[0]
        grid = (pictures.shape[-2] // config.patch, pictures.shape[-1] // config.patch)
        thumbnails = self._thumbnails(pictures, grid, config.thumbnail_size)
        selection = self.student.select(self._normalise(thumbnails), grid)
        cells = choose(spaced(selection.map.detach(), grid, config.map_spacing), k)
        patches = torch.take_along_dim(cut(self._normalise(pictures), config.patch), cells[:, :, None, None, None], 1)
        chosen = Chosen(patches, cells, grid, selection.prefix_tokens, self._coarse(pictures, grid, coarse, cells))
        tokens = self.student.extractor(chosen, slice(None) if self.weights.patch else slice(0, 1)).tokens
        losses = {
            "cls": F.mse_loss(tokens[:, 0].float(), first.cls.float()),
            "map": map_loss(selection.map, resize_grid(first.map[:, None], self._teachers[0].grid, grid)[:, 0]),
        }
        if self.weights.patch:
            of_cells = tokens[:, config.prefix_tokens : config.prefix_tokens + k]
            losses["patch"] = self._patch_loss(of_cells, cells, grid, first)
        if config.labels:
            target = torch.stack([output.logits.float().softmax(-1) for output in targets]).mean(0)
            losses["logits"] = logits_loss(self.student.logits(tokens[:, 0]), target)
        return losses

    def _coarse(
        self, pictures: Float[Tensor, "batch 3 height width"], grid: Grid, size: int, cells: Int[Tensor, "batch k"]
    ) -> Coarse[Tensor] | None:
        """Return the patches of thumbnails of about size x size pixels that cells leave unread; None if size is 0."""
        if not size:
            return None
        patch = self.student.config.patch
        thumbnails = self._normalise(self._thumbnails(pictures, grid, size))
        coarse_grid = thumbnails.shape[-2] // patch, thumbnails.shape[-1] // patch
        count = count_unread(coarse_grid[0] * coarse_grid[1], cells.shape[1], grid[0] * grid[1])
        found = least_covered(cells.cpu().numpy(), grid, coarse_grid, count)
        places = torch.from_numpy(found).to(cells.device)
        patches = torch.take_along_dim(cut(thumbnails, patch), places[:, :, None, None, None], 1)
        return Coarse(patches, coarse_grid, places)

    def _thumbnails(
        self, pictures: Float[Tensor, "batch 3 height width"], grid: Grid, side: int
    ) -> Float[Tensor, "batch 3 rows columns"]:
        patch = self.student.config.patch
        rows, columns = grid_for(*grid, side, patch)
        size = (rows * patch, columns * patch)
        return F.interpolate(pictures, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

    def _patch_loss(
        self, tokens: Float[Tensor, "batch k dim"], cells: Int[Tensor, "batch k"], grid: Grid, teacher: TeacherOutput
    ) -> Float[Tensor, ""]:
        target = resize_grid(teacher.patches.float().mT, self._teachers[0].grid, grid).mT
        if self.patch_loss == "spread":
            return patch_loss_spread(tokens, cells, grid, target)
        return patch_loss_chosen(tokens, cells, target)


def weighted_sum(losses: Mapping[str, Float[Tensor, ""]], weights: Weights) -> Float[Tensor, ""]:
    """Add up the losses, each times its weight."""
    return torch.stack([getattr(weights, name) * value for name, value in losses.items()]).sum()
