"""The losses, by their definitions."""

from __future__ import annotations

import torch

from lookwhere_cli.models.spread_torch import spread_tensor
from lookwhere_cli.training.distil.losses import logits_loss, map_loss, patch_loss_chosen, patch_loss_spread
from tests.models.small import noise, some_cells


def test_map_and_logits_losses_are_kl_from_the_teacher() -> None:
    student, teacher = noise(3, 20), noise(3, 20, seed=4)
    p, q = teacher.softmax(-1), student.softmax(-1)
    kl = (p * (p / q).log()).sum(-1).mean()
    torch.testing.assert_close(map_loss(student, teacher), kl)
    torch.testing.assert_close(logits_loss(student, p), kl)


def test_a_perfect_student_has_zero_loss() -> None:
    scores = noise(3, 20)
    assert map_loss(scores, scores + 5).abs() < 1e-6
    teacher, cells = noise(2, 12, 4), some_cells(2, 12, 12)
    chosen = torch.take_along_dim(teacher, cells[..., None], 1)
    assert patch_loss_chosen(chosen, cells, teacher) == 0
    assert patch_loss_spread(chosen, cells, (3, 4), teacher) < 1e-9


def test_the_spread_loss_covers_every_cell() -> None:
    teacher, cells = noise(2, 12, 4), some_cells(2, 3, 12)
    chosen = torch.take_along_dim(teacher, cells[..., None], 1)
    expected = (spread_tensor(chosen, cells, (3, 4)) - teacher).square().mean()
    torch.testing.assert_close(patch_loss_spread(chosen, cells, (3, 4), teacher), expected)
    assert expected > 0.1
