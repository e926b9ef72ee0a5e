"""How far two outputs of a head for the same picture and cells lie apart, for each task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.heads.base import Head
from lookwhere_cli.heads.detect import SCORED_FROM, in_pixels
from lookwhere_cli.images.view import View
from lookwhere_cli.models.candidates import BOX, CLASSES, split_numbers
from lookwhere_cli.probabilities import sigmoid


class AnswerDifference(NamedTuple):
    """How far two answers for a picture lie apart.

    output: the largest difference of logits or scores. labels: how many of `labels_compared` labels differ. boxes: the
    largest difference of a side of a box, in pixels of the picture.
    """

    output: float
    labels: int = 0
    labels_compared: int = 0
    boxes: float = 0.0


Compare: TypeAlias = Callable[[Head, NDArray[Any], NDArray[Any], View], AnswerDifference]
"""Compares two outputs of one picture, read through a view."""


def compare_best(
    head: Head, ours: Float32[ndarray, " classes"], theirs: Float32[ndarray, " classes"], view: View
) -> AnswerDifference:
    """Compare logits, and the most probable label."""
    return AnswerDifference(_largest(ours - theirs), int(ours.argmax() != theirs.argmax()), 1)


def compare_features(
    head: Head, ours: Float32[ndarray, " dim"], theirs: Float32[ndarray, " dim"], view: View
) -> AnswerDifference:
    """Compare features; there are no labels."""
    return AnswerDifference(_largest(ours - theirs))


def compare_pixels(
    head: Head,
    ours: Float32[ndarray, "classes rows columns"],
    theirs: Float32[ndarray, "classes rows columns"],
    view: View,
) -> AnswerDifference:
    """Compare scores, and the class of each pixel at the picture's own size."""
    first, second = (head.decode(output, view).classes for output in (ours, theirs))
    return AnswerDifference(_largest(ours - theirs), int((first != second).sum()), first.size)


def compare_points(
    head: Head,
    ours: Float32[ndarray, "candidates numbers"],
    theirs: Float32[ndarray, "candidates numbers"],
    view: View,
) -> AnswerDifference:
    """Compare scores and the numbers of masks at all points; boxes and classes at those whose score matters."""
    first, second = (split_numbers(output, len(head.config.labels))[0] for output in (ours, theirs))
    scores, others = first[:, CLASSES], second[:, CLASSES]
    counts = _matters(scores) | _matters(others)
    moved = in_pixels(first[counts, BOX], view) - in_pixels(second[counts, BOX], view)
    labels = scores[counts].argmax(axis=1) != others[counts].argmax(axis=1)
    output = _largest(ours[:, CLASSES] - theirs[:, CLASSES])  # of masks, too, which come last
    return AnswerDifference(output, int(labels.sum()), labels.size, _largest(moved))


def _matters(scores: Float32[ndarray, "candidates classes"]) -> Bool[ndarray, " candidates"]:
    """Return True for points that may have a box which is written or scored."""
    return np.asarray((sigmoid(scores) >= SCORED_FROM).any(axis=1))


def _largest(differences: NDArray[Any]) -> float:
    """Return the largest absolute value; NaN if there is one."""
    return float(np.abs(differences).max(initial=0.0))


COMPARISONS: dict[str, Compare] = {
    "classify": compare_best,
    "features": compare_features,
    "segment": compare_pixels,
    "detect": compare_points,
}
"""By task."""
