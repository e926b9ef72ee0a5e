"""How tasks are learnt: one training head for each kind of labels, with weights and losses that agree."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.data.examples import Kind
from lookwhere_cli.heads.training.base import HEAVIEST, TrainingHead, median_ratios
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.models.lookwhere import LookWhere
from tests.models.small import LABELLED, noise

EVERY_HEAD = pytest.mark.parametrize("head", TRAINING_HEADS.values(), ids=TRAINING_HEADS.keys())
PICTURE_HEADS = pytest.mark.parametrize("kind", ["single", "multi"])
TARGETS = {
    "single": torch.tensor([0, 2]),
    "multi": torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]),
    "masks": torch.tensor([[[0, 1], [2, 255]], [[2, 2], [1, 0]]], dtype=torch.uint8),
}
ALIKE = torch.ones(3)


def test_each_kind_of_labels_has_a_head() -> None:
    assert set(TRAINING_HEADS) == set(get_args(Kind))


@EVERY_HEAD
@given(counts=st.lists(st.integers(0, 1000), min_size=2, max_size=6), balance=st.floats(0, 1))
def test_rarer_classes_never_weigh_less(head: TrainingHead, counts: list[int], balance: float) -> None:
    weights = head.weigh_classes(np.array(counts), 1000, balance)
    assert weights.dtype == torch.float32 and weights.min() >= 1 / HEAVIEST - 1e-6 and weights.max() <= HEAVIEST + 1e-6
    order = np.argsort(counts)
    assert (np.diff(weights.numpy()[order]) <= 1e-6).all()
    assert head.weigh_classes(np.array(counts), 1000, 0.0).tolist() == [1.0] * len(counts)


@EVERY_HEAD
def test_the_config_has_the_classes_and_a_model_can_be_built_from_it(head: TrainingHead) -> None:
    config = head.configure(LABELLED, ("x", "y"), "max", 8, 2)
    assert config.labels == ("x", "y")
    assert (config.pool == "cls") == head.is_dense
    LookWhere(config)


@pytest.mark.parametrize("kind", ["single", "multi", "masks"])
def test_the_soft_loss_of_certain_probabilities_is_the_loss_of_their_labels(kind: str) -> None:
    head, targets = TRAINING_HEADS[kind], TARGETS[kind]
    if kind == "single":
        logits, certain = noise(2, 3), torch.nn.functional.one_hot(targets, 3).float()
        expected = torch.nn.functional.cross_entropy(logits, targets)  # without the smoothing of labels
    elif kind == "multi":
        logits, certain = noise(2, 3), targets
        expected = head.loss(logits, targets, ALIKE)
    else:
        targets = targets.clamp(max=2)
        logits, certain = noise(2, 3, 2, 2), torch.nn.functional.one_hot(targets.long(), 3).permute(0, 3, 1, 2).float()
        expected = head.loss(logits, targets, ALIKE)
    torch.testing.assert_close(head.soft_loss(logits, certain), expected)


@PICTURE_HEADS
def test_auxiliary_heads_of_pictures_have_the_models_loss(kind: str) -> None:
    head, targets, logits = TRAINING_HEADS[kind], TARGETS[kind], noise(2, 3)
    assert head.auxiliary_queries((6, 6)) == 1 and head.coverage(targets[0], (1, 1)) is None
    assert head.auxiliary_loss(logits[:, None], targets, ALIKE, (6, 6)) == head.loss(logits, targets, ALIKE)
    soft = head.soften(noise(2, 3, seed=5))
    assert head.soft_auxiliary_loss(logits[:, None], soft, (6, 6)) == head.soft_loss(logits, soft)


def test_auxiliary_heads_of_masks_answer_for_each_cell() -> None:
    head, logits = TRAINING_HEADS["masks"], noise(2, 3, 2, 2)
    assert head.auxiliary_queries((2, 2)) == 4
    by_cell = logits.flatten(2).mT
    torch.testing.assert_close(
        head.auxiliary_loss(by_cell, TARGETS["masks"], ALIKE, (2, 2)), head.loss(logits, TARGETS["masks"], ALIKE)
    )


def test_targets_hold_the_pictures_classes() -> None:
    assert TRAINING_HEADS["single"].target([2], None, 3).item() == 2
    assert TRAINING_HEADS["multi"].target([0, 2], None, 4).tolist() == [1.0, 0.0, 1.0, 0.0]
    assert TRAINING_HEADS["multi"].target([], None, 2).tolist() == [0.0, 0.0]
    mask = TARGETS["masks"][0]
    assert TRAINING_HEADS["masks"].target([], mask, 3) is mask


def test_a_config_takes_over_classes_and_kind_of_labels() -> None:
    single, multi, masks = (
        TRAINING_HEADS[kind].configure(LABELLED, ("a", "b"), "max", 16, 2) for kind in ("single", "multi", "masks")
    )
    assert (single.task, single.multi_label, single.pool, single.labels) == ("classify", False, "max", ("a", "b"))
    assert (multi.task, multi.multi_label, multi.pool) == ("classify", True, "max")
    assert (masks.task, masks.multi_label, masks.pool, masks.decoder_channels) == ("segment", False, "cls", 16)


def test_ignored_pixels_count_as_no_loss() -> None:
    head, logits = TRAINING_HEADS["masks"], noise(1, 3, 2, 2)
    mask = torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)
    by_pixel = -logits.log_softmax(1)[0].flatten(1)[[0, 1, 2], [0, 1, 2]]
    torch.testing.assert_close(head.loss(logits, mask, ALIKE), by_pixel.sum() / 4)


def test_masks_show_where_classes_meet_and_labels_do_not() -> None:
    mask = torch.tensor([[0, 0, 1, 2], [0, 0, 1, 1]], dtype=torch.uint8)
    assert TRAINING_HEADS["masks"].coverage(mask, (1, 2)).tolist() == [0.0, 0.25]
    assert TRAINING_HEADS["multi"].coverage(TARGETS["multi"][0], (1, 2)) is None


def test_the_median_class_weighs_one() -> None:
    assert median_ratios(np.array([10, 40, 20])).tolist() == [2.0, 0.5, 1.0]
    assert median_ratios(np.array([0, 4, 8])).tolist() == [4.0, 1.0, 0.5]


def test_only_pictures_of_one_class_have_one_label() -> None:
    assert {kind for kind, head in TRAINING_HEADS.items() if head.has_one_label} == {"single"}


def test_a_label_weighs_the_pictures_without_it_over_those_with_it() -> None:
    weights = TRAINING_HEADS["multi"].weigh_classes(np.array([2, 5, 8, 10, 0]), 10, 1.0)
    assert weights.tolist() == pytest.approx([4.0, 1.0, 0.25, 0.1, 9.0])
