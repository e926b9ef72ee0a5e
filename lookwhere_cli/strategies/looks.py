"""`-k auto`: each look reads more of the best cells, until the model is confident of its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.runtimes.base import LookRuntime, Runtime
from lookwhere_cli.strategies.base import Batch, Cut, Outcome, Selected, select_cells
from lookwhere_cli.strategies.stages import Stage, decide, run_all


class LookState(NamedTuple):
    """Pictures between two looks.

    places: the pictures' places in the batch, for `cut`. patches: all that have been read, best first; before the
    first look the patches of the first cells. memory: what an adding model stored in earlier looks.
    """

    selected: Selected
    places: Int64[ndarray, " batch"]
    patches: NDArray[np.uint8]
    memory: Any = None

    def at(self, places: Int64[ndarray, " remaining"]) -> LookState:
        """Keep only the pictures at these places."""
        memory = self.memory and self.memory.at(places)
        return LookState(self.selected.at(places), self.places[places], self.patches[places], memory)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LooksStrategy:
    """Reads looks[0] cells of each picture, and looks[i] in all by look i, as long as confidence is too low.

    thresholds: confidence from which each look but the last answers. count_coarse: as in `FixedStrategy`.
    """

    config: Config
    thresholds: tuple[float, ...]
    count_coarse: Callable[[Grid, int], int]

    @property
    def summary(self) -> str:
        """How pictures are read."""
        return "reads pictures to different depths (-k auto; give a fixed number of cells or a share of them)"

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """About as many patches as the model was trained with, in the picture's shape."""
        return grid_for(*grid, self.config.thumbnail_size, self.config.patch)

    def select(self, runtime: Runtime, batch: Batch) -> Selected:
        """Order the cells of all looks; those of the first look are read to begin with."""
        counts = self.stage_cells(batch.grid)
        return select_cells(runtime, batch, counts[-1], counts[0], self.config.map_spacing)

    def order(self, runtime: Runtime, batch: Batch) -> Selected:
        """Order all cells; those of the first look are read to begin with."""
        cells, spacing = batch.grid[0] * batch.grid[1], self.config.map_spacing
        return select_cells(runtime, batch, cells, self.stage_cells(batch.grid)[0], spacing)

    def answer(self, runtime: Runtime, selected: Selected, patches: NDArray[np.uint8], cut: Cut) -> Outcome:
        """Look at each picture until the answer is certain."""
        grid = selected.batch.grid
        state = LookState(selected, np.arange(len(patches)), patches)
        decision = decide(self._stages(runtime, grid, cut), state, self.thresholds)
        counts, macs = self.stage_cells(grid), self.stage_macs(grid)
        stages = decision.stages.tolist()
        return Outcome(
            decision.logits,
            [order[: counts[stage]] for order, stage in zip(selected.order, stages, strict=True)],
            [grid] * len(stages),
            [macs[stage] for stage in stages],
            [stage + 1 for stage in stages],
        )

    def run_all(self, runtime: Runtime, selected: Selected, cut: Cut) -> Float[ndarray, "stages batch classes"]:
        """Compute the logits of every look for every picture."""
        everything = np.arange(len(selected.order))
        first = cut(everything.tolist(), selected.order[:, : selected.first])
        state = LookState(selected, everything, first)
        return run_all(self._stages(runtime, selected.batch.grid, cut), state)

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds of a picture that ends at each look, all passes included."""
        counts = self.stage_cells(grid)
        coarse = [self.count_coarse(grid, k) for k in counts]
        return passes.count_looks(self.config, grid, self.thumbnail_grid(grid), counts, coarse)

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """Number of cells that have been read after each look."""
        return tuple(k.resolve(grid[0] * grid[1]) for k in self.config.looks)

    def notes(self, grid: Grid) -> tuple[str, ...]:
        """The looks are calibrated: there is nothing to add."""
        return ()

    def tokens(self, grid: Grid) -> int:
        """Tokens of the last look, if all coarse patches are read."""
        return self.config.prefix_tokens + self.stage_cells(grid)[-1] + self.count_coarse(grid, 0)

    def with_thresholds(self, thresholds: Sequence[float]) -> LooksStrategy:
        """Return the same strategy with other thresholds."""
        return replace(self, thresholds=tuple(thresholds))

    def _stages(self, runtime: Runtime, grid: Grid, cut: Cut) -> Sequence[Stage[LookState]]:
        look = partial(_restart, runtime, cut)
        if self.config.second_look == "add":
            assert isinstance(runtime, LookRuntime)
            look = partial(_add, runtime, cut)
        spans = [slice(*pair) for pair in pairwise((0, *self.stage_cells(grid)))]
        return [partial(look, self.config, span) for span in spans]


def _restart(
    runtime: Runtime, cut: Cut, config: Config, new: slice, state: LookState
) -> tuple[Float[ndarray, "batch classes"], LookState]:
    """Run all cells so far through the extractor; patches that were cut for an earlier look are not cut again."""
    patches = state.patches
    if new.start:
        more = cut(state.places.tolist(), state.selected.order[:, new])
        patches = np.concatenate([patches, more], axis=1)
    logits = runtime.answer(state.selected.choose(patches, config, new.stop))
    return logits, state._replace(patches=patches)


def _add(
    runtime: LookRuntime, cut: Cut, config: Config, new: slice, state: LookState
) -> tuple[Float[ndarray, "batch classes"], LookState]:
    """Run only the new cells through the extractor."""
    if state.memory is None:
        logits, memory = runtime.first_look(state.selected.choose(state.patches, config, new.stop))
    else:
        cells = state.selected.order[:, new]
        patches, prefix_tokens = cut(state.places.tolist(), cells), state.selected.selection.prefix_tokens
        chosen = Chosen(patches, cells, state.selected.batch.grid, prefix_tokens)
        logits, memory = runtime.next_look(chosen, state.memory)
    return logits, state._replace(memory=memory)
