"""A predictor for cascades over growing grids (DVT): all of a picture is read, until an exit is sure of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.checkpoints.folder import Loaded, only_classifies
from lookwhere_cli.images.frame import Grid, Reading, grid_for
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import cascade as dvt_macs
from lookwhere_cli.models.cascade.dvt import DVT, shapes_of
from lookwhere_cli.models.cascade.stages import Decided
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Label, Row
from lookwhere_cli.predictor import Glimpse, Picture
from lookwhere_cli.staged import StagedPredictor


def grids_for(config: Config, grid: Grid) -> tuple[Grid, ...]:
    """Each exit's (rows, columns) for pictures that the last one reads as `grid`: shaped like it, in the same shares.

    They grow wherever there is room: rows and columns together must be more than the exits.
    """
    own = [exit_[:2] for exit_ in config.exits]
    if grid == config.grid:
        return tuple(own)
    grids = [grid]
    for place, (rows, columns) in reversed(list(enumerate(own[:-1]))):
        side = round(math.sqrt(rows * columns / math.prod(config.grid) * math.prod(grid)))
        grids.append(_between(grid_for(*grid, max(1, side), 1), grids[-1], place))
    return tuple(reversed(grids))


def _between(wanted: Grid, later: Grid, earlier: int) -> Grid:
    """The grid as wanted, but smaller than a later one, and with room for so many that grow below it."""
    rows, columns = map(min, wanted, later)
    if (rows, columns) == later:
        rows, columns = (rows - 1, columns) if rows > columns else (rows, columns - 1)
    while rows + columns < earlier + 2:
        rows, columns = (rows, columns + 1) if columns < later[1] else (rows + 1, columns)
    return rows, columns


class DVTPredictor(StagedPredictor):
    """A cascade and how it is to be used. `lookwhere_cli.load` makes one where a model's config has exits.

    Without thresholds in the config the last exit answers all; see `lookwhere calibrate`.
    """

    def __init__(self, loaded: Loaded, reading: Reading, *, top: int, batch_size: int, workers: int) -> None:
        stages = len(loaded.config.exits)
        super().__init__(loaded, reading, k=ALL_CELLS, stages=stages, top=top, batch_size=batch_size, workers=workers)
        assert isinstance(loaded.model, DVT)
        self.cascade = loaded.model

    def features(self, pictures: Iterable[Picture], dense: bool = False) -> NoReturn:
        """Raises ModelError: no exit's features are those of all pictures."""
        raise only_classifies(self.loaded.name)

    def explain(self, picture: Picture) -> NoReturn:
        """Raises ModelError: a cascade reads all cells, so that there is nowhere that it looked."""
        raise only_classifies(self.loaded.name)

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """All of the picture: it is what each exit sees, resized to its own grid."""
        return grid

    def every_stage(self, glimpses: Sequence[Glimpse]) -> Float[Tensor, "exits batch labels"]:
        """The logits of all exits for all pictures of one grid."""
        return torch.stack(self.cascade(self._pictures(glimpses), self._grids(glimpses)))

    def decide(
        self, glimpses: Sequence[Glimpse], thresholds: Sequence[float]
    ) -> tuple[Decided, Sequence[NDArray[np.int64]]]:
        """Logits of pictures of one grid, each from the first exit that is sure of it; no cells, as all are read."""
        decided = self.cascade.decide(self._pictures(glimpses), thresholds, self._grids(glimpses))
        return decided, [np.empty(0, np.int64)] * len(glimpses)

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """The cells of each exit's own grid."""
        return tuple(map(math.prod, grids_for(self.config, grid)))

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds by then of a picture that leaves at each exit; `grid` is the last one's."""
        return dvt_macs.costs(self.config, shapes_of(self.config), grids_for(self.config, grid))

    def macs(self, grid: Grid, k: int, dense: bool = False) -> int:
        """Multiply-adds for one picture of which no exit but the last is sure."""
        return self.stage_macs(grid)[-1]

    def _pictures(self, glimpses: Sequence[Glimpse]) -> Float[Tensor, "batch 3 height width"]:
        return self._normalised([glimpse.thumbnail for glimpse in glimpses])

    def _grids(self, glimpses: Sequence[Glimpse]) -> tuple[Grid, ...]:
        return grids_for(self.config, glimpses[0].view.grid)

    def _left(self, view: View, exit_: int, order: NDArray[np.int64], labels: tuple[Label, ...], seconds: float) -> Row:
        grid = grids_for(self.config, view.grid)[exit_]
        row = super()._left(view, exit_, order, labels, seconds)
        return replace(row, k=math.prod(grid), grid=grid, cells=tuple(np.ndindex(*grid)))
