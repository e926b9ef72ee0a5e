"""Ways to choose cells: by the selector, at random, from the centre. The selector pays if it beats the other two."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.models.chosen import Grid

Chooser = Callable[[Int64[ndarray, "batch cells"], Grid, Sequence[int]], Int64[ndarray, "batch cells"]]
"""Orders all cells, the first to be read first; from the model's own order, the grid, and a seed per picture."""


def by_selector(order: Int64[ndarray, "batch cells"], grid: Grid, seeds: Sequence[int]) -> NDArray[np.int64]:
    """Keep the model's own order, (batch, cells): the selector's scores and the model's spacing, best first."""
    return order


def at_random(order: Int64[ndarray, "batch cells"], grid: Grid, seeds: Sequence[int]) -> NDArray[np.int64]:
    """Draw an order of cells, (batch, cells), for each picture from its own seed, whatever else is in its batch."""
    return np.stack([_permutation(grid[0] * grid[1], seed) for seed in seeds])


def from_centre(order: Int64[ndarray, "batch cells"], grid: Grid, seeds: Sequence[int]) -> NDArray[np.int64]:
    """Order cells, (batch, cells), by their distance to the centre, in units of the picture's height and width."""
    rows, columns = (np.arange(side, dtype=np.float32) for side in grid)
    down, across = (rows - (grid[0] - 1) / 2) / grid[0], (columns - (grid[1] - 1) / 2) / grid[1]
    nearest = np.argsort((down[:, None] ** 2 + across**2).flatten(), kind="stable")
    return np.tile(nearest, (len(order), 1))


CHOOSERS: dict[str, Chooser] = {"selector": by_selector, "random": at_random, "centre": from_centre}
"""By their names in results."""


def seed_of(thumbnail: NDArray[Any]) -> int:
    """Return a picture's seed, 0..2**32 - 1. It depends on its pixels only: not on its name, its batch or its set."""
    return zlib.crc32(thumbnail.tobytes())


def _permutation(count: int, seed: int) -> NDArray[np.int64]:
    """Return the permutation that torch.randperm draws from a generator with this seed, as results always had it."""
    draws = np.random.RandomState(seed).randint(0, 1 << 32, max(0, count - 1), np.uint32).tolist()
    order = list(range(count))
    for place, draw in enumerate(draws):
        other = place + draw % (count - place)
        order[place], order[other] = order[other], order[place]
    return np.array(order, np.int64)
