"""How good answers are, by torchmetrics: one label each, several labels, or a class per pixel."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.metrics.intervals import Score, average_precisions, between, resamples, wilson

IGNORED = 255
BINS = 15  # of the calibration error
FEW = 5  # with no more classes than this, the first five always hold the right one


@dataclass(frozen=True)
class Scores:
    """What was reached.

    figures: by name, the main one first. per_class: one number (0..1) for each of the data's classes, NaN for one that
    occurs nowhere; `each` says which number. support: pictures (pixels, for masks) of each of them. confusion: counts
    [truth, answer] over the model's labels; None for several labels.
    """

    figures: dict[str, Score]
    each: str
    per_class: Float[ndarray, " classes"]
    support: Int[ndarray, " classes"]
    confusion: Int[ndarray, "labels labels"] | None = None


class Scorer(Protocol):
    """Takes what a model said of pictures, a batch at a time."""

    def add(self, places: Sequence[int], outcomes: Tensor) -> None:
        """`outcomes` (batch, ...) of the pictures that stand at these places of the data."""

    def scores(self) -> Scores:
        """Over all that was added: at least one picture."""


class SingleLabel:
    """One label each: top-1, top-5, calibration (expected error over 15 bins), top-1 of each class.

    classes: the model's label for each of the data's classes. truth: the model's label of each picture.
    Outcomes are probabilities (batch, labels).
    """

    def __init__(self, classes: Int[ndarray, " classes"], truth: Int[ndarray, " pictures"], labels: int) -> None:
        self._classes, self._truth, self._labels = classes, torch.from_numpy(truth), labels
        self._places: list[int] = []
        self._answers: list[Tensor] = []
        metrics = _torchmetrics().classification
        self._metrics = {
            "top1": metrics.MulticlassAccuracy(labels, average="micro"),
            "each": metrics.MulticlassAccuracy(labels, average="none"),
            "ece": metrics.MulticlassCalibrationError(labels, n_bins=BINS),
        }
        if labels > FEW:
            self._metrics["top5"] = metrics.MulticlassAccuracy(labels, top_k=5, average="micro")

    def add(self, places: Sequence[int], outcomes: Float[Tensor, "batch labels"]) -> None:
        """Update all metrics."""
        probabilities, truth = outcomes.float().cpu(), self._truth[list(places)]
        for metric in self._metrics.values():
            metric.update(probabilities, truth)
        self._places += places
        self._answers.append(probabilities.argmax(dim=1))

    def scores(self) -> Scores:
        """Shares with Wilson's intervals; the calibration error as it is."""
        measured = {name: metric.compute().numpy() for name, metric in self._metrics.items()}
        count, truth = len(self._places), self._truth[self._places]
        figures = {
            name: wilson(round(float(measured[name]) * count), count) for name in ("top1", "top5") if name in measured
        }
        support = np.bincount(truth, minlength=self._labels)[self._classes]
        each = np.where(support > 0, measured["each"][self._classes], np.nan)
        return Scores(
            figures | {"ece": Score(float(measured["ece"]))},
            "top1",
            each,
            support,
            _pairs(truth, torch.cat(self._answers), self._labels),
        )


class SeveralLabels:
    """Several labels: mean average precision, F1 at 0.5 (both means over classes), average precision of each class.

    classes: the model's label for each of the data's classes; other labels are not judged. truth: which of the data's
    classes each picture shows. Outcomes are probabilities (batch, labels).
    """

    def __init__(self, classes: Int[ndarray, " classes"], truth: Bool[ndarray, "pictures classes"]) -> None:
        self._classes, self._truth = classes, truth
        self._places: list[int] = []
        self._probabilities: list[ndarray[Any, Any]] = []

    def add(self, places: Sequence[int], outcomes: Float[Tensor, "batch labels"]) -> None:
        """Keep what was said of the data's classes."""
        self._places += places
        self._probabilities.append(outcomes.float().cpu().numpy()[:, self._classes])

    def scores(self) -> Scores:
        """Classes of which there is no example are left out of the means."""
        metrics = _torchmetrics().functional.classification
        said, truth = np.concatenate(self._probabilities), self._truth[self._places]
        given = (torch.from_numpy(said), torch.from_numpy(truth.astype(np.int64)), len(self._classes))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="No positive samples")  # those classes are NaN, and left out
            each = metrics.multilabel_average_precision(*given, average="none").numpy().astype(np.float64)
        f1 = float(metrics.multilabel_f1_score(*given, average="macro"))
        support = truth.sum(axis=0)
        each = np.where(support > 0, each, np.nan)
        times = resamples(len(said))
        resampled = np.stack([average_precisions(*one, times) for one in zip(said.T, truth.T, strict=True)])
        return Scores(
            {
                "map": between(_mean(each), _means(resampled.T)),
                "f1": between(f1, _means(_f1(said > 0.5, truth, times))),
            },
            "ap",
            each,
            support,
        )


