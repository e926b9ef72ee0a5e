"""Scores of single labels, against values computed by hand and by torchmetrics in one go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookwhere_cli.metrics.intervals import wilson
from lookwhere_cli.metrics.scores import torchmetrics
from lookwhere_cli.metrics.single_label import PairedAccuracy, SingleLabelScorer
from lookwhere_cli.output.rows import Label
from tests.metrics.truths import labelled


def test_three_labels_by_hand() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], np.float32)
    scorer = SingleLabelScorer(np.array([0, 1, 2]), 3)
    scorer.add(probabilities[:2], labelled([0], [1]))
    scorer.add(probabilities[2:], labelled([1], [0]))
    scores = scorer.scores()
    assert list(scores.metrics) == ["top1", "ece"]  # five of three labels would always contain the right one
    assert scores.metrics["top1"] == wilson(2, 4)
    assert scores.class_metric == "top1"
    assert scores.per_class[:2].tolist() == [0.5, 0.5]
    assert np.isnan(scores.per_class[2])
    assert scores.support.tolist() == [2, 2, 0]
    assert scores.confusion is not None
    assert scores.confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    # Four bins with one answer each: confidences 0.7, 0.6, 0.8, 0.6, of which the second and the last are wrong.
    assert scores.metrics["ece"].value == pytest.approx((0.3 + 2 * 0.6 + 0.2) / 4, abs=1e-6)
    assert scores.metrics["ece"].low is None


def test_top_5_and_calibration_of_nine_labels() -> None:
    rng = np.random.default_rng(0)
    probabilities = torch.from_numpy(rng.random((200, 9), np.float32)).softmax(dim=1)
    truth = torch.from_numpy(rng.integers(0, 9, 200))
    scorer = SingleLabelScorer(np.arange(9), 9)
    for start in range(0, 200, 60):
        part = slice(start, start + 60)
        scorer.add(list(probabilities[part].numpy()), labelled(*truth[part, None].tolist()))
    metrics = scorer.scores().metrics
    assert list(metrics) == ["top1", "top5", "ece"]
    assert metrics["top1"].value == pytest.approx((probabilities.argmax(1) == truth).float().mean())
    in_top_5 = (probabilities.topk(5).indices == truth[:, None]).any(1)
    assert metrics["top5"] == wilson(int(in_top_5.sum()), 200)
    error = torchmetrics().functional.classification.multiclass_calibration_error(probabilities, truth, 9, n_bins=15)
    assert metrics["ece"].value == pytest.approx(float(error))


@pytest.mark.parametrize(("labels", "has_top_5"), [(5, False), (6, True)])
def test_top_5_needs_six_labels(labels: int, has_top_5: bool) -> None:
    scorer = SingleLabelScorer(np.arange(labels), labels)
    scorer.add([np.full(labels, 1 / labels, np.float32)], labelled([0]))
    assert ("top5" in scorer.scores().metrics) is has_top_5


def test_the_data_may_have_fewer_classes_in_another_order() -> None:
    scorer = SingleLabelScorer(np.array([4, 1]), 6)
    scorer.add(list(np.eye(6, dtype=np.float32)[[4, 1, 0]]), labelled([4], [1], [1]))
    scores = scorer.scores()
    assert scores.per_class.tolist() == [1, 0.5]
    assert scores.support.tolist() == [1, 2]


def test_paired_accuracy() -> None:
    metric = PairedAccuracy()
    first_label = [Label("b", 1, 0.6), Label("a", 0, 0.4)]
    right, wrong = (metric.counts(first_label, truth) for truth in labelled([1], [0]))
    assert (right.tolist(), wrong.tolist()) == ([1], [0])
    assert metric.correct_share(right) == 1 and metric.correct_share(wrong) == 0
    assert metric.value(np.array([[3.0], [1.0]]), 4).tolist() == [0.75, 0.25]
    assert metric.score(np.array([[1.0], [0.0], [1.0]])) == wilson(2, 3)
