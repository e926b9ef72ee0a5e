"""One box for each thing that several windows of a picture show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.detections import Detections
from lookwhere_cli.images.frame import Box


class Place(NamedTuple):
    """A window that was answered: its box in full-resolution pixels, the share of it that holds something.

    margin: pixels from the window's edge within which a thing may be cut by it.
    """

    box: Box
    content: float
    margin: float


def merge_windows(
    found: Sequence[Detections], places: Sequence[Place], size: tuple[int, int], iou: float
) -> Detections:
    """Merge the boxes of windows at `places`; return those of the whole picture, best first.

    Only boxes of one class and of different windows are merged; within a window, the head has done so. Two whole boxes
    are one thing if they overlap by more than `iou` of their union: the better one is kept. A box at the edge of its
    window may be a piece of a thing that the edge cuts. It belongs to another box if, of what both windows show, they
    overlap by more than `iou` of the smaller one. A piece that is kept becomes the best whole box that belongs to it
    or, if all are pieces, the box around them.

    found: at least one, in full-resolution pixels of the picture. size: (height, width) of the picture.
    """
    boxes = np.concatenate([one.boxes for one in found]).astype(np.float64)
    scores = np.concatenate([one.scores for one in found])
    classes = np.concatenate([one.classes for one in found])
    cut = np.concatenate([_is_cut(one.boxes, place, size) for one, place in zip(found, places, strict=True)])
    order = np.argsort(-scores, kind="stable")
    windows = np.array([place.box for place in places], np.float64).repeat([len(one) for one in found], axis=0)
    search = _Search(boxes[order], windows[order], classes[order], cut[order], iou)
    places_kept = [place for place in range(len(order)) if search.keep(place)]
    kept = order[places_kept]
    merged = search.boxes[places_kept].reshape(-1, 4).astype(np.float32)
    return Detections(merged, scores[kept], classes[kept], found[0].labels)


def _is_cut(boxes: Float[ndarray, "n 4"], place: Place, size: tuple[int, int]) -> Bool[ndarray, " n"]:
    """Return which boxes reach an edge of their window that lies within the picture."""
    left, top, right, bottom = place.box
    inner = np.array([left > 0, top > 0, right < size[1], bottom < size[0]])
    distances = np.abs(boxes - np.array(place.box))
    near: NDArray[np.bool_] = ((distances <= place.margin) & inner).any(axis=1)
    return near


class _Search:
    """Keeps boxes, which are sorted best first, and drops those that are the same thing.

    They are grouped by the square, as large as the largest of them, in which their left top corner lies, so that the
    neighbours of a box are few.
    """

    def __init__(
        self,
        boxes: Float64[ndarray, "n 4"],
        windows: Float64[ndarray, "n 4"],
        classes: Int64[ndarray, " n"],
        cut: Bool[ndarray, " n"],
        iou: float,
    ) -> None:
        self.boxes, self._original = boxes.copy(), boxes
        self._windows, self._classes, self._cut, self._iou = windows.copy(), classes, cut.copy(), iou
        self._alive = np.ones(len(boxes), np.bool_)
        self._side = max(1.0, float((boxes[:, 2:] - boxes[:, :2]).max(initial=0.0)))
        self._squares: dict[tuple[int, int], NDArray[np.int64]] = _grouped(
            np.floor(boxes[:, :2] / self._side).astype(np.int64)
        )

    def keep(self, index: int) -> bool:
        """Keep a box, unless it was dropped, and drop what is the same thing; a piece takes in what it drops."""
        if not self._alive[index]:
            return False
        self._alive[index] = False
        while len(same := self._same(index)):
            self._alive[same] = False
            if not self._cut[index]:
                break
            self._complete(index, same)
        return True

    def _complete(self, index: int, same: NDArray[np.int64]) -> None:
        """Turn a piece into the best whole box of those that belong to it, or into the box around all pieces."""
        whole = same[~self._cut[same]]
        if len(whole):
            self.boxes[index], self._cut[index] = self._original[whole.min()], False
            return
        members = np.append(same, index)
        self.boxes[index] = _around(self.boxes[members])
        self._windows[index] = _around(self._windows[members])

    def _same(self, index: int) -> NDArray[np.int64]:
        """Return the boxes that are left and show the same thing."""
        near = self._near(index)
        near = near[self._alive[near] & (self._classes[near] == self._classes[index])]
        near = near[(self._windows[near] != self._windows[index]).any(axis=1)]
        is_piece = (self._cut[near] | self._cut[index])[:, None]
        own = np.broadcast_to(self.boxes[index], (len(near), 4))
        own = np.where(is_piece, _common(own, self._windows[near]), own)
        others = np.where(is_piece, _common(self._original[near], self._windows[index]), self._original[near])
        shared, areas, other_areas = _areas(_common(own, others)), _areas(own), _areas(others)
        divisors = np.where(is_piece[:, 0], np.minimum(areas, other_areas), areas + other_areas - shared)
        same: NDArray[np.int64] = near[shared > self._iou * np.maximum(divisors, np.finfo(np.float64).tiny)]
        return same

    def _near(self, index: int) -> NDArray[np.int64]:
        """Return all boxes whose corner lies in a square that a neighbour's corner may lie in."""
        left, top, right, bottom = np.floor(self.boxes[index] / self._side).astype(int).tolist()
        places = [(x, y) for x in range(left - 1, right + 1) for y in range(top - 1, bottom + 1)]
        found = [self._squares[place] for place in places if place in self._squares]
        return np.concatenate(found) if found else np.zeros(0, np.int64)


def _grouped(squares: Int64[ndarray, "n 2"]) -> dict[tuple[int, int], NDArray[np.int64]]:
    """Return the indices of the boxes in each square."""
    order = np.lexsort((squares[:, 1], squares[:, 0]))
    starts = np.flatnonzero(np.append(True, (np.diff(squares[order], axis=0) != 0).any(axis=1)))
    groups = np.split(order, starts[1:]) if len(order) else []
    return {(int(squares[group[0], 0]), int(squares[group[0], 1])): np.sort(group) for group in groups}


def _common(boxes: Float64[ndarray, "n 4"], others: Float64[ndarray, "*n 4"]) -> Float64[ndarray, "n 4"]:
    """Return what boxes have in common with others; it has negative sides where they have nothing."""
    corner, end = np.maximum(boxes[:, :2], others[..., :2]), np.minimum(boxes[:, 2:], others[..., 2:])
    return np.concatenate((corner, end), axis=1)


def _around(boxes: Float64[ndarray, "n 4"]) -> Float64[ndarray, " 4"]:
    return np.concatenate((boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)))


def _areas(boxes: Float64[ndarray, "n 4"]) -> Float64[ndarray, " n"]:
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
