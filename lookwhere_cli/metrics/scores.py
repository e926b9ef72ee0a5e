"""What scores are made of: the truth of a picture, scorers that collect answers, and metrics that compare methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int64
from numpy import ndarray

from lookwhere_cli.metrics.intervals import Score
from lookwhere_cli.torchvision_stub import ensure_torchvision_imports

NO_LABEL = 255
"""A mask's value for pixels that are not scored."""


class Outlines(NamedTuple):
    """The outlines of the objects in a picture.

    size: height and width of the picture as displayed. shapes: of each object, a list of polygons [x, y, x, y, ...] in
    pixels, or run lengths {"size", "counts"} of the whole picture; None where only its box is known.
    """

    size: tuple[int, int]
    shapes: tuple[Any, ...]


class TrueBoxes(NamedTuple):
    """The objects in a picture.

    boxes: left, top, right, bottom in pixels of the picture as displayed. classes: the class index of each. crowd: True
    for a box around several objects that are not told apart; it is neither trained on nor counted. outlines: of the
    objects; None if no outline in the picture is known.
    """

    boxes: Float32[ndarray, "objects 4"]
    classes: Int64[ndarray, " objects"]
    crowd: Bool[ndarray, " objects"]
    outlines: Outlines | None = None


class Truth(NamedTuple):
    """What is known of a labelled picture, in the model's labels.

    labels: rising indices; empty for a picture with a mask. mask: reads (height, width) labels, 255 for pixels that are
    not scored; may raise PictureError. objects: its boxes, with labels as classes; None for a set without boxes.
    """

    labels: tuple[int, ...]
    mask: Callable[[], Int[ndarray, "height width"]]
    objects: TrueBoxes | None = None


class FoundInstances(NamedTuple):
    """The objects that were found in a picture, for scoring.

    boxes: left, top, right, bottom in pixels, score and class. masks: of each, as COCO's run lengths. size: (height,
    width) of the picture as displayed.
    """

    boxes: Float32[ndarray, "boxes 6"]
    masks: Sequence[dict[str, Any]]
    size: tuple[int, int]


@dataclass(frozen=True)
class Scores:
    """How good answers are.

    metrics: scores by the metric's name, the main one first.
    class_metric: the name of the metric in `per_class`.
    per_class: a score in 0..1 for each of the data's classes; NaN for a class that does not occur.
    support: pictures of each class; for masks, pixels.
    confusion: counts by [truth, answer], over the model's labels; None for several labels per picture.
    """

    metrics: dict[str, Score]
    class_metric: str
    per_class: Float[ndarray, " classes"]
    support: Int[ndarray, " classes"]
    confusion: Int[ndarray, "labels labels"] | None = None


class Scorer(Protocol):
    """Collects what a head's `measure` returned, a batch of pictures at a time."""

    def add(self, measured: Sequence[Any], truths: Sequence[Truth]) -> None:
        """Add pictures."""
        ...

    def scores(self) -> Scores:
        """Score all pictures that were added, at least one."""
        ...


class PairedMetric(Protocol):
    """A metric that can be computed from counts summed over pictures, so that methods are compared pairwise."""

    @property
    def name(self) -> str:
        """The metric's name in results: "top1", "miou"."""
        ...

    def counts(self, result: Any, truth: Truth) -> Float[ndarray, " counts"]:
        """Count what the metric needs of one picture, from the result that the head decoded."""
        ...

    def correct_share(self, counts: Float[ndarray, " counts"]) -> float:
        """Return how much of one picture is correct, 0..1."""
        ...

    def value(self, counts: Float[ndarray, "*rows counts"], pictures: int) -> Float[ndarray, "*rows"]:
        """Compute the metric, 0..1, from counts summed over `pictures` pictures."""
        ...

    def score(self, counts: Float[ndarray, "pictures counts"]) -> Score:
        """Compute the metric over all pictures, with its interval."""
        ...


def mean_defined(values: Float[ndarray, "*rows classes"]) -> Float[ndarray, "*rows"]:
    """Average over the last axis, without what is not finite; NaN where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0).sum(axis=-1)
    return np.divide(total, count, out=np.full(values.shape[:-1], np.nan), where=count > 0)


def torchmetrics() -> Any:
    """Import torchmetrics, which imports torch and torchvision."""
    ensure_torchvision_imports()
    import torchmetrics

    return torchmetrics
