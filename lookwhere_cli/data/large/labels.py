"""What windows of large pictures are labelled with: boxes, masks, or classes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy import ndarray

from lookwhere_cli.data.examples import Kind
from lookwhere_cli.data.large.cutting import CutPicture
from lookwhere_cli.data.large.drawn import ClassPolygon, DrawnMask, draw_polygons
from lookwhere_cli.data.large.shapes import DrawnShape
from lookwhere_cli.data.masks import IGNORED
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.large.parts import NamedWindow
from lookwhere_cli.metrics.scores import Outlines, TrueBoxes
from lookwhere_cli.text import counted

KEPT = 0.4
"""The least share of a box that must lie in a window to count as the object there."""
COVERED, TOUCHED = 0.5, 0.1
"""The least share of a window that a class must cover to be its label, and to be one of several."""
_LOOKED_AT = 64
"""Pixels along each side of a window in which areas of classes are measured."""


class WindowLabel(NamedTuple):
    """What is known of a window; see `Example`."""

    labels: tuple[str, ...] = ()
    objects: TrueBoxes | None = None
    mask: DrawnMask | None = None


@dataclass
class LabelledWindows:
    """Windows of a picture, by their numbers. unclear: those that have no label, and are not without one either."""

    positive: dict[int, WindowLabel] = field(default_factory=dict)
    unclear: set[int] = field(default_factory=set)


class Labeller(ABC):
    """Finds the labels of windows. indices: of all classes, by name; of masks, with that of places without a label."""

    kind: Kind
    overlap = 0.0

    def __init__(self, indices: Mapping[str, int], unlabelled: str) -> None:
        self.indices, self.unlabelled = indices, unlabelled

    @abstractmethod
    def label(self, picture: CutPicture, windows: Int64[ndarray, "n 4"]) -> LabelledWindows:
        """Label the windows of a picture. Raises DataError for a shape that can't be a label."""

    @abstractmethod
    def negative(self, picture: CutPicture, window: Sequence[int]) -> WindowLabel:
        """Return what is known of a window without labels."""

    def notes(self) -> list[str]:
        """Say what was done to labels."""
        return []


class BoxLabeller(Labeller):
    """Boxes: the bounds of polygons, clipped to the window. Outlines of those that are no rectangles are kept."""

    kind: Kind = "boxes"
    overlap = 0.2

    def __init__(self, indices: Mapping[str, int], unlabelled: str) -> None:
        super().__init__(indices, unlabelled)
        self._seen, self._kept = set[str](), set[str]()  # places of boxes: regions of a picture are labelled in turn
        self._cut = 0

    def label(self, picture: CutPicture, windows: Int64[ndarray, "n 4"]) -> LabelledWindows:
        """Label the windows in which 40 % of a box or more lies."""
        edges = self._edges(picture)
        areas, found = (edges[:, 2:] - edges[:, :2]).prod(axis=1), LabelledWindows()
        self._seen.update(shape.place for shape in picture.shapes)
        for number, hit in _hits(edges, windows):
            parts = _clipped(edges[hit], windows[number])
            has_enough = (parts[:, 2:] - parts[:, :2]).prod(axis=1) >= KEPT * areas[hit]
            self._kept.update(picture.shapes[index].place for index in hit[has_enough])
            self._cut += int((~has_enough).sum())
            if has_enough.any():
                shapes = [picture.shapes[index] for index in hit[has_enough]]
                found.positive[number] = self._boxes_of(shapes, parts[has_enough], windows[number].tolist())
            else:
                found.unclear.add(number)
        return found

    def negative(self, picture: CutPicture, window: Sequence[int]) -> WindowLabel:
        """Return no boxes."""
        return self._boxes_of([], np.zeros((0, 4)), window)

    def notes(self) -> list[str]:
        """Say how many parts of boxes were left out, and how many boxes are in no window."""
        total, lost_count = counted(len(self._seen), "box", "boxes"), len(self._seen) - len(self._kept)
        cut = f"Of {total}, {counted(self._cut, 'part')} with less than {KEPT:.0%} of a box in a window were left out."
        lost = f"{lost_count:,} of {total} are not in any window by that much; a larger --window shows them."
        return [cut] * bool(self._cut) + [lost] * bool(lost_count)

    def _edges(self, picture: CutPicture) -> Float64[ndarray, "shapes 4"]:
        """Return the bounds of all shapes, clipped to the picture."""
        for shape in picture.shapes:
            if not shape.polygons:
                raise DataError(f"{shape.place} is a point, which has no box; draw boxes, or give --task classify.")
        bounds = np.array([shape.bounds for shape in picture.shapes], np.float64).reshape(-1, 4)
        return _clipped(bounds, np.array([0, 0, picture.size[1], picture.size[0]]))

    def _boxes_of(
        self, shapes: Sequence[DrawnShape], parts: Float64[ndarray, "n 4"], window: Sequence[int]
    ) -> WindowLabel:
        """Return the boxes of shapes in a window. parts: what of them lies in it, in the picture's pixels."""
        left, top, right, bottom = window
        boxes = (parts - np.array([left, top] * 2)).astype(np.float32)
        classes = [0 if shape.is_ignored else self.indices[shape.label] for shape in shapes]
        crowd = [shape.is_ignored for shape in shapes]
        outlines = tuple(None if one.is_rectangle else _outline(one, (left, top)) for one in shapes)
        known = Outlines((bottom - top, right - left), outlines) if any(outlines) else None
        objects = TrueBoxes(boxes, np.array(classes, np.int64), np.array(crowd, np.bool_), known)
        return WindowLabel(tuple(sorted({one.label for one in shapes if not one.is_ignored})), objects)


