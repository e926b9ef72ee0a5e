"""What a pipeline spends on pictures, from their sizes alone."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeVar

from lookwhere_cli.images.frame import frame_for
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.scoring.variants import at_size

Size = tuple[int, int]
"""(height, width) of a picture as displayed, in pixels."""
K = TypeVar("K")


@dataclass(frozen=True)
class Costs:
    """Means per picture: cells that the answer is from, multiply-adds, and those of the full ViT on all cells."""

    cells: float
    macs: float
    macs_full: float


def costs_of(pipeline: Pipeline, sizes: Iterable[Size]) -> Costs:
    """Return what pictures of these sizes cost if all of them reach the strategy's last stage."""
    strategy, head = pipeline.strategy, pipeline.head
    grids = count_grids(pipeline, sizes)
    return Costs(
        mean_over(grids, lambda grid: strategy.stage_cells(grid)[-1]),
        mean_over(grids, lambda grid: strategy.stage_macs(grid)[-1]),
        mean_over(grids, lambda grid: head.count_full(pipeline.config, grid)),
    )


def mean_over(counts: Mapping[K, int], value: Callable[[K], float]) -> float:
    """Average a value over items, each counted as often as `counts` says."""
    return sum(count * value(item) for item, count in counts.items()) / sum(counts.values())


def count_grids(pipeline: Pipeline, sizes: Iterable[Size]) -> Counter[Grid]:
    """Count how many pictures of these sizes are read on each grid."""
    return Counter(frame_for(*size, pipeline.reader.reading)[0] for size in sizes)


def size_of_equal_macs(pipeline: Pipeline, macs: float, sizes: Sequence[Size]) -> int:
    """Return the size, in pixels, at which reading all cells costs nearest to `macs` per picture.

    It is a multiple of the patch, and at most the pipeline's own size.
    """
    patch = pipeline.config.patch

    def spent(side: int) -> float:
        """Return the multiply-adds per picture, on average, with `side` x `side` cells or as many of another shape."""
        return costs_of(at_size(pipeline, side * patch), sizes).macs

    sides = range(1, pipeline.reader.reading.size // patch + 1)
    above = min(bisect_left(sides, macs, key=spent), len(sides) - 1)
    return patch * min(sides[max(0, above - 1) : above + 1], key=lambda side: abs(log(spent(side) / macs)))
