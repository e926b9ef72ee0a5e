"""Which windows of a picture the selector would read, from the overview: the same choice as of cells, a level higher.

The overview is cut into blocks, and the selector maps each of them. Together the maps are a density: how much of what
matters lies where. Windows are then taken one after the other, each time the one that holds most of what is left, so
that neighbours which overlap do not count the same thing twice.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Box, Grid
from lookwhere_cli.images.source import Source
from lookwhere_cli.macs import passes
from lookwhere_cli.models.config import Config
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.stream import largest_batch
from lookwhere_cli.windows.grid import WindowGrid

SHARE = 0.0495
"""Of the multiply-adds of all windows: what the ranking takes at most. It decides how fine the overview is."""
SIDE, LEAST_SIDE = 2 / 3, 8
"""Share of the side of the selector's own thumbnail that a block has, and its patches, down and across, at least. Of
larger blocks there would be fewer, each with a coarser look at more of the picture; smaller ones lack surroundings."""
BINS = 12
"""Places, down and across, in which a window's density is known."""
LEVEL = 0.75
"""How much more a block counts whose map is higher in all, as the power of the sum of exponentials: at 0 all blocks
count alike, at 1 the maps are one. Only boxes have taught a selector to compare whole maps."""
CUT = 1 / 32
"""Share of a window's side, from each edge, in which things may be cut: what lies there does not count."""


class Ranking(NamedTuple):
    """The windows that are ranked highest.

    ranks: of each window, from 1; 0 for those that are not read. macs: multiply-adds of the selector.
    """

    ranks: Int64[ndarray, " windows"]
    macs: int


def rank_windows(
    pipeline: Pipeline,
    source: Source,
    grid: WindowGrid,
    kept: Bool[ndarray, " windows"],
    best: Amount | None,
    window_macs: int,
) -> Ranking | None:
    """Choose the best of the windows that are `kept`. None if all of them are read.

    window_macs: multiply-adds that a window takes. Raises ModelError for a model without a selector.
    """
    if best is None or best.is_all or not kept.any():
        return None
    if not pipeline.config.has_selector:
        raise pipeline.refusal("a ranking of windows")
    overview = _Overview(pipeline, source, grid)
    density, macs = overview.density(kept, SHARE * window_macs * len(grid))
    count = best.resolve(int(kept.sum()))
    ranks = np.zeros(len(grid), np.int64)
    ranks[choose_windows(density, grid, np.flatnonzero(kept), count)] = np.arange(1, count + 1)
    return Ranking(ranks, macs)


