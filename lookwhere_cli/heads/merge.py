"""One box for each thing: overlapping boxes of a class are merged, in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.detections import Detections

IOU, LIMIT = 0.5, 300
Measure = Literal["union", "smaller"]
"""What the area that two boxes share is divided by: the area of their union, or that of the smaller box."""
Join = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""Makes one box (4,) of several (m, 4) with their scores (m,); the first is the best."""


class Merged(NamedTuple):
    """The boxes that are kept, best first.

    indices: of the kept boxes among the candidates. boxes: the kept boxes, left, top, right, bottom. is_cut: True if
    more boxes than the limit were left.
    """

    indices: Int64[ndarray, " kept"]
    boxes: Float32[ndarray, "kept 4"]
    is_cut: bool


def mean_box(boxes: Float64[ndarray, "m 4"], scores: Float64[ndarray, " m"]) -> Float64[ndarray, " 4"]:
    """Return the mean of boxes, weighted by score."""
    weights = np.maximum(scores, np.finfo(np.float64).tiny)
    return weights @ boxes / weights.sum()


def hull_box(boxes: Float64[ndarray, "m 4"], scores: Float64[ndarray, " m"]) -> Float64[ndarray, " 4"]:
    """Return the smallest box around all boxes."""
    return np.concatenate((boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))


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
        join: how a kept box and those like it become one box.
        join_iou: 0..1; 0 for all boxes that the kept one dropped.
    """
    exact, weights = boxes.astype(np.float64), scores.astype(np.float64)
    search = _Search(exact, classes, iou, measure)
    indices: list[int] = []
    joined: list[NDArray[np.float64]] = []
    is_cut = False
    for index in np.argsort(-weights, kind="stable").tolist():
        if not search.is_alive(index):
            continue
        if is_cut := len(indices) == limit:
            break
        dropped, overlaps = search.drop_around(index)
        alike = dropped[overlaps > join_iou]
        members = np.append(index, alike) if alike.size else [index]
        joined.append(join(exact[members], weights[members]) if alike.size else exact[index])
        indices.append(index)
    kept = np.array(joined, dtype=np.float32).reshape(-1, 4)
    return Merged(np.array(indices, dtype=np.int64), kept, is_cut)


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


class _Search:
    """Finds the boxes of the same class around a box, without a look at all others.

    The boxes are sorted by class and, within a class, by their centre along the longer side of the picture. What may
    overlap a box enough is then a short slice.
    """

    def __init__(
        self, boxes: Float64[ndarray, "n 4"], classes: Int[ndarray, " n"], iou: float, measure: Measure
    ) -> None:
        places, reaches = _places(boxes, classes, iou, measure)
        self._order = np.argsort(places, kind="stable")
        places, reaches = places[self._order], reaches[self._order]
        self._starts = np.searchsorted(places, places - reaches, side="left").tolist()
        self._stops = np.searchsorted(places, places + reaches, side="right").tolist()
        self._at = np.empty_like(self._order)
        self._at[self._order] = np.arange(len(boxes))
        self._edges = np.ascontiguousarray(boxes[self._order].T)
        self._areas = (self._edges[2] - self._edges[0]) * (self._edges[3] - self._edges[1])
        self._alive = np.ones(len(boxes), np.bool_)
        self._iou, self._divisor = iou, _DIVISORS[measure]

    def is_alive(self, index: int) -> bool:
        """Return True for a box that was neither dropped nor kept."""
        return bool(self._alive[self._at[index]])

    def drop_around(self, index: int) -> tuple[Int64[ndarray, " m"], Float64[ndarray, " m"]]:
        """Drop all boxes that a box, which is kept, overlaps too much; return their indices and overlaps."""
        at = self._at[index]
        near = slice(self._starts[at], self._stops[at])
        self._alive[at] = False
        overlaps = self._overlaps(at, near)
        dropped = (overlaps > self._iou) & self._alive[near]
        self._alive[near] &= ~dropped
        return self._order[near][dropped], overlaps[dropped]

    def _overlaps(self, at: int, near: slice) -> Float64[ndarray, " near"]:
        left, top, right, bottom = self._edges[:, near]
        own = self._edges[:, at]
        width = np.minimum(right, own[2]) - np.maximum(left, own[0])
        height = np.minimum(bottom, own[3]) - np.maximum(top, own[1])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        divisor = self._divisor(self._areas[near], self._areas[at], shared)
        return shared / np.maximum(divisor, np.finfo(np.float64).tiny)


_Areas = NDArray[np.float64]
_DIVISORS: dict[Measure, Callable[[_Areas, _Areas, _Areas], _Areas]] = {
    "union": lambda first, second, shared: first + second - shared,
    "smaller": lambda first, second, shared: np.minimum(first, second),
}


def _places(
    boxes: Float64[ndarray, "n 4"], classes: Int[ndarray, " n"], iou: float, measure: Measure
) -> tuple[Float64[ndarray, " n"], Float64[ndarray, " n"]]:
    """Return each box's place on a line on which classes lie apart, and how far from it boxes may matter."""
    if not len(boxes):
        return np.zeros(0), np.zeros(0)
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    axis = int(np.argmax(np.ptp(centres, axis=0)))
    centre, size = centres[:, axis], sizes[:, axis]
    reaches = (size + size.max()) / 2  # farther boxes do not even touch
    if measure == "union" and iou > 0:
        # Along each side, what two boxes share is more than `iou` of what they cover together, so their ends differ by
        # less than 1 - iou of that, their centres by half as much; and together they cover less than size / iou.
        reaches = np.minimum(reaches, (1 - iou) / (2 * iou) * size)
    span = np.ptp(centre) + 2 * reaches.max() + 1
    places = classes * span + (centre - centre.min())
    return places, reaches + 4 * np.spacing(np.abs(places).max())
