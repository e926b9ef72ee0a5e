"""Answers of a model to labelled pictures, each read once and looked at in several ways."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import log
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS, Amount, AmountLike
from lookwhere_cli.images.frame import Grid, frame_for
from lookwhere_cli.images.view import View
from lookwhere_cli.metrics.choosers import CHOOSERS, seed_of
from lookwhere_cli.models.chosen import Coarse
from lookwhere_cli.predictor import Glimpse, Predictor
from lookwhere_cli.segmenter import classes_at

TURNS = 2  # laps at each picture
TOKENS = 1 << 15  # that go through a model at once: what more would bring in speed, it costs in memory


@dataclass(frozen=True)
class Look:
    """A way to look: who chooses (a name of CHOOSERS), and how many cells: a count (int) or a share (float)."""

    by: str
    k: Amount

    def __post_init__(self) -> None:
        """Read an amount that was given as a plain number."""
        object.__setattr__(self, "k", Amount.parse(self.k))


class Read(NamedTuple):
    """What a model is given of some pictures of one grid, and the views that these are."""

    patches: UInt8[ndarray, "batch k patch patch 3"]
    cells: Int64[Tensor, "batch k"]
    grid: Grid
    prefix_tokens: Float[Tensor, "batch prefix dim"]
    coarse: Coarse[Tensor] | None
    views: Sequence[View]


Judge = Callable[[Predictor, Read], list[Tensor]]
"""What is to be known of each picture, from what the model says of it."""


class Measured(NamedTuple):
    """Of one picture: what the judge says for each look, and the picture's (height, width) as displayed."""

    outcomes: list[Tensor]
    size: tuple[int, int]


def probabilities(predictor: Predictor, read: Read) -> list[Float[Tensor, " labels"]]:
    """A judge: each label's probability."""
    cls = predictor.cls(list(read.patches), read.cells, read.grid, read.prefix_tokens, read.coarse)
    return list(predictor.probabilities(cls))


def classes_of(predictor: Predictor, read: Read) -> list[UInt8[Tensor, "height width"]]:
    """A judge: each pixel's class, at each picture's own size."""
    scores = predictor.class_scores(list(read.patches), read.cells, read.grid, read.prefix_tokens, read.coarse)
    return [torch.from_numpy(classes_at(one, *view.size)[0]) for one, view in zip(scores, read.views, strict=True)]


def run(predictor: Predictor, looks: Sequence[Look], judge: Judge, paths: Sequence[str]) -> Iterator[Measured | str]:
    """Each picture's outcomes, in the pictures' order; the sentence that says why there are none."""

    def answer(glimpses: Sequence[Glimpse]) -> list[Measured | str]:
        with torch.inference_mode():
            outcomes = _look(predictor, looks, judge, glimpses)
        return [Measured([one[place] for one in outcomes], glimpse.view.size) for place, glimpse in enumerate(glimpses)]

    return predictor.in_batches(paths, answer, lambda row: row.error or "")


def _look(predictor: Predictor, looks: Sequence[Look], judge: Judge, glimpses: Sequence[Glimpse]) -> list[list[Tensor]]:
    """For each look what the judge says of each picture; the selector's pass and the patches serve all looks."""
    grid, views = glimpses[0].view.grid, [glimpse.view for glimpse in glimpses]
    cells = grid[0] * grid[1]
    selection = predictor.select([glimpse.thumbnail for glimpse in glimpses], grid)
    seeds = [seed_of(glimpse.thumbnail) for glimpse in glimpses]
    orders = {by: CHOOSERS[by](selection.map, grid, seeds) for by in {look.by for look in looks}}
    patches = np.stack([view.patches(np.arange(cells)) for view in views])
    coarse = predictor.coarse([glimpse.coarse for glimpse in glimpses])
    outcomes: list[list[Tensor]] = []
    for look in looks:
        chosen = orders[look.by][:, : look.k.resolve(cells)]
        read = np.take_along_axis(patches, chosen.cpu().numpy()[..., None, None, None], axis=1)
        given = Read(read, chosen, grid, selection.prefix_tokens, coarse, views)
        outcomes.append([one for part in _parts(given) for one in judge(predictor, part)])
    return outcomes


