"""Scores of masks, against values computed by hand and by torchmetrics in one go."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lookwhere_cli.metrics.masks import MasksScorer, PairedMeanIou, count_pixels
from lookwhere_cli.metrics.scores import torchmetrics
from tests.metrics.truths import masked

TRUTH = np.array([[0, 0, 1], [1, 255, 255]])
ANSWER = np.array([[0, 1, 1], [1, 0, 2]], np.uint8)


class Answer(NamedTuple):
    classes: NDArray[np.uint8]


def random_masks(count: int = 10) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Truths of four classes with some ignored pixels, and answers that are right for at least 40 % of the others."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (count, 12, 9))
    answer = np.where(rng.random(truth.shape) < 0.4, truth, rng.integers(0, 4, truth.shape)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.1] = 255
    return truth, answer


def test_one_picture_by_hand() -> None:
    pairs = count_pixels(ANSWER, TRUTH, 3)
    assert pairs.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    scorer = MasksScorer(np.array([1, 0, 2]))
    scorer.add([pairs], masked(TRUTH))
    scores = scorer.scores()
    assert scores.class_metric == "iou"
    assert scores.per_class[:2].tolist() == pytest.approx([2 / 3, 1 / 2])
    assert np.isnan(scores.per_class[2])  # class 2 is neither there nor answered
    assert scores.metrics["miou"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.metrics["pixel_accuracy"].value == pytest.approx(3 / 4)
    assert scores.support.tolist() == [2, 2, 0]
    assert scores.metrics["miou"].low == scores.metrics["miou"].high  # all resamples of one picture are equal


def test_values_equal_those_of_torchmetrics() -> None:
    truth, answer = random_masks()
    whole = torchmetrics().classification.MulticlassJaccardIndex(4, ignore_index=255)
    whole.update(torch.from_numpy(answer), torch.from_numpy(truth))
    scorer = MasksScorer(np.arange(4))
    for start in range(0, 10, 4):
        part = range(start, min(start + 4, 10))
        scorer.add([count_pixels(answer[place], truth[place], 4) for place in part], masked(*truth[part]))
    scores = scorer.scores()
    known = truth != 255
    miou, accuracy = scores.metrics["miou"], scores.metrics["pixel_accuracy"]
    assert miou.value == pytest.approx(float(whole.compute()), abs=1e-6)
    assert accuracy.value == pytest.approx((answer == truth)[known].mean())
    for score in (miou, accuracy):
        assert score.low is not None and score.high is not None
        assert score.low < score.value < score.high
    assert scores.confusion is not None
    assert scores.confusion.tolist() == count_pixels(answer.reshape(-1, 9), truth.reshape(-1, 9), 4).tolist()


def test_the_paired_metric_equals_the_scorer() -> None:
    truth, answer = random_masks()
    classes = np.array([2, 0, 3])  # the model's label 1 is not in the data
    scorer, metric = MasksScorer(classes), PairedMeanIou(classes, 4)
    scorer.add([count_pixels(*pair, 4) for pair in zip(answer, truth, strict=True)], masked(*truth))
    counts = np.stack([metric.counts(Answer(one), known) for one, known in zip(answer, masked(*truth), strict=True)])
    assert metric.score(counts) == pytest.approx(scorer.scores().metrics["miou"])


def test_the_share_of_correct_pixels() -> None:
    metric = PairedMeanIou(np.arange(3), 3)
    (known, ignored) = masked(TRUTH, np.full((2, 3), 255))
    assert metric.correct_share(metric.counts(Answer(ANSWER), known)) == 3 / 4
    assert metric.correct_share(metric.counts(Answer(ANSWER), ignored)) == 0
