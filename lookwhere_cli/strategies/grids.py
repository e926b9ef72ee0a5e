"""DVT: all cells of a coarse grid, then of finer ones, until the model is confident of its answer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.macs import exits, passes
from lookwhere_cli.models.cascade.shapes import shapes_of
from lookwhere_cli.models.chosen import Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.runtimes.base import GridRuntime, Runtime, State, stack
from lookwhere_cli.strategies.base import Batch, Cut, Outcome, Selected
from lookwhere_cli.strategies.stages import Stage, decide, list_thresholds, run_all


@dataclass(frozen=True)
class GridsStrategy:
    """Reads the whole picture at each exit's grid. thresholds: confidence from which each exit but the last answers."""

    config: Config
    thresholds: tuple[float, ...]

    @property
    def summary(self) -> str:
        """How pictures are read."""
        return "is a cascade over grids (DVT), which reads all cells of a picture and only classifies it"

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """The whole picture at the last exit's grid: every exit resizes it to its own."""
        return grid

    def select(self, runtime: Runtime, batch: Batch) -> Selected:
        """Choose nothing: no cells are cut."""
        count = len(batch.pictures)
        selection: Selection[NDArray[Any]] = Selection(np.zeros((count, 0), np.float32), np.zeros((count, 0, 0)))
        return Selected(batch, selection, np.zeros((count, 0), np.int64), 0)

    def answer(self, runtime: Runtime, selected: Selected, patches: NDArray[np.uint8], cut: Cut) -> Outcome:
        """Run exits on each picture until the answer is certain."""
        stages, state, grids = self._begin(runtime, selected.batch)
        decision = decide(stages, state, self.thresholds)
        macs, numbers = self.stage_macs(selected.batch.grid), decision.stages.tolist()
        cells = [np.arange(math.prod(grid)) for grid in grids]
        return Outcome(
            decision.logits,
            [cells[number] for number in numbers],
            [grids[number] for number in numbers],
            [macs[number] for number in numbers],
            [number + 1 for number in numbers],
        )

    def run_all(self, runtime: Runtime, selected: Selected, cut: Cut) -> Float[ndarray, "stages batch classes"]:
        """Compute the logits of every exit for every picture."""
        stages, state, _ = self._begin(runtime, selected.batch)
        return run_all(stages, state)

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds of a picture that leaves at each exit, earlier exits included; `grid` is the last exit's."""
        return exits.count_exits(self.config, shapes_of(self.config), self.grids(grid))

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """Number of cells of each exit's grid."""
        return tuple(map(math.prod, self.grids(grid)))

    def notes(self, grid: Grid) -> tuple[str, ...]:
        """All cells of each grid are read: there is nothing to add."""
        return ()

    def tokens(self, grid: Grid) -> int:
        """Tokens of the last exit, times its heads' relations, which are stored: about tokens^2 / dim more of them."""
        tokens = self.config.prefix_tokens + math.prod(grid)
        return tokens + tokens * tokens * self.config.heads * self.config.extractor_depth // (12 * self.config.dim)

    def with_thresholds(self, thresholds: Sequence[float]) -> GridsStrategy:
        """Return the same strategy with other thresholds."""
        return replace(self, thresholds=tuple(thresholds))

    def default_macs(self) -> int:
        """Multiply-adds of a picture of the model's own shape: the mean of the calibration, or the last exit's."""
        return self.config.expected_macs or self.stage_macs(self.config.grid)[-1]

    def describe(self, answers: str) -> str:
        """Describe the model, for its card. answers: what its head answers."""
        config = self.config
        grids = ", ".join(f"{rows} x {columns}" for rows, columns, *_ in config.exits)
        costs = ", ".join(f"{macs / 1e9:.2f}" for macs in self.stage_macs(config.grid))
        text = (
            f"A cascade over growing grids (DVT; {answers}): {len(config.exits)} ViTs of {config.extractor_depth} "
            f"blocks read all of {grids} cells, each reusing the one before, until one is sure. A picture of that "
            f"shape takes {costs} GMACs by the exit that answers; the full ViT takes "
            f"{passes.count_full(config, config.grid) / 1e9:.2f}."
        )
        if not config.thresholds:
            return text
        return f"{text} The thresholds in `config.json` came to {config.expected_macs / 1e9:.2f} on average."

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield what a table about the model shows of its exits: names and values."""
        yield "exits", ", ".join(f"{rows} x {columns}" for rows, columns, *_ in self.config.exits)
        yield "thresholds", list_thresholds(self.config.thresholds) or "none: the last exit answers all"

    def grids(self, grid: Grid) -> tuple[Grid, ...]:
        """Return each exit's grid for pictures that the last exit reads as `grid`."""
        return grids_for(self.config, grid)

    def _begin(self, runtime: Runtime, batch: Batch) -> tuple[Sequence[Stage[State]], State, tuple[Grid, ...]]:
        assert isinstance(runtime, GridRuntime)
        grids = self.grids(batch.grid)
        state = runtime.begin(stack([picture.thumbnail for picture in batch.pictures]), grids)
        return [partial(runtime.run_exit, number) for number in range(len(grids))], state, grids


def grids_for(config: Config, grid: Grid) -> tuple[Grid, ...]:
    """Return each exit's (rows, columns) for pictures that the last one reads as `grid`, in the same proportions.

    The grids rise wherever there is room: rows and columns of `grid` together must be more than the exits.
    """
    own = [exit_[:2] for exit_ in config.exits]
    if grid == config.grid:
        return tuple(own)
    grids = [grid]
    for place, (rows, columns) in reversed(list(enumerate(own[:-1]))):
        side = round(math.sqrt(rows * columns / math.prod(config.grid) * math.prod(grid)))
        grids.append(_smaller(grid_for(*grid, max(1, side), 1), grids[-1], place))
    return tuple(reversed(grids))


def _smaller(wanted: Grid, later: Grid, earlier: int) -> Grid:
    """Return `wanted`, but smaller than the later grid, and large enough for `earlier` rising grids below it."""
    rows, columns = map(min, wanted, later)
    if (rows, columns) == later:
        rows, columns = (rows - 1, columns) if rows > columns else (rows, columns - 1)
    while rows + columns < earlier + 2:
        rows, columns = (rows, columns + 1) if columns < later[1] else (rows + 1, columns)
    return rows, columns