def _parts(read: Read) -> Iterator[Read]:
    """The same, as few pictures at a time as TOKENS says."""
    step = max(1, TOKENS // read.cells.shape[1])
    for start in range(0, len(read.views), step):
        part = slice(start, start + step)
        coarse = read.coarse and Coarse(read.coarse.patches[part], read.coarse.grid)
        yield Read(read.patches[part], read.cells[part], read.grid, read.prefix_tokens[part], coarse, read.views[part])


def evenly(paths: Sequence[str], count: int) -> list[str]:
    """So many of them, evenly over all."""
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def at_size(predictor: Predictor, size: int) -> Predictor:
    """The same model, that reads all cells of a grid of about size x size pixels, and nothing beside them."""
    reading = replace(predictor.reading, size=size, coarse_size=0)
    batch_size, workers = predictor.batch_size, predictor.workers
    return Predictor(predictor.loaded, reading, k=ALL_CELLS, top=predictor.top, batch_size=batch_size, workers=workers)


def grids_of(predictor: Predictor, sizes: Iterable[tuple[int, int]]) -> Counter[Grid]:
    """How many pictures of these (height, width) are read on each grid."""
    return Counter(frame_for(*size, predictor.reading)[0] for size in sizes)


def mean_macs(predictor: Predictor, k: AmountLike, sizes: Iterable[tuple[int, int]]) -> float:
    """Multiply-adds per picture, over pictures of these (height, width), with k of each one's cells read."""
    grids = grids_of(predictor, sizes)
    return (
        sum(times * predictor.macs(grid, Amount.parse(k).resolve(grid[0] * grid[1])) for grid, times in grids.items())
        / grids.total()
    )


def size_of_equal_macs(predictor: Predictor, macs: float, sizes: Sequence[tuple[int, int]]) -> int:
    """The size, a multiple of the patch up to the predictor's own, where all cells take nearest to `macs` a picture."""
    patch = predictor.config.patch

    def spent(side: int) -> float:
        return mean_macs(at_size(predictor, side * patch), ALL_CELLS, sizes)

    sides = range(1, predictor.reading.size // patch + 1)
    above = min(bisect_left(sides, macs, key=spent), len(sides) - 1)
    return patch * min(sides[max(0, above - 1) : above + 1], key=lambda side: abs(log(spent(side) / macs)))


def median_seconds(laps: Sequence[Callable[[str], float] | None], paths: Iterable[str]) -> list[float | None]:
    """Median over the pictures of what each lap says of them; None for None.

    All take their turn at each picture, so that whatever else the machine does meets all of them alike; each first
    lap warms up, and is not counted.
    """
    seconds: list[list[float]] = [[] for _ in laps]
    for number, path in enumerate(paths):
        for _ in range(TURNS + (number == 0)):
            for run_lap, taken in zip(laps, seconds, strict=True):
                if run_lap is not None:
                    taken.append(run_lap(path))
    return [median(taken[1:]) if taken else None for taken in seconds]


@torch.inference_mode()
def lap(predictor: Predictor, look: Look, answer: Judge, path: str) -> float:
    """Seconds that a picture takes, alone in its batch, from its decoded pixels to the answer."""
    view, patch = predictor.view(path), predictor.config.patch
    unseen = np.zeros((patch, patch, 3), np.uint8)  # who has no selector need not shrink the picture for it
    started = time.perf_counter()
    thumbnail = predictor.thumbnail(view) if predictor.config.selector_depth else unseen
    selection = predictor.select([thumbnail], view.grid)
    coarse = predictor.coarse([predictor.coarse_thumbnail(view)])
    order = CHOOSERS[look.by](selection.map, view.grid, [seed_of(thumbnail)])
    cells = order[:, : look.k.resolve(order.shape[1])]
    patches = view.patches(cells[0].cpu().numpy())
    answer(predictor, Read(patches[None], cells, view.grid, selection.prefix_tokens, coarse, [view]))[0].cpu()
    return time.perf_counter() - started
