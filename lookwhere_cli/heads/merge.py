"""One box for each thing: overlapping boxes of a class are merged, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.detections import Detections

IOU, LIMIT = 0.5, 300
Measure = Literal["union", "smaller"]
"""What the area that two boxes share is divided by: the area of their union, or that of the smaller box."""
Join = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
"""Makes one box of each group of boxes: (groups, 4) of the boxes (m, 4), group after group and the best of each first,
their scores (m,), and where each group starts.
"""
PAIRS = 1 << 14
"""Pairs of boxes whose overlaps are computed at once; more do not fit in a core's cache."""


class Merged(NamedTuple):
    """The boxes that are kept, best first.

    indices: of the kept boxes among the candidates. boxes: the kept boxes, left, top, right, bottom. is_cut: True if
    more boxes than the limit were left.
    """

    indices: Int64[ndarray, " kept"]
    boxes: Float32[ndarray, "kept 4"]
    is_cut: bool


def mean_box(
    boxes: Float64[ndarray, "m 4"], scores: Float64[ndarray, " m"], starts: Int64[ndarray, " groups"]
) -> Float64[ndarray, "groups 4"]:
    """Return the mean of the boxes of each group, weighted by score."""
    weights = np.maximum(scores, np.finfo(np.float64).tiny)[:, None]
    return np.add.reduceat(weights * boxes, starts) / np.add.reduceat(weights, starts)


def hull_box(
    boxes: Float64[ndarray, "m 4"], scores: Float64[ndarray, " m"], starts: Int64[ndarray, " groups"]
) -> Float64[ndarray, "groups 4"]:
    """Return the smallest box around all boxes of each group."""
    corners, ends = np.minimum.reduceat(boxes[:, :2], starts), np.maximum.reduceat(boxes[:, 2:], starts)
    return np.concatenate((corners, ends), axis=1)


def merge_boxes(
    boxes: Float[ndarray, "n 4"],
    scores: Float[ndarray, " n"],
    classes: Int[ndarray, " n"],
    iou: float = IOU,
    limit: int = LIMIT,
    *,
    measure: Measure = "union",
    join: Join = mean_box,
    join_iou: float = 1.0,
) -> Merged:
    """Keep the best box of each thing: greedy non-maximum suppression within each class.

    A box is dropped if a better box of its class, which is kept, overlaps it by more than `iou`. Of boxes with equal
    scores the first is the better one. A kept box is then joined with those boxes that it dropped and overlaps by more
    than `join_iou`; at 1 it stays as it is.

    Args:
        boxes: left, top, right, bottom, finite, with left <= right and top <= bottom.
        scores: finite, at least 0.
        classes: indices.
        iou: 0..1; at 1 all boxes are kept.
        limit: how many boxes are kept at most.
        measure: how overlap is measured, for both thresholds.
        join: how kept boxes and those like them become one box each.
        join_iou: 0..1; 0 for all boxes that the kept one dropped.
    """
    order = np.argsort(-scores.astype(np.float64), kind="stable")
    ranked, weights = boxes[order].astype(np.float64), scores[order].astype(np.float64)
    search = _Search(ranked, classes[order], iou, measure)
    kept, dropped = search.keep_best(limit + 1)
    is_cut, kept = len(kept) > limit, kept[:limit]
    alike = _alike(kept, dropped, join_iou)
    joined = _joined(ranked, weights, kept, alike, join).astype(np.float32)
    return Merged(order[kept], joined, is_cut)


def merge_tiles(
    tiles: Sequence[Detections],
    corners: Int[ndarray, "tiles 2"],
    iou: float = IOU,
    limit: int = LIMIT,
    *,
    measure: Measure = "smaller",
    join: Join = hull_box,
    join_iou: float = 0.0,
) -> tuple[Detections, bool]:
    """Merge what was found in overlapping tiles of a picture; return it and whether more than `limit` boxes were left.

    By default as it is usually done for tiles: a box counts as part of another one if most of it lies inside, and both
    become the box around them, because tiles cut things.

    tiles: at least one; each with boxes in pixels of the tile. corners: the left and top of each tile in the picture.
    The other arguments are those of `merge_boxes`.
    """
    shifts = np.tile(corners, 2).astype(np.float64)
    boxes = np.concatenate([tile.boxes + shift for tile, shift in zip(tiles, shifts, strict=True)])
    scores = np.concatenate([tile.scores for tile in tiles])
    classes = np.concatenate([tile.classes for tile in tiles])
    merged = merge_boxes(boxes, scores, classes, iou, limit, measure=measure, join=join, join_iou=join_iou)
    found = Detections(merged.boxes, scores[merged.indices], classes[merged.indices], tiles[0].labels)
    return found, merged.is_cut