class MaskLabeller(Labeller):
    """Masks: what polygons cover; where they overlap, the smaller one counts."""

    kind: Kind = "masks"

    def label(self, picture: CutPicture, windows: Int64[ndarray, "n 4"]) -> LabelledWindows:
        """Label the windows in which a polygon covers something."""
        polygons, bounds = _polygons(picture, self.indices)
        found = LabelledWindows()
        for number, hit in _hits(bounds, windows):
            inside, window = tuple(polygons[index] for index in hit), windows[number].tolist()
            seen = _look_at(inside, window, IGNORED)
            if (seen != IGNORED).any():
                found.positive[number] = WindowLabel(mask=self._mask(picture, window, inside))
            else:
                found.unclear.add(number)
        return found

    def negative(self, picture: CutPicture, window: Sequence[int]) -> WindowLabel:
        """Return a mask without polygons."""
        return WindowLabel(mask=self._mask(picture, window, ()))

    def _mask(self, picture: CutPicture, window: Sequence[int], polygons: tuple[ClassPolygon, ...]) -> DrawnMask:
        left, top, right, bottom = window
        width, height = right - left, bottom - top
        name = NamedWindow(str(picture.record.labels), left, top, width, height).name
        return DrawnMask(name, polygons, (left, top), (height, width), self.indices.get(self.unlabelled, IGNORED))


class ClassLabeller(Labeller):
    """One class: of the most points in a window, else that which covers half of it or more."""

    kind: Kind = "single"

    def label(self, picture: CutPicture, windows: Int64[ndarray, "n 4"]) -> LabelledWindows:
        """Label the windows with points, and those that polygons cover."""
        shapes = [shape for shape in picture.shapes if len(shape.points)]
        points = np.concatenate([np.zeros((0, 2)), *(shape.points for shape in shapes)])
        labels = np.array([shape.label for shape in shapes for _ in shape.points])
        ignored = np.array([shape.is_ignored for shape in shapes for _ in shape.points], np.bool_)
        polygons, bounds = _polygons(picture, self.indices)
        touched, found = dict(_hits(bounds, windows)), LabelledWindows()
        for number, window in enumerate(windows):
            inside = ((points >= window[:2]) & (points < window[2:])).all(axis=1)
            names = self._most(labels[inside & ~ignored])
            if not names and number in touched:
                names = self._covering([polygons[index] for index in touched[number]], window.tolist())
            if names:
                found.positive[number] = WindowLabel(names)
            elif number in touched or inside.any():
                found.unclear.add(number)
        return found

    def negative(self, picture: CutPicture, window: Sequence[int]) -> WindowLabel:
        """Return the class of what has no label."""
        return WindowLabel((self.unlabelled,))

    def _most(self, labels: ndarray) -> tuple[str, ...]:
        """Return the most frequent label; of several, the first by name."""
        names, counts = np.unique(labels, return_counts=True)
        return (str(names[counts.argmax()]),) if len(names) else ()

    def _covering(self, polygons: Sequence[ClassPolygon], window: Sequence[int]) -> tuple[str, ...]:
        """Return the class that covers half of a window or more."""
        return self._of_area(polygons, window, COVERED)[:1]

    def _of_area(self, polygons: Sequence[ClassPolygon], window: Sequence[int], least: float) -> tuple[str, ...]:
        """Return the classes that cover `least` of a window or more, those with the largest area first."""
        seen = _look_at(polygons, window, IGNORED)
        shares = np.bincount(seen.ravel(), minlength=IGNORED + 1)[:IGNORED] / seen.size
        enough = [name for name, index in self.indices.items() if shares[index] >= least]
        return tuple(sorted(enough, key=lambda name: -shares[self.indices[name]]))


