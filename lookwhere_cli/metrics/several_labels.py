"""Scores of models that give each picture any number of labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.metrics.intervals import average_precisions, draw_resamples, percentile_interval
from lookwhere_cli.metrics.scores import Scores, Truth, mean_defined, torchmetrics

THRESHOLD = 0.5  # a label with a higher probability counts as given


class SeveralLabelsScorer:
    """Mean average precision and F1, both averaged over classes, and each class's average precision.

    Classes without a picture are left out of averages; labels that the data do not have are not scored.
    """

    def __init__(self, classes: Int[ndarray, " classes"]) -> None:
        """classes: the model's label for each of the data's classes."""
        self._classes = classes
        self._truth: list[NDArray[np.bool_]] = []
        self._probabilities: list[NDArray[np.float32]] = []

    def add(self, measured: Sequence[Float32[ndarray, " labels"]], truths: Sequence[Truth]) -> None:
        """Add pictures. measured: the probability of each of the model's labels."""
        self._probabilities += [probabilities[self._classes] for probabilities in measured]
        self._truth += [np.isin(self._classes, truth.labels) for truth in truths]

    def scores(self) -> Scores:
        """Score all pictures that were added."""
        probabilities, truth = np.stack(self._probabilities), np.stack(self._truth)
        per_class, f1 = _by_torchmetrics(probabilities, truth)
        support = truth.sum(axis=0)
        per_class = np.where(support > 0, per_class, np.nan)
        draws = draw_resamples(len(truth))
        precisions = [average_precisions(*column, draws) for column in zip(probabilities.T, truth.T, strict=True)]
        f1_per_class = _resampled_f1(probabilities > THRESHOLD, truth, draws)
        return Scores(
            {
                "map": percentile_interval(float(mean_defined(per_class)), mean_defined(np.stack(precisions, axis=1))),
                "f1": percentile_interval(f1, mean_defined(f1_per_class)),
            },
            "ap",
            per_class,
            support,
        )


def _by_torchmetrics(
    probabilities: Float32[ndarray, "pictures classes"], truth: Bool[ndarray, "pictures classes"]
) -> tuple[Float[ndarray, " classes"], float]:
    """Return each class's average precision, NaN for one without a picture, and F1 averaged over classes."""
    import torch

    metrics = torchmetrics().functional.classification
    arguments = torch.from_numpy(probabilities), torch.from_numpy(truth.astype(np.int64)), truth.shape[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No positive samples")
        precisions = metrics.multilabel_average_precision(*arguments, average="none")
    f1 = metrics.multilabel_f1_score(*arguments, threshold=THRESHOLD, average="macro")
    return precisions.numpy().astype(np.float64), float(f1)


def _resampled_f1(
    given: Bool[ndarray, "pictures classes"],
    truth: Bool[ndarray, "pictures classes"],
    draws: Int[ndarray, "resamples pictures"],
) -> Float[ndarray, "resamples classes"]:
    """Return each class's F1 in each resample; NaN where the class is neither there nor given."""
    weights = draws.astype(np.float64)
    correct, total = weights @ (given & truth), weights @ (given.astype(np.float64) + truth)
    return np.divide(2 * correct, total, out=np.full_like(total, np.nan), where=total > 0)
