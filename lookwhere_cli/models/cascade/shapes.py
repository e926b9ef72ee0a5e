"""The grids and patches of a cascade's exits. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config


@dataclass(frozen=True)
class ExitShape:
    """What an exit reads.

    grid: (rows, columns) of cells. patch: side of a cell in pixels. padding: zeros around the picture, in pixels.
    """

    grid: Grid
    patch: int
    padding: int = 0

    def size(self, grid: Grid) -> tuple[int, int]:
        """Return the height and width in pixels of the picture, without padding, that `grid` is cut from."""
        height, width = (count * self.patch - 2 * self.padding for count in grid)
        return height, width


PUBLISHED_SHAPES = (ExitShape((7, 7), 32), ExitShape((10, 10), 23, padding=3), ExitShape((14, 14), 16))
"""The paper's exits; all read 224 x 224 pixels."""


def shapes_of(config: Config) -> tuple[ExitShape, ...]:
    """Return the exits that a config describes."""
    return tuple(ExitShape((rows, columns), patch, padding) for rows, columns, patch, padding in config.exits)


def check_growth(grids: Sequence[Grid]) -> None:
    """Raise ValueError unless there are two grids or more and each has more cells than the last and no shorter side."""
    for (rows, columns), (more_rows, more_columns) in pairwise(grids):
        if more_rows < rows or more_columns < columns or (more_rows, more_columns) == (rows, columns):
            raise ValueError(
                f"a grid of {rows} x {columns} cells can't be followed by one of {more_rows} x {more_columns}; "
                "the grids of a cascade must grow, and no side may shrink"
            )
    if len(grids) < 2:
        raise ValueError(f"a cascade needs two grids or more; {len(grids)} given")
