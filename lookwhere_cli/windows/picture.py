"""A picture that is read in windows, from the file to the row of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NamedTuple, Protocol

from jaxtyping import Int64
from numpy import ndarray

from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.names import picture_name
from lookwhere_cli.images.source import Source, is_source
from lookwhere_cli.images.view import Picture, open_view
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Answer
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.plan import Answering, Window, WindowPlan, all_windows, plan_windows
from lookwhere_cli.windows.pool import WholePicture
from lookwhere_cli.windows.resume import in_order, missing_windows
from lookwhere_cli.windows.run import WindowAnswer, answer_windows

_ALL_PIXELS = 1 << 16
"""Cells of a grid that is finer than any picture that is decoded, so that none of its pixels are left out."""


class PlanKeeper(Protocol):
    """Keeps the plan of a picture's windows, so that a run that was stopped goes on with the same windows."""

    def plan(self, blank: WindowPlan) -> WindowPlan | None:
        """Return the plan of an earlier run; None if there was none. blank: the same picture's, with any windows."""
        ...

    def begin(self, plan: WindowPlan) -> None:
        """Keep a new plan."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


class Keeper(PlanKeeper, Protocol):
    """Keeps the windows of a picture that are finished, too. Those that can't be read are tried again."""

    def restore(self, whole: WholePicture) -> Int64[ndarray, " finished"]:
        """Let `whole` take up what an earlier run had pooled; return the numbers of the windows that it finished."""
        ...

    def finished(self, window: Window) -> WindowAnswer:
        """Return the answer of a window that an earlier run finished, without its view."""
        ...

    def keep(self, answered: WindowAnswer, whole: WholePicture) -> None:
        """Keep a window that was answered, and added to `whole`."""
        ...


class PlannedPicture(NamedTuple):
    """A picture that is open, and the windows that are read of it."""

    source: Source
    plan: WindowPlan


class WindowReading:
    """A picture that is open, and its windows.

    source: its pixels. plan: the windows that are read. done: how many of them an earlier run had finished.
    """

    def __init__(self, predictor: Answering, source: Source, plan: WindowPlan, keeper: Keeper | None = None) -> None:
        self.source, self.plan, self.done = source, plan, 0
        self._predictor, self._keeper = predictor, keeper
        self._whole = WholePicture(source, plan)

    def answers(self) -> Iterator[WindowAnswer]:
        """Yield the answer of each window, in reading order; to be called once."""
        keeper = self._keeper
        if keeper is None:
            for answered in answer_windows(self._predictor, self.source, self.plan):
                self._whole.add(answered)
                yield answered
            return
        missing = missing_windows(self.plan, keeper.restore(self._whole))
        self.done = len(missing) - int(missing.sum())
        computed = answer_windows(self._predictor, self.source, self.plan.only(missing))
        for is_new, answered in zip(missing, in_order(self.plan, missing, keeper.finished, computed), strict=True):
            self._whole.add(answered)
            if is_new and answered.row.error is None:
                keeper.keep(answered, self._whole)
            yield answered

    def whole(self) -> Answer:
        """Return the answer of the whole picture, once all windows were answered."""
        return self._whole.finish()


@contextmanager
def open_windows(
    predictor: Answering, picture: Picture, options: WindowOptions, keeper: Keeper | None = None
) -> Iterator[WindowReading]:
    """Open a picture of any kind, and plan its windows. A file is closed at the end of the block.

    Raises PictureError for a picture that can't be read, or that does not tell what the options ask for, UsageError for
    options that do not fit the model or the picture.
    """
    with open_planned(predictor, picture, options, keeper) as (source, plan):
        yield WindowReading(predictor, source, plan, keeper)


@contextmanager
def open_planned(
    predictor: Answering, picture: Picture, options: WindowOptions, keeper: PlanKeeper | None = None
) -> Iterator[PlannedPicture]:
    """Open a picture, and plan its windows, for what does not need the answer of the whole; see `open_windows`."""
    with _opened(picture, predictor.pipeline.reader) as source:
        planned = PlannedPicture(source, _plan(predictor, source, options, keeper))
        try:
            yield planned
        finally:
            if keeper is not None:
                keeper.close()


def _plan(predictor: Answering, source: Source, options: WindowOptions, keeper: PlanKeeper | None) -> WindowPlan:
    """Return the plan of an earlier run or, without one, a new one."""
    if keeper is None:
        return plan_windows(predictor, source, options)
    kept = keeper.plan(all_windows(predictor, source, options))
    if kept is not None:
        return kept
    plan = plan_windows(predictor, source, options)
    keeper.begin(plan)
    return plan


def window_rows(predictor: Answering, picture: Picture, options: WindowOptions) -> Iterator[Row]:
    """Yield the row of each window of a picture, then that of the whole. Raises as `open_windows` does."""
    with open_windows(predictor, picture, options) as reading:
        for answered in reading.answers():
            yield answered.row
        yield reading.whole().row


@contextmanager
def _opened(picture: Picture, reader: PictureReader) -> Iterator[Source]:
    """Open a picture at full resolution."""
    if is_source(picture):
        yield picture
        return
    patch = reader.reading.patch
    finest = replace(reader.reading, size=_ALL_PIXELS * patch, mode="stretch", coarse_size=0)
    source = open_view(picture, finest, picture_name(picture)).source
    try:
        yield source
    finally:
        if is_large(source):
            with suppress(OSError):
                source.close()
