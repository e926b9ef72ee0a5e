"""`--reuse`: a frame of a film that hardly differs from an earlier one is read at the cells of that frame's map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.frame import Box
from lookwhere_cli.macs.passes import count_selector
from lookwhere_cli.models.chosen import Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.runtimes.base import Runtime, stack
from lookwhere_cli.strategies.base import (
    Batch,
    ChoosingStrategy,
    Cut,
    FeatureStrategy,
    Outcome,
    Selected,
    Strategy,
)

BRIGHTEST = 255.0
BEFORE = -1
"""Stands for the last picture of an earlier batch for which the selector ran."""


class _Glance(NamedTuple):
    """What two frames are compared by."""

    path: str
    frame: int
    box: Box
    thumbnail: NDArray[Any]

    def resembles(self, earlier: _Glance, difference: float) -> bool:
        """Return True if it hardly differs from an earlier frame of the same film."""
        if (self.path, self.box) != (earlier.path, earlier.box) or self.frame <= earlier.frame:
            return False
        if self.thumbnail.shape != earlier.thumbnail.shape:
            return False
        apart = np.abs(self.thumbnail.astype(np.float32) - earlier.thumbnail.astype(np.float32)).mean()
        return bool(apart <= difference * BRIGHTEST)


class _Seen(NamedTuple):
    """A picture for which the selector ran, and what came of it, for this picture alone. glance: None if no frame."""

    glance: _Glance | None
    map: Float32[ndarray, " cells"]
    prefix_tokens: NDArray[Any]
    order: Int64[ndarray, " cells"]
    first: int


@dataclass
class _LastSeen:
    """The last frame for which the selector ran, from batch to batch."""

    seen: _Seen | None = None


@dataclass(frozen=True)
class ReusingStrategy:
    """Chooses cells as another strategy does, but runs the selector only for pictures that differ from those before.

    A frame's thumbnail is compared with that of the last frame of its film for which the selector ran, so that slow
    changes add up. difference: mean absolute difference of their values, as a share of the brightest, up to which the
    map is used again. selector_macs: multiply-adds of the selector for a picture of a grid.
    """

    inner: ChoosingStrategy
    difference: float
    selector_macs: Callable[[Grid], int]
    _last: _LastSeen = field(default_factory=_LastSeen, repr=False, compare=False)

    @property
    def summary(self) -> str:
        """How pictures are read."""
        return self.inner.summary

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """That of the other strategy."""
        return self.inner.thumbnail_grid(grid)

    def select(self, runtime: Runtime, batch: Batch) -> Selected:
        """Run the selector for the pictures that need it."""
        return self._choose(self.inner.select, runtime, batch)

    def order(self, runtime: Runtime, batch: Batch) -> Selected:
        """Order all cells; the selector runs for all pictures."""
        return self.inner.order(runtime, batch)

    def answer(self, runtime: Runtime, selected: Selected, patches: NDArray[np.uint8], cut: Cut) -> Outcome:
        """Answer as the other strategy does."""
        return self.spare(selected, self.inner.answer(runtime, selected, patches, cut))

    def spare(self, selected: Selected, outcome: Outcome) -> Outcome:
        """Leave out the selector's multiply-adds where it did not run."""
        spent = self.selector_macs(selected.batch.grid)
        reused = selected.reused or [False] * len(outcome.macs)
        macs = [macs - spent * again for macs, again in zip(outcome.macs, reused, strict=True)]
        return outcome._replace(macs=macs, reused=reused)

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Those of a picture for which the selector runs."""
        return self.inner.stage_macs(grid)

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """Those of the other strategy."""
        return self.inner.stage_cells(grid)

    def notes(self, grid: Grid) -> tuple[str, ...]:
        """Those of the other strategy."""
        return self.inner.notes(grid)

    def tokens(self, grid: Grid) -> int:
        """Those of the other strategy."""
        return self.inner.tokens(grid)

    def _choose(self, select: Callable[[Runtime, Batch], Selected], runtime: Runtime, batch: Batch) -> Selected:
        """Run the selector for the pictures that differ, and give all others the map of the one that they resemble."""
        before = self._last.seen
        glances = [_glance(picture) for picture in batch.pictures]
        source_of = self._sources(glances, before)
        new = [place for place, source in enumerate(source_of) if source == place]
        seen: dict[int, _Seen] = {} if before is None else {BEFORE: before}
        if new:
            fresh = select(runtime, batch.at(new))
            seen |= {place: _seen(fresh, number, glances[place]) for number, place in enumerate(new)}
        self._last.seen = seen[source_of[-1]]
        return _joined(batch, [seen[source] for source in source_of], new)

    def _sources(self, glances: Sequence[_Glance | None], before: _Seen | None) -> list[int]:
        """Return for each picture the place of the one whose map it has: its own, an earlier one's, or BEFORE."""
        sources: list[int] = []
        last, place = (None if before is None else before.glance), BEFORE
        for number, glance in enumerate(glances):
            if last is None or glance is None or not glance.resembles(last, self.difference):
                last, place = glance, number
            sources.append(place)
        return sources


@dataclass(frozen=True)
class ReusingFeatureStrategy(ReusingStrategy):
    """The same, of a strategy that reads all pictures equally far."""

    def features_macs(self, grid: Grid, dense: bool) -> int:
        """Multiply-adds of the features of a picture for which the selector runs."""
        assert isinstance(self.inner, FeatureStrategy)
        return self.inner.features_macs(grid, dense)


def reusing(model: str, config: Config, strategy: Strategy, difference: float) -> ReusingStrategy:
    """Let a strategy use maps again. Raises UsageError for a model without a selector."""
    if not config.has_selector or not isinstance(strategy, ChoosingStrategy):
        raise UsageError(f"The model {model!r} has no selector, so there is no map to use again; leave --reuse out.")
    kind = ReusingFeatureStrategy if isinstance(strategy, FeatureStrategy) else ReusingStrategy
    return kind(strategy, difference, _SelectorCounter(config, strategy))


@dataclass(frozen=True)
class _SelectorCounter:
    """Counts the selector's multiply-adds by a picture's grid; it can be pickled, as a predictor must be."""

    config: Config
    strategy: Strategy

    def __call__(self, grid: Grid) -> int:
        return count_selector(self.config, self.strategy.thumbnail_grid(grid))


def _glance(picture: OpenedPicture) -> _Glance | None:
    view = picture.view
    return None if view.moment is None else _Glance(view.path, view.moment.frame, view.box, picture.thumbnail)


def _seen(selected: Selected, place: int, glance: _Glance | None) -> _Seen:
    selection = selected.selection
    return _Seen(glance, selection.map[place], selection.prefix_tokens[place], selected.order[place], selected.first)


def _joined(batch: Batch, parts: Sequence[_Seen], new: Sequence[int]) -> Selected:
    selection: Selection[NDArray[Any]] = Selection(
        stack([part.map for part in parts]), stack([part.prefix_tokens for part in parts])
    )
    reused = [place not in new for place in range(len(parts))]
    return Selected(batch, selection, stack([part.order for part in parts]), parts[0].first, reused)
