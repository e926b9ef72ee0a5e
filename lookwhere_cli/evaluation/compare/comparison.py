"""How good several methods are on the same labelled pictures, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lookwhere_cli.data.checks import drop_unusable_masks
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.errors import DataError
from lookwhere_cli.metrics.intervals import Score, draw_resamples, percentile_interval
from lookwhere_cli.metrics.scores import PairedMetric
from lookwhere_cli.options import OptionChanges
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.scoring.eval_set import ScoringTask, ShowProgress
from lookwhere_cli.text import counted

HALVES = 2


@dataclass(frozen=True)
class Candidate:
    """A method in one of its settings.

    predictors: one for all pictures, or one for each half of them, calibrated on the other half.
    options: fields of `Options` with which `load` makes the same predictor; None if it can't.
    """

    method: str
    setting: str
    predictors: Sequence[Predictor]
    options: OptionChanges | None = None

    @property
    def predictor(self) -> Predictor:
        """The only predictor, or that of the first half."""
        return self.predictors[0]


class Answered(NamedTuple):
    """A picture's row, and the counts that the metric is computed from."""

    row: Row
    counts: Float[ndarray, " counts"]


@dataclass(frozen=True)
class Point:
    """What a candidate reached.

    difference: of its score to the reference's, paired by picture; None for the reference itself.
    macs: mean per picture. rows, counts: of the pictures that count, in the order of the data.
    """

    candidate: Candidate
    score: Score
    difference: Score | None
    macs: float
    rows: Sequence[Row]
    counts: Float[ndarray, "pictures counts"]


@dataclass(frozen=True)
class Comparison:
    """Points in the order of the candidates, of which the first is the reference.

    places: in `labelled`, of the pictures that count. failed: a sentence for each of the others.
    """

    metric: PairedMetric
    labelled: LabelledSet
    points: Sequence[Point]
    places: Sequence[int]
    failed: Sequence[str]


def compare(
    candidates: Sequence[Candidate], labelled: LabelledSet, progress: ShowProgress, fail_fast: bool = False
) -> Comparison:
    """Measure all candidates on the pictures that can be read, and compare each with the first.

    Raises ModelError for a model that the data can't score, DataError if no picture can be read, if masks can't be
    used, and for data by which methods can't be compared. fail_fast: raise PictureError for the first mask that can't
    be used, or its picture; for pictures without masks `progress` does that.
    """
    metric = ScoringTask(candidates[0].predictor.pipeline, labelled).paired_metric()
    labelled, unusable = drop_unusable_masks(labelled, fail_fast)
    failed, places = list(unusable), list(range(len(labelled.examples)))
    answered: list[list[Answered]] = []
    for candidate in candidates:
        title = f"{candidate.method} {candidate.setting}"
        answers = list(progress(_answers(candidate, labelled, places), len(places), title))
        failed += [answer for answer in answers if isinstance(answer, str)]
        places = [place for place, answer in zip(places, answers, strict=True) if not isinstance(answer, str)]
        answered.append([answer for answer in answers if not isinstance(answer, str)])
        if not places:
            raise DataError(f"None of the {counted(len(labelled.examples), 'picture')} can be read: {failed[0]}")
    counts = [np.stack([answer.counts for answer in answers]) for answers in answered]
    points = [
        Point(
            candidate,
            metric.score(own),
            difference(metric, own, counts[0]) if number else None,
            float(np.mean([answer.row.macs for answer in answers])),
            [answer.row for answer in answers],
            own,
        )
        for number, (candidate, answers, own) in enumerate(zip(candidates, answered, counts, strict=True))
    ]
    return Comparison(metric, labelled, points, places, failed)


def difference(
    metric: PairedMetric, counts: Float[ndarray, "pictures counts"], reference: Float[ndarray, "pictures counts"]
) -> Score:
    """Return how far a metric lies above the reference's on the same pictures; resamples draw pictures for both."""
    pictures = len(counts)
    draws = draw_resamples(pictures)
    resampled = metric.value(draws @ counts, pictures) - metric.value(draws @ reference, pictures)
    value = metric.value(counts.sum(axis=0), pictures) - metric.value(reference.sum(axis=0), pictures)
    return percentile_interval(float(value), resampled)


def pareto_front(points: Sequence[Point]) -> list[bool]:
    """Return which points lie on the Pareto front: no other one is better in score or MACs and as good in both."""

    def is_dominated(point: Point) -> bool:
        """Return True if another point is as good in score and MACs, and better in one of them."""
        own = (point.score.value, -point.macs)
        return any(
            other.score.value >= own[0] and -other.macs >= own[1] and (other.score.value, -other.macs) != own
            for other in points
        )

    return [not is_dominated(point) for point in points]


def half_of(places: Sequence[int], half: int) -> list[int]:
    """Return those of the places that belong to the first (0: even places) or the second half (1: odd places)."""
    return [place for place in places if place % HALVES == half]


def _answers(candidate: Candidate, labelled: LabelledSet, places: Sequence[int]) -> Iterator[Answered | str]:
    """Answer each half of the pictures with its own predictor, in the order of the places."""
    if len(candidate.predictors) == 1:
        return _answers_of(candidate.predictor, labelled, places)
    halves = [
        _answers_of(predictor, labelled, half_of(places, half)) for half, predictor in enumerate(candidate.predictors)
    ]
    return (next(halves[place % HALVES]) for place in places)


def _answers_of(predictor: Predictor, labelled: LabelledSet, places: Sequence[int]) -> Iterator[Answered | str]:
    """Answer the pictures at these places of the data, in their order; a sentence for one that can't be read."""
    task = ScoringTask(predictor.pipeline, labelled)
    metric, paths = task.paired_metric(), [labelled.examples[place].path for place in places]
    scored = Predictor(replace(predictor.pipeline, head=task.head.for_scoring()))
    for place, answer in zip(places, scored.answers(paths), strict=True):
        yield answer.row.error or Answered(answer.row, metric.counts(answer.result, task.truth(place)))
