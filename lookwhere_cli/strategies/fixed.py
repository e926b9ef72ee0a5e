"""One number of cells for every picture: a count, or a share of its grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import pruning_of, remaining_counts
from lookwhere_cli.runtimes.base import Runtime
from lookwhere_cli.strategies.base import Batch, Cut, Outcome, Selected, select_cells
from lookwhere_cli.strategies.stages import list_thresholds

MOST = 4096
"""Cells that a model with a selector reads by default at most, unless it was trained with more: the extractor's time
grows with their square, and a share that suits 224 px is tens of thousands of cells at 4096 px."""

CountMacs = Callable[[Config, Grid, Grid, int, int], int]
"""Multiply-adds of a pass, from config, grid, thumbnail's grid, number of cells, and number of coarse patches."""


@dataclass(frozen=True)
class FixedStrategy:
    """Reads the k best cells of each picture.

    count_coarse: from a picture's grid and a number of cells to the coarse patches that are read beside these.
    count_macs: of a pass with the model's head. most: cells that are read at most, however many k are; None for no
    such limit.
    """

    config: Config
    k: Amount
    count_coarse: Callable[[Grid, int], int]
    count_macs: CountMacs
    most: int | None = None

    @property
    def summary(self) -> str:
        """How pictures are read."""
        return f"reads {self.k} of the cells"

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """About as many patches as the model was trained with, in the picture's shape."""
        return grid_for(*grid, self.config.thumbnail_size, self.config.patch)

    def select(self, runtime: Runtime, batch: Batch) -> Selected:
        """Choose the k best cells."""
        k = self.count(batch.grid)
        return select_cells(runtime, batch, k, k, self.config.map_spacing)

    def order(self, runtime: Runtime, batch: Batch) -> Selected:
        """Order all cells, of which the best k are read."""
        cells, spacing = batch.grid[0] * batch.grid[1], self.config.map_spacing
        return select_cells(runtime, batch, cells, self.count(batch.grid), spacing)

    def answer(self, runtime: Runtime, selected: Selected, patches: NDArray[np.uint8], cut: Cut) -> Outcome:
        """Answer in one pass."""
        chosen = selected.choose(patches, self.config)
        grid, count = selected.batch.grid, len(patches)
        macs = [self.macs(grid, chosen.cells.shape[1])] * count
        return Outcome(runtime.answer(chosen), list(chosen.cells), [grid] * count, macs, [None] * count)

    def count(self, grid: Grid) -> int:
        """Number of cells of `grid` that are read."""
        k = self.k.resolve(grid[0] * grid[1])
        return k if self.most is None else min(k, self.most)

    def notes(self, grid: Grid) -> tuple[str, ...]:
        """Tell that fewer cells than the model's share are read."""
        count, share = self.count(grid), self.k.resolve(grid[0] * grid[1])
        if count == share:
            return ()
        return (f"reads {count:,} cells, the most by default; -k {self.k} reads {share:,}",)

    def macs(self, grid: Grid, k: int) -> int:
        """Multiply-adds of a picture of which k cells are read."""
        return self.count_macs(self.config, grid, self.thumbnail_grid(grid), k, self.count_coarse(grid, k))

    def features_macs(self, grid: Grid, dense: bool) -> int:
        """Multiply-adds of a picture's features; dense ones are made of all coarse patches."""
        if not dense:
            return self.macs(grid, self.count(grid))
        coarse, k = self.count_coarse(grid, 0), self.count(grid)
        return passes.count_dense(self.config, grid, self.thumbnail_grid(grid), k, self.config.dim, coarse).total

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds of the only stage."""
        return (self.macs(grid, self.count(grid)),)

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """Cells of the only stage."""
        return (self.count(grid),)

    def tokens(self, grid: Grid) -> int:
        """Tokens of the extractor, if all coarse patches are read."""
        return self.config.prefix_tokens + self.count(grid) + self.count_coarse(grid, 0)

    def default_macs(self) -> int:
        """Multiply-adds of a picture of the model's own shape."""
        return self.macs(self.config.grid, self.k.resolve(self.config.cells))

    def describe(self, answers: str) -> str:
        """Describe the model, for its card. answers: what its head answers."""
        config, (rows, columns) = self.config, self.config.grid
        full = passes.count_full(config, config.grid) / 1e9
        if not config.has_selector:
            return (
                f"A full ViT ({answers}): {config.extractor_depth} blocks read all of {rows} x {columns} cells of "
                f"{config.patch} px, {full:.2f} GMACs for each picture.{self._describe_pruning()}"
            )
        height, width = (side * config.patch for side in config.thumbnail_grid)
        coarsely = f" and all of the picture at {config.coarse_size} px" if config.coarse_size else ""
        spent = self.default_macs() / 1e9
        return (
            f"A LookWhere model ({answers}): a selector of {config.selector_depth} blocks sees a thumbnail of "
            f"{height} x {width} px and chooses {self.count(config.grid)} of {rows} x {columns} cells of "
            f"{config.patch} px; an extractor of {config.extractor_depth} blocks reads only those{coarsely}. "
            f"{spent:.2f} GMACs for a picture of that shape, {full / spent:.1f}x fewer than the full ViT."
            f"{self._describe_pruning()}{self._describe_looks()}"
        )

    def _describe_pruning(self) -> str:
        """Describe the tokens that the blocks drop; empty if they drop none."""
        pruning = pruning_of(self.config)
        if pruning is None:
            return ""
        tokens = self.config.prefix_tokens + self.count(self.config.grid)
        fusion = ", and come back for the last one" if pruning.fusion else ""
        return (
            f" Its blocks drop cells on the way, from {tokens} tokens to "
            f"{remaining_counts(pruning, self.config, tokens)[-1]}{fusion}: {self.default_macs() / 1e9:.2f} GMACs."
        )

    def _describe_looks(self) -> str:
        """Describe what `-k auto` does; empty for a model without looks."""
        config = self.config
        if not config.looks:
            return ""
        counts = [look.resolve(config.cells) for look in config.looks]
        coarse = [self.count_coarse(config.grid, k) for k in counts]
        spent = passes.count_looks(config, config.grid, config.thumbnail_grid, counts, coarse)
        how = "adds to what it saw" if config.second_look == "add" else "starts anew"
        text = (
            f" With `-k auto` it reads {', then '.join(map(str, counts))} cells where it is unsure, and {how}: "
            f"{', '.join(f'{macs / 1e9:.2f}' for macs in spent)} GMACs by the look that answers."
        )
        if not config.thresholds:
            return text
        return f"{text} The thresholds in `config.json` came to {config.expected_macs / 1e9:.2f} on average."

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield what a table about the model shows of other ways to read: names and values."""
        if self.config.coarse_k is not None:
            yield "with --coarse", f"{self.config.coarse_k.resolve(self.config.cells)} cells"
        if self.config.looks:
            counts = ", ".join(str(look.resolve(self.config.cells)) for look in self.config.looks)
            yield "looks", f"{counts} cells, with -k auto"
            yield "thresholds", list_thresholds(self.config.thresholds) or "none; see lookwhere calibrate"

    def with_k(self, k: Amount) -> FixedStrategy:
        """Return the same strategy for another number of cells."""
        return replace(self, k=k, most=None)
