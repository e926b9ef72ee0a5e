"""The pictures that models are measured on, and how answers to them are scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, Protocol, TypeVar

import numpy as np
from jaxtyping import Float32, Int
from numpy import ndarray

from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.masks import IGNORED, load_mask
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.errors import DataError, ModelError, PictureError
from lookwhere_cli.heads.base import ScoredHead
from lookwhere_cli.images.view import View
from lookwhere_cli.metrics.scores import PairedMetric, Scorer, Scores, Truth
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.scoring.passes import CellPolicy, Measured, run_policies
from lookwhere_cli.text import counted

BATCH = 64  # pictures that are scored together
CACHED_MASKS = 64  # so that a mask is read once for all policies
T = TypeVar("T")


class ShowProgress(Protocol):
    """Yields items unchanged, and shows how many of `total` are done."""

    def __call__(self, items: Iterable[T], total: int, title: str) -> Iterable[T]:
        """Yield the items. title: of the progress bar; may be empty."""
        ...


class ScoringTask:
    """How the answers of one model are scored on one labelled set.

    classes: the model's label for each of the data's classes.
    """

    def __init__(self, pipeline: Pipeline, labelled: LabelledSet) -> None:
        """Raises ModelError or UsageError for a model that the data can't score, DataError as `match_classes` does."""
        self.head = _scored_head(pipeline, labelled)
        self.classes = match_classes(labelled.classes, self.head.config.labels)
        self._examples = labelled.examples
        self._places = {example.path: place for place, example in enumerate(labelled.examples)}
        self._mask = lru_cache(CACHED_MASKS)(_MaskReader(self.classes))

    def truth(self, place: int) -> Truth:
        """Return what is known of the picture at a place in the data."""
        example = self._examples[place]
        labels = tuple(sorted(int(self.classes[index]) for index in example.classes))
        objects = example.objects
        if objects is not None:
            objects = objects._replace(classes=self.classes[objects.classes])
        return Truth(labels, lambda: self._mask(example), objects)

    def measure(self, output: Float32[ndarray, "*output"], view: View) -> Any:
        """Reduce the head's output for a picture to what the scorer needs. Raises PictureError, also for NaN."""
        if not np.isfinite(output).all():
            raise PictureError(f"{view.path!r}: the model computed no numbers (NaN or infinity).")
        return self.head.measure(output, self.truth(self._places[view.path]), view)

    def scorer(self) -> Scorer:
        """Make an empty scorer."""
        return self.head.scorer(self.classes)

    def paired_metric(self) -> PairedMetric:
        """Make the metric by which methods are compared. Raises DataError if there is none."""
        return self.head.paired_metric(self.classes)


class EvalSet:
    """The pictures of a labelled set that can be read. Those that can't are found in the first pass.

    failed: a sentence for each picture that can't be read. sizes: (height, width) as displayed of the others, by their
    place in the set; (0, 0) before the first pass.
    """

    def __init__(self, labelled: LabelledSet, progress: ShowProgress) -> None:
        self.labelled = labelled
        self.failed: list[str] = []
        self.sizes: dict[int, tuple[int, int]] = dict.fromkeys(range(len(labelled.examples)), (0, 0))
        self._progress = progress

    @property
    def paths(self) -> list[str]:
        """The paths of the pictures that can be read, as far as is known."""
        return [self.labelled.examples[place].path for place in self.sizes]

    def score_policies(self, pipeline: Pipeline, policies: Sequence[CellPolicy], title: str) -> list[Scores]:
        """Score the answers from each policy's cells, in one pass. Raises as `ScoringTask` and `score` do."""
        task = ScoringTask(pipeline, self.labelled)
        return self.score(
            task, len(policies), lambda paths: run_policies(pipeline, policies, task.measure, paths), title
        )

    def score(
        self, task: ScoringTask, ways: int, run: Callable[[Sequence[str]], Iterable[Measured | str]], title: str
    ) -> list[Scores]:
        """Score each of several ways to answer the pictures, in one pass. Raises DataError if none can be read.

        run: measures the pictures at these paths, in order, with `ways` outcomes each.
        """
        scorers = [task.scorer() for _ in range(ways)]
        places, paths = list(self.sizes), self.paths
        self.sizes = {}
        measured = zip(places, self._progress(run(paths), len(places), title), strict=True)
        while batch := list(islice(measured, BATCH)):
            self._add(batch, task, scorers)
        if not self.sizes:
            raise DataError(f"None of the {counted(len(places), 'picture')} can be read: {self.failed[0]}")
        return [scorer.scores() for scorer in scorers]

    def _add(self, batch: Sequence[tuple[int, Measured | str]], task: ScoringTask, scorers: Sequence[Scorer]) -> None:
        self.failed += [one for _, one in batch if isinstance(one, str)]
        read = [(place, one) for place, one in batch if not isinstance(one, str)]
        self.sizes |= {place: one.size for place, one in read}
        truths = [task.truth(place) for place, _ in read]
        for number, scorer in enumerate(scorers):
            if read:
                scorer.add([one.outcomes[number] for _, one in read], truths)


class _MaskReader:
    """Reads masks in a model's labels."""

    def __init__(self, classes: Int[ndarray, " classes"]) -> None:
        self._label_of = np.full(IGNORED + 1, IGNORED, dtype=np.int64)
        self._label_of[: len(classes)] = classes

    def __call__(self, example: Example) -> Int[ndarray, "height width"]:
        assert example.mask is not None
        return self._label_of[load_mask(example.mask)]


def _scored_head(pipeline: Pipeline, labelled: LabelledSet) -> ScoredHead:
    head, name = pipeline.head, pipeline.info.name
    if not isinstance(head, ScoredHead):
        raise ModelError(f"The model {name!r} has no labels, so there is nothing to measure; train a head first.")
    head = head.scored_by(labelled.kind)
    head.check_data(labelled.kind, pipeline.reader.reading.mode, name)
    return head