class Masks:
    """A class per pixel: mean intersection over union, pixel accuracy, intersection over union of each class.

    classes: the model's label for each of the data's classes. Outcomes are each picture's pixels counted by
    [truth, answer], (batch, labels, labels); see `counted`. A class that is neither there nor answered is left out.
    """

    def __init__(self, classes: Int[ndarray, " classes"]) -> None:
        self._classes = classes
        self._confusion = torch.zeros(())
        self._shares: list[ndarray[Any, Any]] = []

    def add(self, places: Sequence[int], outcomes: Int[Tensor, "batch labels labels"]) -> None:
        """Keep, of each picture, what the figures need of it: pixels that are right, true and answered, by class."""
        counts = outcomes.cpu()
        self._confusion = self._confusion + counts.sum(dim=0)
        self._shares.append(sides(counts).numpy())

    def scores(self) -> Scores:
        """From one confusion matrix of all pixels; intervals by drawing whole pictures."""
        shares = np.concatenate(self._shares).astype(np.float64)  # (pictures, 3, labels)
        times = resamples(len(shares)).astype(np.float64)
        right, true, said = shares.sum(axis=0)
        drawn = np.einsum("rp,pxc->xrc", times, shares, optimize=True)
        each = _overlap(right, true, said)[self._classes]
        accuracy = right.sum() / true.sum()
        return Scores(
            {
                "miou": between(_mean(each), mean_overlap(drawn[..., self._classes])),
                "pixel_accuracy": between(accuracy, drawn[0].sum(axis=1) / drawn[1].sum(axis=1)),
            },
            "iou",
            each,
            true[self._classes].astype(np.int64),
            self._confusion.numpy().astype(np.int64),
        )


def counted(
    answer: Int[Tensor, "height width"], truth: Int[Tensor, "height width"], labels: int
) -> Int[Tensor, "labels labels"]:
    """Pixels by [truth, answer]; those whose truth is 255 are not counted."""
    metrics = _torchmetrics().functional.classification
    return metrics.multiclass_confusion_matrix(answer, truth, labels, ignore_index=IGNORED, validate_args=False)


def sides(pairs: Int[Tensor, "*rows labels labels"]) -> Int[Tensor, "*rows 3 labels"]:
    """From pixels by [truth, answer] those that are right, true and answered, by label."""
    return torch.stack([pairs.diagonal(dim1=-2, dim2=-1), pairs.sum(dim=-1), pairs.sum(dim=-2)], dim=-2)


def mean_overlap(sides: Float[ndarray, "3 *rows classes"]) -> Float[ndarray, "*rows"]:
    """Mean intersection over union, 0..1, from pixels that are right, true and answered, by class.

    Classes that are neither there nor answered are left out.
    """
    each = _overlap(*sides)
    return _means(each.reshape(-1, each.shape[-1])).reshape(each.shape[:-1])


def _torchmetrics() -> Any:
    import_timm()  # torchmetrics imports torchvision, which this makes importable beside a CPU-only torch
    import torchmetrics

    return torchmetrics


def _pairs(truth: Tensor, answers: Tensor, labels: int) -> Int[ndarray, "labels labels"]:
    metrics = _torchmetrics().functional.classification
    return metrics.multiclass_confusion_matrix(answers, truth, labels).numpy()


def _overlap(
    right: Float[ndarray, "*rows labels"], true: Float[ndarray, "*rows labels"], said: Float[ndarray, "*rows labels"]
) -> Float[ndarray, "*rows labels"]:
    union = true + said - right
    return np.divide(right, union, out=np.full_like(union, np.nan), where=union > 0)


def _f1(
    said: Bool[ndarray, "pictures classes"],
    truth: Bool[ndarray, "pictures classes"],
    times: Int[ndarray, "resamples pictures"],
) -> Float[ndarray, "resamples classes"]:
    weights = times.astype(np.float64)
    right, sides = weights @ (said & truth), weights @ (said.astype(np.float64) + truth)
    return np.divide(2 * right, sides, out=np.full_like(sides, np.nan), where=sides > 0)


def _mean(values: Float[ndarray, " classes"]) -> float:
    return float(_means(values[None])[0])


def _means(values: Float[ndarray, "rows classes"]) -> Float[ndarray, " rows"]:
    """Row by row, without what is NaN; NaN where all is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=1)
    total = np.where(defined, values, 0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
