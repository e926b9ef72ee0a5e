"""Scores of models that give each pixel a class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.metrics.intervals import Score, draw_resamples, percentile_interval
from lookwhere_cli.metrics.scores import NO_LABEL, Scores, Truth, mean_defined, torchmetrics


class HasClasses(Protocol):
    """A result with the class of each pixel."""

    @property
    def classes(self) -> UInt8[ndarray, "height width"]:
        """Indices into the model's labels."""
        ...


class MasksScorer:
    """Mean intersection over union, pixel accuracy, and each class's intersection over union.

    Scores are of one confusion matrix over all pixels; intervals resample whole pictures. A class that is neither there
    nor answered is left out of the mean.
    """

    def __init__(self, classes: Int[ndarray, " classes"]) -> None:
        """classes: the model's label for each of the data's classes."""
        self._classes = classes
        self._confusion: NDArray[np.int64] | int = 0
        self._areas: list[NDArray[np.int64]] = []

    def add(self, measured: Sequence[Int[ndarray, "labels labels"]], truths: Sequence[Truth]) -> None:
        """Add pictures. measured: a picture's `count_pixels`."""
        confusions = np.stack(measured)
        self._confusion = self._confusion + confusions.sum(axis=0)
        self._areas.append(areas(confusions))

    def scores(self) -> Scores:
        """Score all pictures that were added."""
        per_picture = np.concatenate(self._areas).astype(np.float64)  # (pictures, 3, labels)
        draws = draw_resamples(len(per_picture)).astype(np.float64)
        correct, true, answered = per_picture.sum(axis=0)
        resampled = np.einsum("rp,pxc->xrc", draws, per_picture, optimize=True)
        per_class = _intersection_over_union(correct, true, answered)[self._classes]
        return Scores(
            {
                "miou": percentile_interval(float(mean_defined(per_class)), mean_iou(resampled[..., self._classes])),
                "pixel_accuracy": percentile_interval(
                    correct.sum() / true.sum(), resampled[0].sum(axis=1) / resampled[1].sum(axis=1)
                ),
            },
            "iou",
            per_class,
            true[self._classes].astype(np.int64),
            np.asarray(self._confusion),
        )


class PairedMeanIou:
    """Mean intersection over union, over the data's classes."""

    name = "miou"

    def __init__(self, classes: Int[ndarray, " classes"], labels: int) -> None:
        """classes: the model's label for each of the data's classes. labels: how many the model has."""
        self._classes, self._labels = classes, labels

    def counts(self, result: HasClasses, truth: Truth) -> Float[ndarray, " counts"]:
        """Return the pixels of each class that are correct, true and answered, one after the other."""
        pairs = count_pixels(result.classes, truth.mask(), self._labels)
        return areas(pairs)[:, self._classes].astype(np.float64).flatten()

    def correct_share(self, counts: Float[ndarray, " counts"]) -> float:
        """Return the share of correct pixels of one picture; 0 if none is scored."""
        correct, true, _ = counts.reshape(3, -1).sum(axis=1)
        return float(correct / true) if true else 0.0

    def value(self, counts: Float[ndarray, "*rows counts"], pictures: int) -> Float[ndarray, "*rows"]:
        """Compute the mean over the classes that are there or answered."""
        return mean_iou(np.stack(np.split(counts, 3, axis=-1)))

    def score(self, counts: Float[ndarray, "pictures counts"]) -> Score:
        """Compute the mean over all pixels, with an interval that resamples whole pictures."""
        resampled = draw_resamples(len(counts)) @ counts
        value = float(self.value(counts.sum(axis=0), len(counts)))
        return percentile_interval(value, self.value(resampled, len(counts)))


def count_pixels(
    answer: UInt8[ndarray, "height width"], truth: Int[ndarray, "height width"], labels: int
) -> Int[ndarray, "labels labels"]:
    """Count pixels by [truth, answer]; those whose truth is 255 are left out."""
    import torch

    metrics = torchmetrics().functional.classification
    pair = torch.from_numpy(answer), torch.from_numpy(truth)
    counts = metrics.multiclass_confusion_matrix(*pair, labels, ignore_index=NO_LABEL, validate_args=False)
    return counts.numpy()


def areas(pairs: Int[ndarray, "*rows labels labels"]) -> Int[ndarray, "*rows 3 labels"]:
    """Return each label's correct, true and answered pixels, from pixels counted by [truth, answer]."""
    return np.stack([pairs.diagonal(axis1=-2, axis2=-1), pairs.sum(axis=-1), pairs.sum(axis=-2)], axis=-2)


def mean_iou(areas: Float[ndarray, "3 *rows classes"]) -> Float[ndarray, "*rows"]:
    """Compute the mean intersection over union, 0..1, from each class's correct, true and answered pixels.

    Classes that are neither there nor answered are left out.
    """
    return mean_defined(_intersection_over_union(*areas))


def _intersection_over_union(
    correct: Float[ndarray, "*rows labels"],
    true: Float[ndarray, "*rows labels"],
    answered: Float[ndarray, "*rows labels"],
) -> Float[ndarray, "*rows labels"]:
    union = true + answered - correct
    return np.divide(correct, union, out=np.full_like(union, np.nan), where=union > 0)
