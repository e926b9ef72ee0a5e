"""Scores of models that give each picture one label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.metrics.intervals import Score, wilson
from lookwhere_cli.metrics.scores import Scores, Truth, torchmetrics
from lookwhere_cli.output.rows import Label

BINS = 15  # of the calibration error
TOP = 5  # with no more labels than this, top-5 is always 1


class SingleLabelScorer:
    """Top-1 and top-5 accuracy, expected calibration error over 15 bins, and each class's top-1 accuracy."""

    def __init__(self, classes: Int[ndarray, " classes"], labels: int) -> None:
        """classes: the model's label for each of the data's classes. labels: how many the model has."""
        self._classes, self._labels = classes, labels
        self._truth: list[int] = []
        self._answers: list[NDArray[np.int64]] = []
        metrics = torchmetrics().classification
        self._metrics: dict[str, Any] = {
            "top1": metrics.MulticlassAccuracy(labels, average="micro"),
            "per_class": metrics.MulticlassAccuracy(labels, average="none"),
            "ece": metrics.MulticlassCalibrationError(labels, n_bins=BINS),
        }
        if labels > TOP:
            self._metrics["top5"] = metrics.MulticlassAccuracy(labels, top_k=TOP, average="micro")

    def add(self, measured: Sequence[Float32[ndarray, " labels"]], truths: Sequence[Truth]) -> None:
        """Add pictures. measured: the probability of each of the model's labels."""
        import torch

        labels, probabilities = [truth.labels[0] for truth in truths], np.stack(measured)
        for metric in self._metrics.values():
            metric.update(torch.from_numpy(probabilities), torch.tensor(labels))
        self._truth += labels
        self._answers.append(probabilities.argmax(axis=1))

    def scores(self) -> Scores:
        """Score all pictures that were added."""
        computed = {name: metric.compute().numpy() for name, metric in self._metrics.items()}
        count, truth = len(self._truth), np.array(self._truth)
        metrics = {
            name: wilson(round(float(computed[name]) * count), count) for name in ("top1", "top5") if name in computed
        }
        support = np.bincount(truth, minlength=self._labels)[self._classes]
        confusion = np.zeros((self._labels, self._labels), np.int64)
        np.add.at(confusion, (truth, np.concatenate(self._answers)), 1)
        return Scores(
            metrics | {"ece": Score(float(computed["ece"]))},
            "top1",
            np.where(support > 0, computed["per_class"][self._classes], np.nan),
            support,
            confusion,
        )


class PairedAccuracy:
    """Top-1 accuracy."""

    name = "top1"

    def counts(self, result: Sequence[Label], truth: Truth) -> Float[ndarray, " 1"]:
        """Return 1 for a correct label, else 0. result: labels, the most probable first."""
        return np.array([float(result[0].index == truth.labels[0])])

    def correct_share(self, counts: Float[ndarray, " 1"]) -> float:
        """Return 1 for a correct picture, else 0."""
        return float(counts[0])

    def value(self, counts: Float[ndarray, "*rows 1"], pictures: int) -> Float[ndarray, "*rows"]:
        """Return the share of correct pictures."""
        return counts[..., 0] / pictures

    def score(self, counts: Float[ndarray, "pictures 1"]) -> Score:
        """Return the share of correct pictures, with Wilson's interval."""
        return wilson(int(counts.sum()), len(counts))
