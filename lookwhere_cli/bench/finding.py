"""Whether windows of a mosaic find what the photographs that it is made of show: all windows, the best, and tiles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8
from numpy import ndarray

from lookwhere_cli.bench.large_pictures import make_mosaic
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.detections import Detections
from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.heads.detect import DetectHead
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import LargeSource
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.metrics.scores import TrueBoxes, Truth
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.picture import open_windows
from lookwhere_cli.windows.source import WindowSource

FOUND = 0.5
"""The least overlap (IoU) at which a true box is found."""
_SHIFTS = 7
"""Parts of a photograph's width by which it may be shifted."""


class Placed(NamedTuple):
    """A photograph in a mosaic: whether it is mirrored, then by how many pixels it is shifted to the right, around."""

    example: Example
    is_mirrored: bool
    shift: int


@dataclass(frozen=True)
class Mosaic:
    """A raster that is made of photographs of one shape (height, width), row by row."""

    file: Path
    shape: tuple[int, int]
    columns: int
    truths: Sequence[TrueBoxes]

    def box(self, place: int) -> tuple[int, int, int, int]:
        """Return where a photograph lies."""
        (height, width), (row, column) = self.shape, divmod(place, self.columns)
        return column * width, row * height, (column + 1) * width, (row + 1) * height

    def divided(self, found: Detections) -> list[Float32[ndarray, "n 6"]]:
        """Return left, top, right, bottom, score and label of the boxes in each photograph, in its own pixels.

        A box belongs to the photograph in which its middle lies.
        """
        height, width = self.shape
        rows = np.column_stack([found.boxes, found.scores, found.classes]).astype(np.float64)
        middles = (rows[:, :2] + rows[:, 2:4]) / 2
        places = (middles[:, 1] // height * self.columns + middles[:, 0] // width).astype(np.int64)
        corners = np.column_stack([places % self.columns * width, places // self.columns * height] * 2)
        rows[:, :4] -= corners
        return [rows[places == place].astype(np.float32) for place in range(len(self.truths))]


class WayOfReading(NamedTuple):
    """What one way of reading finds.

    ap50: average precision at an overlap of a half, 0..1. found: which true boxes have a right answer of at least the
    model's confidence. macs: multiply-adds. seconds: in all. windows: how many were read.
    """

    ap50: float
    found: Bool[ndarray, " boxes"]
    macs: int
    seconds: float
    windows: int


def placed_photographs(labelled: LabelledSet, count: int) -> tuple[list[Placed], tuple[int, int]]:
    """Return `count` photographs and their shape (height, width): each in turn, then mirrored, then shifted too.

    They are those of the validation split, if there is one. Raises DataError if there are none of one shape.
    """
    examples = labelled.of("val") or labelled.examples
    sizes = [decode_file(one.path, Reading(16, 16)).size for one in examples]
    shape = max(set(sizes), key=sizes.count, default=(0, 0))
    usual = [one for one, size in zip(examples, sizes, strict=True) if size == shape]
    if not usual:
        raise DataError(f"{str(labelled.root)!r} has no photographs to make a mosaic of.")
    placed = []
    for number in range(count):
        turn, example = number // len(usual), usual[number % len(usual)]
        placed.append(Placed(example, bool(turn % 2), _shift(example, shape[1], turn // 2, bool(turn % 2))))
    return placed, shape


def _shift(example: Example, width: int, turn: int, is_mirrored: bool) -> int:
    """Return the shift of a turn, or the next one at which the seam cuts no box."""
    assert example.objects is not None
    lefts, rights = example.objects.boxes[:, 0], example.objects.boxes[:, 2]
    if is_mirrored:
        lefts, rights = width - rights, width - lefts
    for step in range(turn, turn + _SHIFTS if turn else 1):
        shift = width * (step % _SHIFTS) // _SHIFTS
        if not ((lefts < width - shift) & (rights > width - shift)).any():
            return shift
    return 0


def make_finding(labelled: LabelledSet, count: int, columns: int, file: Path) -> Mosaic:
    """Write a mosaic of `count` photographs in rows of `columns`. Raises DataError, UsageError."""
    placed, shape = placed_photographs(labelled, count)
    rows = -(-count // columns)
    make_mosaic(file, map(_pixels, placed), shape, columns, rows)
    return Mosaic(file, shape, columns, [_boxes(one, shape[1]) for one in placed])


def _pixels(placed: Placed) -> UInt8[ndarray, "height width 3"]:
    decoded = decode_file(placed.example.path, Reading(1, 1 << 14, "stretch")).pixels
    pixels = decoded[:, ::-1] if placed.is_mirrored else decoded
    return np.roll(pixels, placed.shift, axis=1)


def _boxes(placed: Placed, width: int) -> TrueBoxes:
    objects = placed.example.objects
    assert objects is not None
    boxes = objects.boxes.copy()
    if placed.is_mirrored:
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    boxes[:, [0, 2]] += placed.shift
    boxes[boxes[:, 0] >= width] -= (width, 0, width, 0)  # no box lies across the seam
    return objects._replace(boxes=boxes, outlines=None)


@dataclass(frozen=True)
class Finder:
    """A detection model on a mosaic. predictor: as users have it. classes: the model's label of each of the data's."""

    predictor: Predictor
    mosaic: Mosaic
    classes: Int64[ndarray, " classes"]

    @cached_property
    def scoring(self) -> Predictor:
        """The predictor that also returns boxes of low scores, as averages of precision need them."""
        pipeline = self.predictor.pipeline
        return Predictor(replace(pipeline, head=head_of(pipeline).for_scoring()))

    @cached_property
    def truths(self) -> list[Truth]:
        """What each photograph shows, in the model's labels."""
        objects = [one._replace(classes=self.classes[one.classes]) for one in self.mosaic.truths]
        return [Truth((), lambda: np.zeros((0, 0), np.int64), one) for one in objects]

    def one_by_one(self) -> WayOfReading:
        """Answer the photographs one by one."""
        started = time.perf_counter()
        with closing(_opened(self.mosaic.file)) as source:
            pictures = (WindowSource(source, self.mosaic.box(place)) for place in range(len(self.truths)))
            answers = list(self.scoring.answers(pictures))
        seconds = time.perf_counter() - started
        macs = sum(answer.row.macs for answer in answers)
        return self.way(self._joined([answer.result.detections for answer in answers]), macs, seconds, len(answers))

    def in_windows(self, options: WindowOptions, everything: list[WindowFound] | None = None) -> WayOfReading:
        """Answer the mosaic in windows. everything: gets what each window found, with its number."""
        started = time.perf_counter()
        with open_windows(self.scoring, str(self.mosaic.file), options) as reading:
            for answered in reading.answers():
                if everything is not None:
                    everything.append(WindowFound(answered.window.number, answered.answer.result.detections))
            whole = reading.whole()
            count = reading.plan.counts.read
        return self.way(whole.result.detections, whole.row.macs, time.perf_counter() - started, count)

    def _joined(self, found: Sequence[Detections]) -> Detections:
        """Return the boxes of all photographs in the mosaic's pixels."""
        boxes = [one.boxes + np.array(self.mosaic.box(place)[:2] * 2, np.float32) for place, one in enumerate(found)]
        scores, classes = (np.concatenate([getattr(one, name) for one in found]) for name in ("scores", "classes"))
        return Detections.best_first(np.concatenate(boxes), scores, classes, found[0].labels)

    def way(self, found: Detections, macs: int, seconds: float, windows: int) -> WayOfReading:
        """Score what was found in the mosaic."""
        scorer = head_of(self.predictor.pipeline).scorer(self.classes)
        scorer.add(self.mosaic.divided(found), self.truths)
        return WayOfReading(float(scorer.scores().metrics["ap50"].value), self.found(found), macs, seconds, windows)

    def found(self, found: Detections) -> Bool[ndarray, " boxes"]:
        """Return which true boxes, of all photographs in turn, have a right answer of at least the confidence.

        The best answer comes first, and each takes the box of its label that it overlaps most and that is free.
        """
        boxes, classes = self._true_boxes
        matched = np.zeros(len(boxes), np.bool_)
        confident = found.scores >= head_of(self.predictor.pipeline).conf
        for box, label in zip(found.boxes[confident], found.classes[confident].tolist(), strict=True):
            overlaps = np.where(matched | (classes != label), 0, _overlaps(box, boxes))
            if overlaps.max(initial=0) >= FOUND:
                matched[overlaps.argmax()] = True
        return matched

    @cached_property
    def _true_boxes(self) -> tuple[Float32[ndarray, "boxes 4"], Int64[ndarray, " boxes"]]:
        """The boxes of all photographs that count, in the mosaic's pixels, and the model's labels of them."""
        boxes, classes = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
        for place, truth in enumerate(self.truths):
            assert truth.objects is not None
            counts = ~truth.objects.crowd
            left, top, _, _ = self.mosaic.box(place)
            boxes.append(truth.objects.boxes[counts] + np.array([left, top] * 2, np.float32))
            classes.append(truth.objects.classes[counts])
        return np.concatenate(boxes), np.concatenate(classes)

    def best_choice(self, everything: Sequence[WindowFound], count: int) -> float:
        """Return the share of what all windows find that `count` of them can find, if they are known.

        They are taken one after the other, each time the one that adds most.
        """
        sets = np.array([self.found(one.found) for one in everything])
        sets = sets[sets.any(axis=1)]
        total = int(sets.any(axis=0).sum())
        left = np.ones(sets.shape[1], np.bool_)
        for _ in range(min(count, len(sets))):
            left &= ~sets[int((sets & left).sum(axis=1).argmax())]
        return float((sets.any(axis=0) & ~left).sum() / max(1, total))


class WindowFound(NamedTuple):
    """What one window found, in the mosaic's pixels."""

    number: int
    found: Detections


def _opened(file: Path) -> LargeSource:
    source = open_large(str(file), Reading(patch=1, size=1))
    assert source is not None  # a mosaic is georeferenced
    return source


def finder(predictor: Predictor, mosaic: Mosaic, classes: Sequence[str]) -> Finder:
    """Return the finder of a model. Raises ModelError for one that finds no boxes, DataError for other classes."""
    head = head_of(predictor.pipeline)
    return Finder(predictor, mosaic, match_classes(classes, head.config.labels))


def head_of(pipeline: Pipeline) -> DetectHead:
    """Return the head of a model that finds boxes. Raises ModelError for any other model."""
    head = pipeline.head
    if not isinstance(head, DetectHead):
        raise ModelError(f"The model {pipeline.info.name!r} {head.verb}, but the mosaic needs one that finds boxes.")
    return head


def _overlaps(box: Float32[ndarray, " 4"], boxes: Float32[ndarray, "n 4"]) -> Float32[ndarray, " n"]:
    corners = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (corners[1] - corners[0]).clip(min=0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(shared / (areas - shared))
