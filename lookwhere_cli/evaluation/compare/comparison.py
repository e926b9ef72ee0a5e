"""How good several methods are on the same labelled pictures, what they spend, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from lookwhere_cli.data.checks import drop_unusable
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.errors import DataError
from lookwhere_cli.metrics.eval_set import Tracked, check_task, truth_of
from lookwhere_cli.metrics.intervals import Score, between, resamples, wilson
from lookwhere_cli.metrics.scores import counted, mean_overlap, sides
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.segmenter import Segmenter

HALVES = 2


@dataclass(frozen=True)
class Entrant:
    """A method in one of its settings.

    predictors: one that answers all pictures; or one for each half of them, where thresholds come from the other half.
    options: what `load` is told to make one like it; None where that is not enough.
    """

    method: str
    setting: str
    predictors: Sequence[Predictor]
    options: Mapping[str, Any] | None = None


class Answered(NamedTuple):
    """A picture's row, and the counts that figures are made of."""

    row: Row
    counts: Float[ndarray, " counts"]


class Judge(Protocol):
    """Knows the right answers, and what figure they make."""

    metric: str

    def answers(self, predictor: Predictor, places: Sequence[int]) -> Iterator[Answered | str]:
        """Of the pictures at these places of the data, in that order; the sentence that says why there is none."""

    def figure(self, counts: Float[ndarray, "*rows counts"], pictures: int) -> Float[ndarray, "*rows"]:
        """The figure, 0..1, from counts that were added up over so many pictures."""

    def score(self, counts: Float[ndarray, "pictures counts"]) -> Score:
        """The figure over all of them, with its interval."""


@dataclass(frozen=True)
class Point:
    """What an entrant reached. rows: of the pictures that count, in the order of the data.

    difference: of its score to the reference's, paired by picture; None for the reference itself.
    """

    entrant: Entrant
    score: Score
    difference: Score | None
    macs: float
    rows: Sequence[Row]
    counts: Float[ndarray, "pictures counts"]


@dataclass(frozen=True)
class Comparison:
    """Points in the entrants' order, the first of which is the reference.

    places: in `labelled`, of the pictures that count. failed: a sentence for each of the others.
    """

    metric: str
    labelled: LabelledSet
    points: Sequence[Point]
    places: Sequence[int]
    failed: Sequence[str]


class TopOne:
    """One label to a picture: how often the most probable one is right."""

    metric = "top1"

    def __init__(self, labelled: LabelledSet) -> None:
        self._labelled = labelled

    def answers(self, predictor: Predictor, places: Sequence[int]) -> Iterator[Answered | str]:
        """Raises ModelError for a model of another task, DataError as `match_classes`."""
        check_task(self._labelled, predictor.config, predictor.loaded.name)
        classes = match_classes(self._labelled.classes, predictor.config.labels)
        examples = [self._labelled.examples[place] for place in places]
        rows = predictor.classify(example.path for example in examples)
        for example, row in zip(examples, rows, strict=True):
            right = not row.error and row.labels[0].index == classes[example.classes[0]]
            yield row.error or Answered(row, np.array([float(right)]))

    def figure(self, counts: Float[ndarray, "*rows counts"], pictures: int) -> Float[ndarray, "*rows"]:
        """The share that is right."""
        return counts[..., 0] / pictures

    def score(self, counts: Float[ndarray, "pictures counts"]) -> Score:
        """With Wilson's interval."""
        return wilson(int(counts.sum()), len(counts))


