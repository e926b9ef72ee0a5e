"""Figures against sets made by hand, and against torchmetrics given all at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.metrics.scores import Masks, SeveralLabels, SingleLabel, counted

import_timm()
from torchmetrics.classification import MulticlassJaccardIndex  # noqa: E402
from torchmetrics.functional.classification import (  # noqa: E402
    multiclass_calibration_error,
    multilabel_average_precision,
    multilabel_f1_score,
)


def test_one_label_by_hand() -> None:
    said = torch.tensor([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    scorer = SingleLabel(np.array([0, 1, 2]), np.array([0, 1, 1, 0]), 3)
    scorer.add([0, 1], said[:2])
    scorer.add([2, 3], said[2:])
    scores = scorer.scores()
    assert list(scores.figures) == ["top1", "ece"]  # five of three classes would always be right
    assert scores.figures["top1"].value == 0.5
    assert scores.per_class[:2].tolist() == [0.5, 0.5]
    assert np.isnan(scores.per_class[2])
    assert scores.support.tolist() == [2, 2, 0]
    assert scores.confusion is not None
    assert scores.confusion.tolist() == [[1, 0, 1], [1, 1, 0], [0, 0, 0]]
    # Four bins with one answer each: confidences 0.7, 0.6, 0.8, 0.6, of which the second and the last are wrong.
    assert scores.figures["ece"].value == pytest.approx((0.3 + 2 * 0.6 + 0.2) / 4, abs=1e-6)


def test_the_first_five_of_many_and_calibration() -> None:
    torch.manual_seed(0)
    said, truth = torch.rand(200, 9).softmax(dim=1), torch.randint(9, (200,))
    scorer = SingleLabel(np.arange(9), truth.numpy(), 9)
    for start in range(0, 200, 60):
        scorer.add(range(start, min(start + 60, 200)), said[start : start + 60])
    figures = scorer.scores().figures
    assert figures["top1"].value == pytest.approx((said.argmax(1) == truth).float().mean())
    assert figures["top5"].value == pytest.approx((said.topk(5).indices == truth[:, None]).any(1).float().mean())
    assert figures["ece"].value == pytest.approx(float(multiclass_calibration_error(said, truth, 9, n_bins=15)))


def test_pictures_that_could_not_be_read_do_not_count() -> None:
    scorer = SingleLabel(np.array([0, 1]), np.array([0, 1, 0]), 2)
    scorer.add([0, 2], torch.tensor([[0.9, 0.1], [0.9, 0.1]]))
    scores = scorer.scores()
    assert scores.figures["top1"].value == 1
    assert scores.support.tolist() == [2, 0]


def test_the_data_may_know_fewer_classes_in_another_order() -> None:
    scorer = SingleLabel(np.array([4, 1]), np.array([4, 1, 1]), 6)
    scorer.add([0, 1, 2], torch.eye(6)[[4, 1, 0]])
    scores = scorer.scores()
    assert scores.per_class.tolist() == [1, 0.5]
    assert scores.support.tolist() == [1, 2]


def test_several_labels_by_hand() -> None:
    truth = np.array([[True, False], [False, True], [True, True]])
    scorer = SeveralLabels(np.array([2, 0]), truth)
    said = torch.tensor([[0.9, 0.5, 0.6], [0.2, 0.5, 0.7], [0.6, 0.5, 0.9]])
    scorer.add([0, 1, 2], said)
    scores = scorer.scores()
    assert list(scores.figures) == ["map", "f1"]
    assert scores.per_class.tolist() == pytest.approx([(1 + 2 / 3) / 2, (1 / 2 + 2 / 3) / 2])  # labels 2 and 0
    assert scores.figures["map"].value == pytest.approx((5 / 6 + 7 / 12) / 2)
    assert scores.figures["f1"].value == pytest.approx((4 / 5 + 2 / 4) / 2)
    assert scores.support.tolist() == [2, 2]
    assert scores.confusion is None


@pytest.mark.filterwarnings("ignore:No positive samples")
def test_several_labels_as_torchmetrics_has_them() -> None:
    rng = np.random.default_rng(0)
    truth, said = rng.random((60, 5)) < 0.3, torch.from_numpy(rng.random((60, 5), dtype=np.float32))
    truth[:, 3] = False  # no example of this class
    scorer = SeveralLabels(np.arange(5), truth)
    scorer.add(range(60), said)
    scores = scorer.scores()
    target = torch.from_numpy(truth).long()
    each = multilabel_average_precision(said, target, 5, average="none")
    assert scores.per_class[[0, 1, 2, 4]] == pytest.approx(each[[0, 1, 2, 4]].numpy(), abs=1e-6)
    assert np.isnan(scores.per_class[3])
    assert scores.figures["map"].value == pytest.approx(np.nanmean(scores.per_class), abs=1e-6)
    assert scores.figures["f1"].value == pytest.approx(float(multilabel_f1_score(said, target, 5)), abs=1e-6)
    for figure in scores.figures.values():
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high


def test_masks_by_hand() -> None:
    truth = torch.tensor([[0, 0, 1], [1, 255, 255]])
    answer = torch.tensor([[0, 1, 1], [1, 0, 2]])
    counts = counted(answer, truth, 3)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    scorer = Masks(np.array([1, 0, 2]))
    scorer.add([0], counts[None])
    scores = scorer.scores()
    assert scores.per_class[:2].tolist() == pytest.approx([2 / 3, 1 / 2])  # class 2 is neither there nor answered
    assert np.isnan(scores.per_class[2])
    assert scores.figures["miou"].value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.figures["pixel_accuracy"].value == pytest.approx(3 / 4)
    assert scores.support.tolist() == [2, 2, 0]
    assert scores.figures["miou"].low == scores.figures["miou"].high  # of a single picture


def test_masks_as_torchmetrics_has_them() -> None:
    torch.manual_seed(0)
    truth = torch.randint(4, (10, 12, 9))
    answer = torch.where(torch.rand(10, 12, 9) < 0.4, truth, torch.randint(4, (10, 12, 9)))
    truth[torch.rand(10, 12, 9) < 0.1] = 255
    whole = MulticlassJaccardIndex(4, ignore_index=255)
    scorer = Masks(np.arange(4))
    for start in range(0, 10, 4):
        part = range(start, min(start + 4, 10))
        whole.update(answer[start : start + 4], truth[start : start + 4])
        scorer.add(part, torch.stack([counted(answer[place], truth[place], 4) for place in part]))
    scores = scorer.scores()
    miou = scores.figures["miou"]
    assert miou.value == pytest.approx(float(whole.compute()), abs=1e-6)
    assert miou.low is not None
    assert miou.high is not None
    assert miou.low < miou.value < miou.high
    assert scores.confusion is not None
    assert scores.confusion.sum() == (truth != 255).sum()