class _Pairs(NamedTuple):
    """Pairs of overlapping boxes. better, worse: their indices. overlaps: 0..1."""

    better: Int64[ndarray, " pairs"]
    worse: Int64[ndarray, " pairs"]
    overlaps: Float64[ndarray, " pairs"]

    def at(self, which: Int64[ndarray, " m"] | Bool[ndarray, " pairs"]) -> _Pairs:
        """Return some of the pairs."""
        return _Pairs(*(values[which] for values in self))


def _alike(kept: Int64[ndarray, " kept"], dropped: _Pairs, join_iou: float) -> _Pairs:
    """Return the pairs of a kept box and one that it dropped and overlaps by more than `join_iou`.

    kept: rising. dropped: all that the kept boxes (and perhaps worse ones) overlap too much, those of the best first.
    """
    if not len(kept) or join_iou >= 1:
        return dropped.at(np.zeros(0, np.int64))
    dropped = dropped.at(dropped.better <= kept[-1])
    # What several kept boxes overlap was dropped by the best of them, which comes first.
    dropped = dropped.at(np.unique(dropped.worse, return_index=True)[1])
    return dropped.at(dropped.overlaps > join_iou)


def _joined(
    boxes: Float64[ndarray, "n 4"],
    scores: Float64[ndarray, " n"],
    kept: Int64[ndarray, " kept"],
    alike: _Pairs,
    join: Join,
) -> Float64[ndarray, "kept 4"]:
    """Return the kept boxes, each joined with those alike."""
    joined: NDArray[np.float64] = boxes[kept]
    if len(alike.better):
        bests = np.unique(alike.better)
        groups = np.concatenate((bests, alike.better))
        order = np.argsort(groups, kind="stable")
        members = np.concatenate((bests, alike.worse))[order]
        starts = np.searchsorted(groups[order], bests)
        joined[np.searchsorted(kept, bests)] = join(boxes[members], scores[members], starts)
    return joined