class MeanOverlap:
    """A class to a pixel: mean intersection over union of all pixels, over the data's classes."""

    metric = "miou"

    def __init__(self, labelled: LabelledSet) -> None:
        self._labelled = labelled

    def answers(self, predictor: Predictor, places: Sequence[int]) -> Iterator[Answered | str]:
        """Raises ModelError for a model of another task, DataError as `match_classes`."""
        check_task(self._labelled, predictor.config, predictor.loaded.name)
        classes = match_classes(self._labelled.classes, predictor.config.labels)
        truth = truth_of(self._labelled, classes)
        paths = [self._labelled.examples[place].path for place in places]
        for path, one in zip(paths, Segmenter(predictor).segment(paths), strict=True):
            if one.classes is None:
                yield one.row.error or ""
                continue
            pairs = counted(torch.from_numpy(one.classes), truth(path), len(predictor.config.labels))
            yield Answered(one.row, sides(pairs).numpy()[:, classes].astype(np.float64).flatten())

    def figure(self, counts: Float[ndarray, "*rows counts"], pictures: int) -> Float[ndarray, "*rows"]:
        """Classes that are neither there nor answered are left out."""
        return mean_overlap(np.stack(np.split(counts, 3, axis=-1)))

    def score(self, counts: Float[ndarray, "pictures counts"]) -> Score:
        """With an interval by drawing whole pictures."""
        drawn = resamples(len(counts)) @ counts
        return between(float(self.figure(counts.sum(axis=0), len(counts))), self.figure(drawn, len(counts)))


def judge_for(labelled: LabelledSet) -> Judge:
    """Raises DataError for several labels to a picture, which not all methods can give."""
    if labelled.kind == "multi":
        raise DataError("Several labels to a picture can't be compared: DVT gives one; read the data as single labels.")
    return MeanOverlap(labelled) if labelled.kind == "masks" else TopOne(labelled)


def compare(entrants: Sequence[Entrant], labelled: LabelledSet, tracked: Tracked) -> Comparison:
    """Measure all entrants on the pictures that can be read, the others beside the first.

    Raises DataError where no picture can be read, and as `drop_unusable` for masks.
    """
    failed: list[str] = []
    if labelled.kind == "masks":
        labelled, failed = drop_unusable(labelled)
    judge, places = judge_for(labelled), list(range(len(labelled.examples)))
    answered: list[list[Answered]] = []
    for entrant in entrants:
        title = f"{entrant.method} {entrant.setting}"
        told = list(tracked(_all(entrant, judge, places), len(places), title))
        failed += [one for one in told if isinstance(one, str)]
        places = [place for place, one in zip(places, told, strict=True) if not isinstance(one, str)]
        answered.append([one for one in told if not isinstance(one, str)])
        if not places:
            raise DataError(f"None of the {len(labelled.examples)} pictures can be read: {failed[0]}")
    counts = [np.stack([one.counts for one in answers]) for answers in answered]
    points = [
        Point(
            entrant,
            judge.score(mine),
            difference(judge, mine, counts[0]) if number else None,
            float(np.mean([one.row.macs for one in answers])),
            [one.row for one in answers],
            mine,
        )
        for number, (entrant, answers, mine) in enumerate(zip(entrants, answered, counts, strict=True))
    ]
    return Comparison(judge.metric, labelled, points, places, failed)


def difference(
    judge: Judge, mine: Float[ndarray, "pictures counts"], other: Float[ndarray, "pictures counts"]
) -> Score:
    """How far one figure lies above another on the same pictures; the interval draws pictures for both alike."""
    pictures = len(mine)
    times = resamples(pictures)
    drawn = judge.figure(times @ mine, pictures) - judge.figure(times @ other, pictures)
    value = judge.figure(mine.sum(axis=0), pictures) - judge.figure(other.sum(axis=0), pictures)
    return between(float(value), drawn)


def front(points: Sequence[Point]) -> list[bool]:
    """Which points lie on the Pareto front: none is as good or better for less, or better for as much."""

    def beaten(point: Point) -> bool:
        mine = (point.score.value, -point.macs)
        return any(
            other.score.value >= mine[0] and -other.macs >= mine[1] and (other.score.value, -other.macs) != mine
            for other in points
        )

    return [not beaten(point) for point in points]


def _all(entrant: Entrant, judge: Judge, places: Sequence[int]) -> Iterator[Answered | str]:
    """Each half by its own predictor, in the order of the places."""
    if len(entrant.predictors) == 1:
        return judge.answers(entrant.predictors[0], places)
    halves = [judge.answers(one, half_of(places, half)) for half, one in enumerate(entrant.predictors)]
    return (next(halves[place % HALVES]) for place in places)


def half_of(places: Sequence[int], half: int) -> list[int]:
    """Every second picture of the data, from the first (0) or the second (1) on, as far as it is among the places."""
    return [place for place in places if place % HALVES == half]
