"""The losses of what-where distillation (paper, section on pretraining)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.spread_torch import spread_tensor

PatchLoss = Literal["spread", "chosen"]


@dataclass(frozen=True)
class Weights:
    """Each loss's weight. A patch or logits loss of weight zero is not computed."""

    cls: float = 1.0
    patch: float = 1.0
    map: float = 0.1
    logits: float = 1.0


def map_loss(student: Float[Tensor, "batch cells"], teacher: Float[Tensor, "batch cells"]) -> Float[Tensor, ""]:
    """Return KL(teacher's map || selector's map), both after softmax over all cells."""
    return F.kl_div(student.log_softmax(-1), teacher.log_softmax(-1), reduction="batchmean", log_target=True)


def logits_loss(student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"]) -> Float[Tensor, ""]:
    """Return KL(teacher || student); `student` are logits, `teacher` probabilities."""
    return F.kl_div(student.float().log_softmax(-1), teacher, reduction="batchmean")


def patch_loss_spread(
    tokens: Float[Tensor, "batch k dim"],
    cells: Int[Tensor, "batch k"],
    grid: Grid,
    teacher: Float[Tensor, "b cells dim"],
) -> Float[Tensor, ""]:
    """Return the mean squared error of the tokens, spread over the whole grid, against all of the teacher's."""
    return F.mse_loss(spread_tensor(tokens.float(), cells, grid), teacher)


def patch_loss_chosen(
    tokens: Float[Tensor, "batch k dim"], cells: Int[Tensor, "batch k"], teacher: Float[Tensor, "b cells dim"]
) -> Float[Tensor, ""]:
    """Return the mean squared error of the k tokens against the teacher's at the same cells."""
    return F.mse_loss(tokens.float(), torch.take_along_dim(teacher, cells[..., None], dim=1))