class _Search:
    """Finds which boxes, sorted best first, are kept, and which of the others they drop.

    A box is compared only with those whose centres are near to its own. They lie close together on a line: the boxes
    sorted by class and, within a class, by their centre along the longer side of the picture.
    """

    def __init__(
        self, boxes: Float64[ndarray, "n 4"], classes: Int[ndarray, " n"], iou: float, measure: Measure
    ) -> None:
        self._edges = _longer_first(boxes)
        self._areas = (self._edges[2] - self._edges[0]) * (self._edges[3] - self._edges[1])
        (places, self._across), (reaches, self._reaches) = _places(self._edges, classes, iou, measure)
        self._line = line = np.argsort(places)
        places, reaches = places[line], reaches[line]
        self._starts, self._counts = np.empty_like(line), np.empty_like(line)
        self._starts[line] = np.searchsorted(places, places - reaches, side="left")
        self._counts[line] = np.searchsorted(places, places + reaches, side="right") - self._starts[line]
        self._alive = np.ones(len(boxes), np.bool_)
        self._iou, self._divisor = iou, _DIVISORS[measure]

    def keep_best(self, most: int) -> tuple[Int64[ndarray, " kept"], _Pairs]:
        """Return the boxes that are kept, best first and `most` at most, and pairs with what they drop."""
        kept, found, begin = [_NONE], [_Pairs(_NONE, _NONE, np.zeros(0))], 0
        while most > 0 and len(block := self._block(begin)):
            pairs = self._pairs(block)
            kept.append(self._keep(block, pairs)[:most])
            found.append(pairs.at(np.isin(pairs.better, kept[-1])))
            most -= len(kept[-1])
            begin = int(block[-1]) + 1
        return np.concatenate(kept), _Pairs(*map(np.concatenate, zip(*found, strict=True)))

    def _block(self, begin: int) -> Int64[ndarray, " m"]:
        """Return the next boxes that are left: about as many as have PAIRS neighbours."""
        block = begin + np.flatnonzero(self._alive[begin:])
        return block[: 1 + np.searchsorted(self._counts[block].cumsum(), PAIRS)]

    def _keep(self, block: Int64[ndarray, " m"], pairs: _Pairs) -> Int64[ndarray, " kept"]:
        """Keep each box of a block unless a better one has dropped it."""
        bounds = np.searchsorted(pairs.better, np.append(block, block[-1] + 1)).tolist()
        kept = []
        for index, start, stop in zip(block.tolist(), bounds[:-1], bounds[1:], strict=True):
            if self._alive[index]:
                kept.append(index)
                self._alive[pairs.worse[start:stop]] = False
        return np.array(kept, np.int64)

    def _pairs(self, block: Int64[ndarray, " m"]) -> _Pairs:
        """Return each box of a block with all worse ones that are left and that it overlaps too much."""
        counts = self._counts[block]
        better = block.repeat(counts)
        before = (counts.cumsum() - counts - self._starts[block]).repeat(counts)
        worse = self._line[np.arange(len(better)) - before]
        apart = np.abs(self._across[worse] - self._across[block].repeat(counts))
        which = (apart <= self._reaches[block].repeat(counts)) & (worse > better) & self._alive[worse]
        better, worse = better[which], worse[which]
        overlaps = self._overlaps(better, worse)
        return _Pairs(better, worse, overlaps).at(overlaps > self._iou)

    def _overlaps(self, first: Int64[ndarray, " m"], second: Int64[ndarray, " m"]) -> Float64[ndarray, " m"]:
        shared = self._shared(first, second, 0) * self._shared(first, second, 1)
        divisor = self._divisor(self._areas[first], self._areas[second], shared)
        return shared / np.maximum(divisor, np.finfo(np.float64).tiny)

    def _shared(self, first: Int64[ndarray, " m"], second: Int64[ndarray, " m"], axis: int) -> Float64[ndarray, " m"]:
        """Return the length along an axis that two boxes share."""
        start, end = self._edges[axis], self._edges[axis + 2]
        return np.maximum(np.minimum(end[first], end[second]) - np.maximum(start[first], start[second]), 0)


_NONE = np.zeros(0, np.int64)
_Areas = NDArray[np.float64]
_DIVISORS: dict[Measure, Callable[[_Areas, _Areas, _Areas], _Areas]] = {
    "union": lambda first, second, shared: first + second - shared,
    "smaller": lambda first, second, shared: np.minimum(first, second),
}


def _longer_first(boxes: Float64[ndarray, "n 4"]) -> Float64[ndarray, "4 n"]:
    """Return the sides left, top, right, bottom; x and y are swapped where the boxes are spread more along y."""
    edges = np.ascontiguousarray(boxes.T)
    if not edges.size:
        return edges
    spread = np.ptp(edges[:2] + edges[2:], axis=1)
    return edges[[1, 0, 3, 2]] if spread[1] > spread[0] else edges


def _places(
    edges: Float64[ndarray, "4 n"], classes: Int[ndarray, " n"], iou: float, measure: Measure
) -> tuple[Float64[ndarray, "2 n"], Float64[ndarray, "2 n"]]:
    """Return each box's place on a line on which classes lie apart, and across it; and how far from it boxes may
    matter.
    """
    if not edges.size:
        return np.zeros((2, 0)), np.zeros((2, 0))
    places, sizes = (edges[:2] + edges[2:]) / 2, edges[2:] - edges[:2]
    reaches = (sizes + sizes.max(axis=1, keepdims=True)) / 2  # farther boxes do not even touch
    if measure == "union" and iou > 0:
        # Along each side, what two boxes share is more than `iou` of what they cover together, so their ends differ by
        # less than 1 - iou of that, their centres by half as much; and together they cover less than size / iou.
        reaches = np.minimum(reaches, (1 - iou) / (2 * iou) * sizes)
    span = np.ptp(places[0]) + 2 * reaches[0].max() + 1
    places[0] += classes * span - places[0].min()
    return places, reaches + 4 * np.spacing(np.abs(places).max())
