"""Which windows of a picture are read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, Self, overload

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy import ndarray

from lookwhere_cli.images.frame import Box, Grid, frame_for
from lookwhere_cli.images.source import Source
from lookwhere_cli.images.view import Picture
from lookwhere_cli.output.rows import WindowCounts
from lookwhere_cli.pipeline import Answer, Pipeline
from lookwhere_cli.windows.content import content_of
from lookwhere_cli.windows.grid import WindowGrid
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.ranking import rank_windows
from lookwhere_cli.windows.regions import touched
from lookwhere_cli.windows.sizing import WindowSize, overlap_for, pipeline_for, size_notes, window_size

BLANK = 0.005
"""A window of which no larger share holds something is blank."""


class Answering(Protocol):
    """What is asked of a predictor."""

    pipeline: Pipeline

    def __init__(self, pipeline: Pipeline) -> None: ...

    def answers(self, pictures: Iterator[Picture]) -> Iterator[Answer]:
        """Yield each picture's row, view and result, in order."""
        ...


class Window(NamedTuple):
    """A window that is read.

    number: among all windows of the picture, row by row, from 0. box: left, top, right, bottom in whole full-resolution
    pixels. rank: 1 for the window that the selector ranks highest; None if windows were not ranked. content: share of
    the window that holds something.
    """

    number: int
    box: Box
    rank: int | None = None
    content: float = 1.0


@dataclass(frozen=True, eq=False)
class WindowPlan:
    """The windows of a picture that are read, and how.

    grid: all windows. size: their size. pipeline: what answers them. numbers: of the windows that are read, rising.
    contents: the share of each that holds something. ranks: of each, or None. counts: what became of all windows.
    macs: multiply-adds that the ranking took. notes: what the picture's row should say. seconds: wall time that
    planning took.
    """

    grid: WindowGrid
    size: WindowSize
    pipeline: Pipeline
    numbers: Int64[ndarray, " windows"]
    contents: Float32[ndarray, " windows"]
    ranks: Int64[ndarray, " windows"] | None
    counts: WindowCounts
    macs: int = 0
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def windows(self) -> Sequence[Window]:
        """The windows that are read, in reading order; each is made when it is asked for."""
        return _Windows(self)

    @property
    def side(self) -> int:
        """Side of a window in the pixels that are read."""
        return self.size.side

    @property
    def window_grid(self) -> Grid:
        """The rows and columns of cells of a window."""
        return frame_for(*self.size.shape, self.pipeline.reader.reading)[0]

    @property
    def window_macs(self) -> int:
        """Multiply-adds of a window, at most."""
        return self.pipeline.strategy.stage_macs(self.window_grid)[-1]

    def only(self, wanted: Bool[ndarray, " windows"]) -> Self:
        """Return the plan with some of its windows."""
        ranks = None if self.ranks is None else self.ranks[wanted]
        return replace(self, numbers=self.numbers[wanted], contents=self.contents[wanted], ranks=ranks)


class _Windows(Sequence[Window]):
    """A plan's windows. A million of them take as much memory as their numbers."""

    def __init__(self, plan: WindowPlan) -> None:
        self._plan = plan

    def __len__(self) -> int:
        return len(self._plan.numbers)

    @overload
    def __getitem__(self, index: int) -> Window: ...
    @overload
    def __getitem__(self, index: slice) -> list[Window]: ...
    def __getitem__(self, index: int | slice) -> Window | list[Window]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        plan = self._plan
        number = int(plan.numbers[index])
        rank = None if plan.ranks is None else int(plan.ranks[index])
        return Window(number, plan.grid.box(number), rank, float(plan.contents[index]))


def all_windows(predictor: Answering, source: Source, options: WindowOptions) -> WindowPlan:
    """Return the plan that reads all windows of a picture. No pixel is read for it.

    Raises UsageError for options that do not fit the model, PictureError for a picture that does not tell what they ask
    for.
    """
    size = window_size(source, predictor.pipeline, options)
    pipeline = pipeline_for(predictor.pipeline, size, options)
    grid = WindowGrid(source.size, size.shape, overlap_for(pipeline, options))
    numbers, contents = np.arange(len(grid)), np.ones(len(grid), np.float32)
    notes = size_notes(source, size) + pipeline.strategy.notes(frame_for(*size.shape, pipeline.reader.reading)[0])
    return WindowPlan(grid, size, pipeline, numbers, contents, None, WindowCounts(len(grid)), notes=notes)


def plan_windows(predictor: Answering, source: Source, options: WindowOptions) -> WindowPlan:
    """Decide which windows of a picture are read. Memory does not grow with the picture's pixels.

    Raises as `all_windows` does, UsageError for regions that can't be used, PictureError for those that are outside of
    the picture, and if the overview can't be read.
    """
    started = time.perf_counter()
    plan = all_windows(predictor, source, options)
    inside = touched(source, plan.grid, options.roi)
    contents = content_of(source, plan.grid)
    filled = contents > BLANK
    kept = inside & filled
    ranking = rank_windows(plan.pipeline, source, plan.grid, kept, options.best, plan.window_macs)
    chosen = kept if ranking is None else kept & (ranking.ranks > 0)
    skipped = (inside & ~filled, ~inside, kept & ~chosen)
    numbers = np.flatnonzero(chosen)
    return replace(
        plan,
        numbers=numbers,
        contents=contents[numbers],
        ranks=None if ranking is None else ranking.ranks[numbers],
        counts=WindowCounts(len(plan.grid), *(int(windows.sum()) for windows in skipped)),
        macs=0 if ranking is None else ranking.macs,
        seconds=time.perf_counter() - started,
    )