class _Overview:
    """The overview of a picture as the selector sees it: blocks of `side` x `side` patches."""

    def __init__(self, pipeline: Pipeline, source: Source, grid: WindowGrid) -> None:
        self._pipeline, self._source, self._grid = pipeline, source, grid
        config = pipeline.config
        whole = config.thumbnail_size // config.patch
        self._side = min(whole, max(LEAST_SIDE, round(whole * SIDE)))
        self._macs = passes.count_image(config, (1, 1), (self._side, self._side), 1).selector

    def density(self, kept: Bool[ndarray, " windows"], macs: float) -> tuple[Float32[ndarray, "rows columns"], int]:
        """Return how much lies where, `BINS` to a window's side, and the multiply-adds; at most about `macs`."""
        grid, pixels = self._grid, self._side * self._pipeline.config.patch
        rows, columns = divide(grid.size, int(macs // self._macs), pixels)
        boxes = [box for box in _boxes(grid.size, rows, columns) if _holds(box, grid, kept)]
        bins = bins_of(grid)
        density = np.zeros(bins, np.float32)
        maps, levels = self._maps(boxes)
        weights = np.exp(LEVEL * (levels - np.median(levels)))
        for box, map_, weight in zip(boxes, maps, weights, strict=True):
            _spread(density, box, map_ * weight, grid.size)
        return density, len(boxes) * self._macs

    def _maps(self, boxes: list[Box]) -> tuple[list[NDArray[np.float32]], NDArray[np.float64]]:
        """Return the map of each block as a distribution, and the logarithm of its sum before."""
        cells = self._side * self._pipeline.config.map_scale
        maps, levels = [], []
        for pixels in _batched(self._pixels(boxes), self._batch_size()):
            scores = self._pipeline.runtime.select(pixels, (cells, cells)).map.astype(np.float64)
            top = scores.max(axis=1, keepdims=True)
            shares = np.exp(scores - top)
            sums = shares.sum(axis=1, keepdims=True)
            maps += list((shares / sums).astype(np.float32).reshape(-1, cells, cells))
            levels += (top + np.log(sums))[:, 0].tolist()
        return maps, np.array(levels)

    def _pixels(self, boxes: list[Box]) -> Iterator[UInt8[ndarray, "pixels pixels 3"]]:
        """Yield the blocks, read ahead; one that can't be read is grey, and its windows tell why."""
        pixels = self._side * self._pipeline.config.patch
        options = self._pipeline.options
        read = partial(_read, self._source, pixels)
        for found in read_ahead(boxes, read, options.workers, 2 * options.workers):
            yield np.full((pixels, pixels, 3), 128, np.uint8) if isinstance(found, PictureError) else found

    def _batch_size(self) -> int:
        config: Config = self._pipeline.config
        return largest_batch(config.prefix_tokens + self._side**2, config.dim, self._pipeline.options.batch_size)


def divide(size: tuple[int, int], most: int, pixels: int) -> Grid:
    """Return the rows and columns of blocks into which a picture (height, width) is divided: small and square ones.

    Of all divisions, it is the one whose blocks have the shortest longer side; of equal ones, that with fewer rows.
    most: how many blocks at most, but for the first one. pixels: side of a block below which nothing is gained.
    """
    height, width = size
    best, shortest = (1, 1), math.inf
    for rows in range(1, min(most, -(-height // pixels)) + 1):
        columns = min(most // rows, -(-width // pixels))
        longer = max(height / rows, width / columns)
        if longer < shortest:
            best, shortest = (rows, columns), longer
    return best


def bins_of(grid: WindowGrid) -> Grid:
    """Return the rows and columns of places in which the density of a picture is known."""
    rows, columns = (math.ceil(BINS * length / side) for length, side in zip(grid.size, grid.shape, strict=True))
    return rows, columns


def choose_windows(
    density: Float32[ndarray, "rows columns"], grid: WindowGrid, numbers: Int64[ndarray, " windows"], count: int
) -> Int64[ndarray, " count"]:
    """Return `count` of the windows with these numbers, best first.

    Each is the one with the largest sum of the density that no better one holds; of equal ones, that with the larger
    sum of all its density, then the lower number. This comes within 1 - 1/e of what the best choice would hold.
    """
    left = density.copy()
    places = {int(number): _place(grid, int(number), density.shape) for number in numbers}
    total = {number: float(density[place].sum(dtype=np.float64)) for number, place in places.items()}
    heap = [(-value, -value, number) for number, value in total.items()]
    heapq.heapify(heap)
    chosen: list[int] = []
    while len(chosen) < count:
        _, _, number = heapq.heappop(heap)
        entry = (-float(left[places[number]].sum(dtype=np.float64)), -total[number], number)
        if heap and entry > heap[0]:
            heapq.heappush(heap, entry)
            continue
        chosen.append(number)
        left[places[number]] = 0
    return np.array(chosen, np.int64)


def _place(grid: WindowGrid, number: int, bins: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the rows and columns of the density that lie in a window, but for what its inner edges may cut."""
    left, top, right, bottom = grid.box(number)
    ends = ((top, bottom, grid.size[0], bins[0]), (left, right, grid.size[1], bins[1]))
    slices = []
    for start, stop, length, count in ends:
        margin = CUT * (stop - start)
        first = start + margin if start > 0 else 0
        last = stop - margin if stop < length else length
        begin = min(count - 1, round(first / length * count))
        slices.append(slice(begin, max(begin + 1, round(last / length * count))))
    return slices[0], slices[1]


def _boxes(size: tuple[int, int], rows: int, columns: int) -> Iterator[Box]:
    height, width = size[0] / rows, size[1] / columns
    for row in range(rows):
        for column in range(columns):
            yield column * width, row * height, (column + 1) * width, (row + 1) * height


def _holds(box: Box, grid: WindowGrid, kept: Bool[ndarray, " windows"]) -> bool:
    """Return True if a window that is kept touches a box."""
    (height, width), (left, top, right, bottom) = grid.shape, box
    rows = (grid.tops < bottom) & (grid.tops + height > top)
    columns = (grid.lefts < right) & (grid.lefts + width > left)
    return bool(kept.reshape(len(grid.tops), len(grid.lefts))[np.ix_(rows, columns)].any())


def _spread(density: NDArray[np.float32], box: Box, values: Float32[ndarray, "h w"], size: tuple[int, int]) -> None:
    """Add the values of a block's cells to the places in which their middles lie."""
    left, top, right, bottom = box
    down = top + (np.arange(values.shape[0]) + 0.5) * ((bottom - top) / values.shape[0])
    across = left + (np.arange(values.shape[1]) + 0.5) * ((right - left) / values.shape[1])
    rows = (down * (density.shape[0] / size[0])).astype(np.int64).clip(max=density.shape[0] - 1)
    columns = (across * (density.shape[1] / size[1])).astype(np.int64).clip(max=density.shape[1] - 1)
    np.add.at(density, np.ix_(rows, columns), values)


def _read(source: Source, pixels: int, box: Box) -> UInt8[ndarray, "pixels pixels 3"]:
    """Read a block. Raises PictureError."""
    try:
        return source.read(box, pixels, pixels)
    except OSError as error:
        raise PictureError(str(error)) from error


def _batched(items: Iterator[NDArray[np.uint8]], size: int) -> Iterator[NDArray[np.uint8]]:
    """Stack items into batches."""
    batch: list[NDArray[np.uint8]] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield np.stack(batch)
            batch = []
    if batch:
        yield np.stack(batch)
