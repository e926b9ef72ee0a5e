"""Learning boxes: losses against hand-computed ones, classes that cover cells, crowds, gradients that lead there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.training.detect import MARGIN, BoxesTraining, BoxOverlap, covered_shares, quality_focal
from lookwhere_cli.models.detector import boxes_around, points_of
from tests.models.small import noise

HEAD = BoxesTraining()
ALIKE = torch.ones(3)
GRID = (4, 4)
NOTHING = -20.0  # a score of no class


def candidates(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """One point in each cell."""
    return torch.cat([boxes, points_of(torch.arange(16)[None], GRID, 1), scores], dim=-1)


def targets(*objects: tuple[float, ...]) -> torch.Tensor:
    return HEAD.stack([torch.tensor(objects, dtype=torch.float32).reshape(-1, 6)])


def perfect(classes: int) -> torch.Tensor:
    """Every point of the box (1, 1, 3, 3) finds it, with the given class."""
    points = points_of(torch.arange(16)[None], GRID, 1)
    box = torch.tensor([1.0, 1.0, 3.0, 3.0])
    inside = ((points > 1) & (points < 3)).all(-1, keepdim=True)
    scores = torch.full((1, 16, 3), NOTHING)
    scores[..., classes] = torch.where(inside[..., 0], -NOTHING, NOTHING)
    return candidates(torch.where(inside, box, boxes_around(points, torch.ones(1, 16, 4))), scores)


def test_a_perfect_answer_costs_nothing_and_a_wrong_class_does() -> None:
    truth = targets((1, 1, 3, 3, 2, 0))
    assert HEAD.loss(perfect(2), truth, ALIKE).item() == pytest.approx(0, abs=1e-5)
    assert HEAD.loss(perfect(1), truth, ALIKE).item() > 10


def test_the_loss_is_the_focal_loss_and_that_of_the_boxes_per_point_of_a_box() -> None:
    truth, made = targets((1, 1, 3, 3, 0, 0)), perfect(0)
    made[..., 5, :4] = torch.tensor([1.0, 1.0, 3.0, 2.0])  # half of the box: IoU = GIoU = 0.5, off by 1 at one side
    far = (0.5 - torch.tensor(-NOTHING).sigmoid()).abs()
    focal = far**2 * F.binary_cross_entropy_with_logits(torch.tensor(-NOTHING), torch.tensor(0.5))
    assert HEAD.loss(made, truth, ALIKE).item() == pytest.approx(((focal + 2 * 0.5 + 0.5 * 0.25) / 4).item(), rel=1e-4)
    heavier = HEAD.loss(made, truth, torch.tensor([3.0, 1.0, 1.0])).item()
    assert heavier == pytest.approx(((3 * focal + 1 + 0.125) / 4).item(), rel=1e-4)


def test_pictures_without_boxes_teach_that_there_is_nothing() -> None:
    quiet = candidates(torch.zeros(1, 16, 4), torch.full((1, 16, 3), NOTHING))
    loud = candidates(torch.zeros(1, 16, 4), torch.full((1, 16, 3), 2.0))
    for empty in (targets(), HEAD.stack([torch.zeros(0, 6), torch.ones(3, 6)])[:1]):
        assert HEAD.loss(quiet, empty, ALIKE).item() == pytest.approx(0, abs=1e-5)
        assert HEAD.loss(loud, empty, ALIKE).item() > 10


def test_what_is_found_in_a_crowd_is_neither_right_nor_wrong() -> None:
    crowd, made = targets((1, 1, 3, 3, 2, 1)), perfect(2)
    assert HEAD.loss(made, crowd, ALIKE).item() == pytest.approx(0, abs=1e-5)
    assert HEAD.loss(made, targets(), ALIKE).item() > 10


def test_padding_does_not_change_the_loss() -> None:
    one, two = targets((1, 1, 3, 3, 2, 0)), targets((0, 0, 1, 1, 0, 0), (2, 2, 4, 4, 1, 0))
    stacked = HEAD.stack([one[0], two[0]])
    assert stacked.shape == (2, 4, 6)
    made = candidates(noise(1, 16, 4).abs().cumsum(-1), noise(1, 16, 3))
    assert HEAD.loss(made, stacked[:1], ALIKE) == HEAD.loss(made, one, ALIKE)


def test_training_finds_boxes_from_anywhere() -> None:
    """Gradients of the loss alone move free distances and scores to two boxes of different classes."""
    truth = targets((0.2, 0.3, 1.9, 1.5, 0, 0), (2.1, 1.8, 3.8, 3.9, 2, 0))
    points = points_of(torch.arange(16)[None], GRID, 1)
    raw, scores = torch.zeros(1, 16, 4, requires_grad=True), torch.full((1, 16, 3), -4.0, requires_grad=True)
    optimizer = torch.optim.Adam([raw, scores], 0.05)
    for _ in range(400):
        optimizer.zero_grad()
        made = candidates(boxes_around(points, raw.exp()), scores)
        HEAD.loss(made, truth, ALIKE).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    best = scores[0].sigmoid().max(0)
    assert best.values[1] < 0.1 < 0.8 < best.values[[0, 2]].min()
    for number, label in enumerate((0, 2)):
        found = made[0, best.indices[label], :4]
        assert found.tolist() == pytest.approx(truth[0, number, :4].tolist(), abs=0.15)


def test_overlaps_are_those_of_hand_computed_pairs() -> None:
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1]])
    second = torch.tensor([[1.0, 1, 3, 3], [2, 0, 3, 1], [0, 0, 1, 1]])
    overlap = BoxOverlap(first, second)
    assert overlap.iou.tolist() == pytest.approx([1 / 7, 0, 1])
    assert overlap.giou.tolist() == pytest.approx([1 / 7 - 2 / 9, -1 / 3, 1])


def test_the_focal_loss_is_least_at_the_wanted_score() -> None:
    scores = torch.linspace(-6, 6, 241)
    for wanted in (0.0, 0.3, 0.9):
        losses = quality_focal(scores, torch.full_like(scores, wanted))
        assert scores[losses.argmin()].sigmoid().item() == pytest.approx(wanted, abs=0.02)


def test_each_box_covers_its_share_of_each_cell() -> None:
    boxes = torch.tensor([[[0.5, 0.0, 2.0, 1.0], [1.0, 0.0, 1.5, 2.0], [-1.0, -1.0, -1.0, -1.0]]])
    covered = covered_shares(boxes, (2, 3))
    assert covered[0].tolist() == [[0.5, 1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0, 0.5, 0.0], [0.0] * 6]
    assert covered_shares(torch.zeros(1, 0, 4), (2, 3)).shape == (1, 0, 6)


def test_the_selector_is_told_of_cells_with_boxes_and_a_margin() -> None:
    objects = torch.tensor([[1, 1, 2, 2, 0, 0], [3.5, 3.5, 4, 4, 1, 1]])
    told = HEAD.coverage(objects, GRID).view(4, 4)
    assert told[1, 1] == 1 and told[0, 1] == pytest.approx(MARGIN) and told[2, 2] == pytest.approx(MARGIN**2)
    assert told[3, 3] == pytest.approx((0.5 + MARGIN) ** 2) and told[0, 3] == 0
    assert not HEAD.coverage(torch.zeros(0, 6), GRID).any()


def test_a_teacher_cannot_teach_boxes() -> None:
    for call in (lambda: HEAD.soften(noise(1)), lambda: HEAD.soft_loss(noise(1), noise(1))):
        with pytest.raises(UsageError, match="leave --teacher out"):
            call()


def test_rare_classes_weigh_more() -> None:
    assert HEAD.weigh_classes(np.array([10, 40, 20]), 50, 1.0).tolist() == [2.0, 0.5, 1.0]