class ClassesLabeller(ClassLabeller):
    """Any number of classes: of all points in a window, and those that cover a tenth of it or more."""

    kind: Kind = "multi"

    def negative(self, picture: CutPicture, window: Sequence[int]) -> WindowLabel:
        """Return no class."""
        return WindowLabel()

    def _most(self, labels: ndarray) -> tuple[str, ...]:
        return tuple(map(str, np.unique(labels)))

    def _covering(self, polygons: Sequence[ClassPolygon], window: Sequence[int]) -> tuple[str, ...]:
        return self._of_area(polygons, window, TOUCHED)


def _hits(
    bounds: Float64[ndarray, "shapes 4"], windows: Int64[ndarray, "n 4"]
) -> Iterator[tuple[int, Int64[ndarray, " hit"]]]:
    """Yield the number of each window that bounds reach into, with the numbers of these bounds."""
    for number, (left, top, right, bottom) in enumerate(windows.tolist()):
        reach: Bool[ndarray, " shapes"] = (bounds[:, 0] < right) & (bounds[:, 1] < bottom)
        reach &= (bounds[:, 2] > left) & (bounds[:, 3] > top)
        if reach.any():
            yield number, np.flatnonzero(reach)


def _clipped(boxes: Float64[ndarray, "n 4"], limits: ndarray) -> Float64[ndarray, "n 4"]:
    lower, upper = np.tile(limits[:2], 2), np.tile(limits[2:], 2)
    return np.asarray(np.clip(boxes, lower, upper))


def _outline(shape: DrawnShape, corner: tuple[int, int]) -> list[list[float]]:
    """Return the outlines of a shape in a window, as COCO writes them."""
    return [(rings[0] - corner).ravel().tolist() for rings in shape.polygons]


def _polygons(
    picture: CutPicture, indices: Mapping[str, int]
) -> tuple[list[ClassPolygon], Float64[ndarray, "polygons 4"]]:
    """Return the polygons of a picture, the largest first, and their bounds."""
    shapes = sorted((shape for shape in picture.shapes if shape.polygons), key=lambda shape: -shape.area)
    polygons = [
        ClassPolygon(rings, IGNORED if shape.is_ignored else indices[shape.label])
        for shape in shapes
        for rings in shape.polygons
    ]
    bounds = [(*rings[0].min(axis=0), *rings[0].max(axis=0)) for rings, _ in polygons]
    return polygons, np.array(bounds, np.float64).reshape(-1, 4)


def _look_at(polygons: Sequence[ClassPolygon], window: Sequence[int], rest: int) -> ndarray:
    """Draw polygons in a window with few pixels."""
    left, top, right, bottom = window
    return draw_polygons(polygons, (left, top), (bottom - top, right - left), (_LOOKED_AT, _LOOKED_AT), rest)


LABELLERS: dict[Kind, type[Labeller]] = {
    "boxes": BoxLabeller,
    "masks": MaskLabeller,
    "single": ClassLabeller,
    "multi": ClassesLabeller,
}
