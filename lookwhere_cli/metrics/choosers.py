"""Who chooses the cells: the selector, chance or the centre. Choosing must pay against the other two."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.selector import choose

Chooser = Callable[[Float32[Tensor, "batch cells"], Grid, Sequence[int]], Int64[Tensor, "batch cells"]]
"""From the selector's map, the grid (rows, columns) and a seed per picture to all cells, the first to be read first."""


def by_map(map: Float32[Tensor, "batch cells"], grid: Grid, seeds: Sequence[int]) -> Int64[Tensor, "batch cells"]:
    """The selector's own order."""
    return choose(map, map.shape[1])


def at_random(map: Float32[Tensor, "batch cells"], grid: Grid, seeds: Sequence[int]) -> Int64[Tensor, "batch cells"]:
    """Cells drawn evenly, each picture's from its own seed, so that they do not depend on what shares its batch."""
    cells = grid[0] * grid[1]
    orders = [torch.randperm(cells, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(orders).to(map.device)


def central(map: Float32[Tensor, "batch cells"], grid: Grid, seeds: Sequence[int]) -> Int64[Tensor, "batch cells"]:
    """The cells nearest to the picture's centre first, in the picture's own proportions."""
    rows, columns = grid
    down = (torch.arange(rows) - (rows - 1) / 2) / rows
    across = (torch.arange(columns) - (columns - 1) / 2) / columns
    distance = (down[:, None] ** 2 + across**2).flatten()
    return distance.argsort(stable=True).expand(len(map), -1).to(map.device)


CHOOSERS: dict[str, Chooser] = {"selector": by_map, "random": at_random, "centre": central}


def seed_of(thumbnail: NDArray[Any]) -> int:
    """A picture's own seed: of what it shows, so that neither its name, its place nor its batch matters."""
    return zlib.crc32(thumbnail.tobytes())
