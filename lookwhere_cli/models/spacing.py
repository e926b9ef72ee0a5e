"""Cells that are read lie further apart if every other cell has an advantage, as the dark squares of a chessboard.

Neighbouring cells say almost the same. Where the selector map is flat, an advantage for every other cell spreads those
that are read evenly; where it is steep, the map decides. Imports no torch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from lookwhere_cli.models.chosen import Grid


@lru_cache
def chessboard(grid: Grid) -> Float32[ndarray, " cells"]:
    """Return 0 for the first cell of a grid and 1 for its neighbours, alternately, row by row. Not to be written to."""
    rows, columns = np.indices(grid)
    board: Float32[ndarray, " cells"] = ((rows + columns) % 2).astype(np.float32).ravel()
    board.setflags(write=False)
    return board
