"""Scores of several labels, against values computed by hand and by torchmetrics in one go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from lookwhere_cli.metrics.intervals import draw_resamples
from lookwhere_cli.metrics.scores import Scores, torchmetrics
from lookwhere_cli.metrics.several_labels import SeveralLabelsScorer
from tests.metrics.truths import labelled


def scores_of(probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> Scores:
    scorer = SeveralLabelsScorer(np.arange(truth.shape[1]))
    scorer.add(list(probabilities), labelled(*(np.flatnonzero(one).tolist() for one in truth)))
    return scorer.scores()


def test_two_classes_by_hand() -> None:
    scorer = SeveralLabelsScorer(np.array([2, 0]))  # the model's label 1 is not in the data
    scorer.add([np.array([0.9, 0.5, 0.6], np.float32)], labelled([2]))
    scorer.add(list(np.array([[0.2, 0.5, 0.7], [0.6, 0.5, 0.9]], np.float32)), labelled([0], [0, 2]))
    scores = scorer.scores()
    assert list(scores.metrics) == ["map", "f1"]
    assert scores.class_metric == "ap"
    assert scores.per_class.tolist() == pytest.approx([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])  # labels 2 and 0
    assert scores.metrics["map"].value == pytest.approx((5 / 6 + 7 / 12) / 2)
    assert scores.metrics["f1"].value == pytest.approx((4 / 5 + 2 / 4) / 2)
    assert scores.support.tolist() == [2, 2]
    assert scores.confusion is None


@pytest.mark.filterwarnings("ignore:No positive samples")
def test_values_equal_those_of_torchmetrics() -> None:
    rng = np.random.default_rng(0)
    truth, probabilities = rng.random((60, 5)) < 0.3, rng.random((60, 5), dtype=np.float32)
    truth[:, 3] = False  # no picture of this class
    scores = scores_of(probabilities, truth)
    metrics = torchmetrics().functional.classification
    arguments = torch.from_numpy(probabilities), torch.from_numpy(truth).long(), 5
    precisions = metrics.multilabel_average_precision(*arguments, average="none")
    assert scores.per_class[[0, 1, 2, 4]] == pytest.approx(precisions[[0, 1, 2, 4]].numpy(), abs=1e-6)
    assert np.isnan(scores.per_class[3])
    assert scores.metrics["map"].value == pytest.approx(np.nanmean(scores.per_class), abs=1e-6)
    assert scores.metrics["f1"].value == pytest.approx(float(metrics.multilabel_f1_score(*arguments)), abs=1e-6)
    for score in scores.metrics.values():
        assert score.low is not None
        assert score.high is not None
        assert score.low < score.value < score.high


def test_the_interval_of_f1_is_that_of_labels_above_one_half() -> None:
    """Among the probabilities are 0.5, which gives no label, and some near it on either side."""
    rng = np.random.default_rng(1)
    truth = rng.random((40, 3)) < 0.5
    probabilities = rng.choice(np.array([0.45, 0.5, 0.55], np.float32), (40, 3))
    given = probabilities > 0.5
    values = []
    for draws in draw_resamples(40):
        repeated_truth, repeated = np.repeat(truth, draws, axis=0), np.repeat(given, draws, axis=0)
        correct = (repeated_truth & repeated).sum(axis=0)
        values.append(np.mean(2 * correct / (repeated_truth.sum(axis=0) + repeated.sum(axis=0))))
    f1 = scores_of(probabilities, truth).metrics["f1"]
    assert (f1.low, f1.high) == pytest.approx(tuple(np.percentile(values, (2.5, 97.5))))


def test_a_class_that_is_neither_there_nor_given_does_not_count() -> None:
    """In resamples without the only picture of class 1, F1 is that of class 0 alone."""
    truth = np.array([[True, False], [True, False], [True, True]])
    f1 = scores_of(truth.astype(np.float32), truth).metrics["f1"]
    assert f1 == (1, 1, 1)
