"""Passes of a pipeline over pictures, in which each picture is opened once and answered in several ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.view import View
from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.probabilities import confidence
from lookwhere_cli.scoring.choosers import CHOOSERS, seed_of
from lookwhere_cli.scoring.variants import amount_strategy, staged_strategy, with_k
from lookwhere_cli.strategies.base import Batch, Selected
from lookwhere_cli.strategies.stages import stages_reached
from lookwhere_cli.stream import Cutter

T = TypeVar("T")


@dataclass(frozen=True)
class CellPolicy:
    """Which cells are read. chooser: a name of CHOOSERS. k: how many, the first in the chooser's order."""

    chooser: str
    k: Amount


class Measured(NamedTuple):
    """What scoring needs of one picture.

    outcomes: for each way in which the picture was answered, what the head's `measure` returned.
    size: (height, width) as displayed.
    """

    outcomes: Sequence[Any]
    size: tuple[int, int]


class StageConfidence(NamedTuple):
    """A picture's confidence at each stage, 0..1, and the multiply-adds that it has taken by then."""

    confidences: tuple[float, ...]
    macs: tuple[int, ...]


Measure: TypeAlias = Callable[[Float32[ndarray, "*output"], View], Any]
"""Reduces a head's output, for the picture that was read through a view, to what scoring needs."""


def run_policies(
    pipeline: Pipeline, policies: Sequence[CellPolicy], measure: Measure, paths: Sequence[str]
) -> Generator[Measured | str, None, None]:
    """Yield what each policy's cells lead to, for each picture in order; a sentence for one that can't be read.

    Thumbnails, the selector's pass and the patches are shared by all policies.
    Raises ModelError if the pipeline reads no fixed amount of cells.
    """
    strategy = amount_strategy(pipeline)

    def answer(batch: Batch, cutter: Cutter) -> list[Measured]:
        """Return each picture's outcome under every policy, from one pass of the selector and one cut of all cells."""
        selected = strategy.order(pipeline.runtime, batch)
        everything = np.broadcast_to(np.arange(selected.order.shape[1]), selected.order.shape)
        patches = cutter.cut([picture.view for picture in batch.pictures], everything)
        seeds = [seed_of(picture.thumbnail) for picture in batch.pictures]
        names = {policy.chooser for policy in policies}
        orders = {name: CHOOSERS[name](selected.order, batch.grid, seeds) for name in names}
        outcomes = [
            _outcomes(with_k(pipeline, policy.k), selected._replace(order=orders[policy.chooser]), patches, measure)
            for policy in policies
        ]
        return [
            Measured([outcome[place] for outcome in outcomes], picture.view.size)
            for place, picture in enumerate(batch.pictures)
        ]

    return _run(pipeline, answer, paths)


class StagePass:
    """Passes over pictures that run every stage of a cascade, and count the stage at which each picture leaves.

    exits: how many pictures of a grid left at a stage, counted from 0, in the last pass.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        """Raises ModelError if the pipeline's strategy has a single stage."""
        self.pipeline, self.strategy = pipeline, staged_strategy(pipeline)
        self.stages = len(self.strategy.thresholds) + 1
        self.exits = Counter[tuple[Grid, int]]()

    def measure(self, measure: Measure, paths: Sequence[str]) -> Iterator[Measured | str]:
        """Yield, for each picture in order, the outcome of every stage, and then that of the stage where it leaves."""
        self.exits.clear()
        return _run(self.pipeline, partial(self._measure, measure), paths)

    def confidences(self, paths: Sequence[str]) -> Iterator[StageConfidence | str]:
        """Yield each picture's confidence at every stage, in order; a sentence for one that can't be read."""
        return _run(self.pipeline, self._confidences, paths)

    def _measure(self, measure: Measure, batch: Batch, cutter: Cutter) -> list[Measured]:
        logits = self._logits(batch, cutter)
        exits = stages_reached(confidence(logits), self.strategy.thresholds).tolist()
        self.exits.update((batch.grid, stage) for stage in exits)
        measured = []
        for place, (stage, picture) in enumerate(zip(exits, batch.pictures, strict=True)):
            outcomes = [measure(one[place], picture.view) for one in logits]
            measured.append(Measured([*outcomes, outcomes[stage]], picture.view.size))
        return measured

    def _confidences(self, batch: Batch, cutter: Cutter) -> list[StageConfidence]:
        macs = self.strategy.stage_macs(batch.grid)
        return [StageConfidence(tuple(column), macs) for column in confidence(self._logits(batch, cutter)).T.tolist()]

    def _logits(self, batch: Batch, cutter: Cutter) -> Float32[ndarray, "stages batch classes"]:
        views = [picture.view for picture in batch.pictures]
        selected = self.strategy.select(self.pipeline.runtime, batch)
        return self.strategy.run_all(
            self.pipeline.runtime, selected, lambda places, cells: cutter.cut([views[place] for place in places], cells)
        )


def _run(
    pipeline: Pipeline, answer: Callable[[Batch, Cutter], Sequence[T]], paths: Sequence[str]
) -> Generator[T | str, None, None]:
    """Yield the answer to each picture, in order; the sentence that says why there is none.

    If a picture's pixels turn out to be unreadable in the middle of a batch, its pictures are answered one by one.
    """
    with closing(Cutter(pipeline.options.workers)) as cutter:

        def finish(batch: Batch) -> Sequence[T | str]:
            """Answer a batch; the sentence of a picture whose pixels can't be read takes its answer's place."""
            try:
                return answer(batch, cutter)
            except PictureError as error:
                count = len(batch.pictures)
                return [str(error)] if count == 1 else [finish(batch.at([place]))[0] for place in range(count)]

        with closing(pipeline.run(paths, lambda batch: batch, finish, lambda _, sentence: sentence)) as answers:
            yield from answers


def _outcomes(pipeline: Pipeline, selected: Selected, patches: NDArray[np.uint8], measure: Measure) -> list[Any]:
    """Answer pictures from the first cells in the order of `selected`. patches: those of all cells, row by row."""
    grid = selected.batch.grid
    k = pipeline.strategy.stage_cells(grid)[-1]
    chosen = selected.choose(
        np.take_along_axis(patches, selected.order[:, :k, None, None, None], axis=1), pipeline.config, k
    )
    outputs = (
        output for part in _parts(chosen, pipeline.largest_batch(grid)) for output in pipeline.runtime.answer(part)
    )
    views = [picture.view for picture in selected.batch.pictures]
    return [measure(output, view) for output, view in zip(outputs, views, strict=True)]


def _parts(chosen: Chosen[NDArray[Any]], size: int) -> Iterator[Chosen[NDArray[Any]]]:
    """Split a batch into parts of at most `size` pictures."""
    for start in range(0, len(chosen.cells), size):
        yield chosen.at(slice(start, start + size))
