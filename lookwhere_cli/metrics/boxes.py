"""Scores of models that find boxes: COCO's average precisions and recall, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from jaxtyping import Float, Float32, Int, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.extras import require
from lookwhere_cli.metrics.intervals import Score, draw_resamples, percentile_interval
from lookwhere_cli.metrics.matches import (
    OVERLAPS,
    SIZES,
    CocoEvaluation,
    PictureObjects,
    resampled_precisions,
)
from lookwhere_cli.metrics.scores import FoundInstances, Scores, TrueBoxes, Truth, mean_defined
from lookwhere_cli.output.masks.run_lengths import RunLengths, encode_box, encode_outline

CONFIDENT = 0.25
"""The least score of a box that counts as an answer, where precision and recall are not weighed against each other."""
STEPS = 500
"""Steps of scores in a curve that is summed over pictures."""
_PLACES = {"ap": slice(1, None), "ap50": slice(1, 2), "ap75": slice(6, 7), "ap33": slice(0, 1)}
"""The overlaps that each metric averages over."""
_HALF = 1
"""The place of 0.5 among the overlaps."""


class HasBoxes(Protocol):
    """Boxes of one picture, best first."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    classes: Int64[ndarray, " n"]


class HasDetections(Protocol):
    """A result with the boxes that were found."""

    @property
    def detections(self) -> HasBoxes:
        """Boxes in pixels of the whole picture."""
        ...


class BoxesScorer:
    """AP (the mean over IoU 0.5 to 0.95), AP50, AP75, AP33, AP by size, AR, and each class's AP50.

    pycocotools matches the boxes and computes the averages; intervals resample pictures. Boxes of labels that the data
    do not have are not scored. Sizes of which the data have no object are left out.
    """

    def __init__(self, classes: Int[ndarray, " classes"], labels: int) -> None:
        """classes: the model's label for each of the data's classes. labels: how many the model has.

        Raises UsageError if pycocotools is missing.
        """
        require("pycocotools.cocoeval", "detect", "Scores of boxes")
        self._classes, self._labels = classes, labels
        self._truths: list[PictureObjects] = []
        self._found: list[PictureObjects] = []

    def add(self, measured: Sequence[Float32[ndarray, "boxes 6"]], truths: Sequence[Truth]) -> None:
        """Add pictures. measured: left, top, right, bottom, score and label of all boxes, also of low scores."""
        for boxes, truth in zip(measured, truths, strict=True):
            assert truth.objects is not None
            self._truths.append(as_objects(truth.objects))
            self._found.append(_found_objects(boxes[:, :4], boxes[:, 5].astype(np.int64), boxes[:, 4]))

    def scores(self) -> Scores:
        """Score all pictures that were added."""
        pairs = zip(self._truths, self._found, strict=True)
        confusion = np.sum([confuse(*pair, self._labels) for pair in pairs], axis=0)
        return replace(score_objects(self._truths, self._found, self._classes.tolist()), confusion=confusion)


class InstancesScorer(BoxesScorer):
    """Scores of boxes, and AP, AP50 and AP75 of masks: "mask_ap", "mask_ap50", "mask_ap75".

    An object whose outline is not known counts as filling its box. Data without outlines have no scores of masks, and
    neither have answers without masks.
    """

    def __init__(self, classes: Int[ndarray, " classes"], labels: int) -> None:
        """Take the same arguments as `BoxesScorer`."""
        super().__init__(classes, labels)
        self._masks: list[tuple[list[RunLengths], list[RunLengths]]] = []
        self._has_outlines = False

    def add(self, measured: Sequence[Float32[ndarray, "boxes 6"] | FoundInstances], truths: Sequence[Truth]) -> None:
        """Add pictures, with masks or without."""
        for found, truth in zip(measured, truths, strict=True):
            if isinstance(found, FoundInstances):
                self.add_instances([found.boxes], [found.masks], [truth], [found.size])
            else:
                super().add([found], [truth])

    def add_instances(
        self,
        boxes: Sequence[Float32[ndarray, "boxes 6"]],
        masks: Sequence[Sequence[RunLengths]],
        truths: Sequence[Truth],
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        """Add pictures. boxes: as for `add`. masks: of each box. sizes: height and width of each picture."""
        super().add(boxes, truths)
        for found, truth, size in zip(masks, truths, sizes, strict=True):
            assert truth.objects is not None
            self._has_outlines |= truth.objects.outlines is not None
            self._masks.append((true_masks(truth.objects, size), list(found)))

    def scores(self) -> Scores:
        """Score all pictures that were added."""
        scores = super().scores()
        if not self._has_outlines or len(self._masks) < len(self._truths):
            return scores
        truths = [one._replace(masks=true) for one, (true, _) in zip(self._truths, self._masks, strict=True)]
        found = [one._replace(masks=masks) for one, (_, masks) in zip(self._found, self._masks, strict=True)]
        by_masks = score_objects(truths, found, self._classes.tolist()).metrics
        first: dict[str, Score] = {}
        for name in (
            "ap",
            "ap50",
            "ap75",
        ):  # tables show the first scores that they have room for
            first |= {name: scores.metrics[name], f"mask_{name}": by_masks[name]}
        return replace(scores, metrics=first | scores.metrics)


def true_masks(objects: TrueBoxes, size: tuple[int, int]) -> list[RunLengths]:
    """Return the run lengths of true objects; one without an outline fills its box. size: height and width."""
    shapes = (None,) * len(objects.boxes) if objects.outlines is None else objects.outlines.shapes
    return [
        encode_box(box, size) if shape is None else encode_outline(shape, size)
        for box, shape in zip(objects.boxes.tolist(), shapes, strict=True)
    ]


def score_objects(truths: Sequence[PictureObjects], found: Sequence[PictureObjects], classes: Sequence[int]) -> Scores:
    """Score the objects that were found in pictures, by their boxes or, where there are masks, by these.

    classes: the labels that the data have, in the order of `per_class`.
    """
    evaluation = CocoEvaluation(truths, found, classes)
    precisions, recalls = evaluation.average_precisions()
    draws = draw_resamples(len(truths))
    metrics: dict[str, Score] = {}
    for place, size in enumerate(SIZES):
        if np.isnan(recalls[..., place]).all() and size != "all":
            continue
        resampled = [resampled_precisions(evaluation.matches(label, size), draws) for label in classes]
        drawn, drawn_recalls = (np.stack(part, axis=2) for part in zip(*resampled, strict=True))
        names = {f"ap_{size}": _PLACES["ap"]} if size != "all" else _PLACES
        for name, overlaps in names.items():
            metrics[name] = _mean(precisions[overlaps, :, place], drawn[:, overlaps])
        if size == "all":
            recall = _mean(recalls[_PLACES["ap"], :, place], drawn_recalls[:, _PLACES["ap"]])
    support = [sum(int(((one.classes == label) & ~one.crowd).sum()) for one in truths) for label in classes]
    return Scores(metrics | {"ar": recall}, "ap50", precisions[_HALF, :, 0], np.array(support, np.int64))


def _mean(values: Float[ndarray, "overlaps classes"], resampled: Float[ndarray, "resamples overlaps classes"]) -> Score:
    """Average over overlaps and over the classes that have objects."""
    value = float(mean_defined(values.ravel()))
    return percentile_interval(value, mean_defined(resampled.reshape(len(resampled), -1)))


def as_objects(truth: TrueBoxes) -> PictureObjects:
    """Return true objects for `CocoEvaluation`."""
    return PictureObjects(truth.boxes, truth.classes, np.zeros(len(truth.boxes)), truth.crowd)


def _found_objects(
    boxes: Float32[ndarray, "n 4"], classes: Int64[ndarray, " n"], scores: Float32[ndarray, " n"]
) -> PictureObjects:
    return PictureObjects(boxes, classes, scores.astype(np.float64), np.zeros(len(boxes), np.bool_))


def confuse(truth: PictureObjects, found: PictureObjects, labels: int) -> Int[ndarray, "labels+1 labels+1"]:
    """Count the objects of a picture by [truth, answer]; the last row and column stand for nothing.

    Boxes with a score of at least CONFIDENT, best first, each take the true box of any label that they overlap most,
    if that is by at least a half and it is still free; of equal overlaps one of the same label. Crowds, and what lies
    in them, are left out.
    """
    counts = np.zeros((labels + 1, labels + 1), np.int64)
    order = np.argsort(-found.scores, kind="stable")
    order = order[found.scores[order] >= CONFIDENT]
    overlaps = _overlaps(found.boxes[order], truth)
    is_free = ~truth.crowd
    for label, row in zip(found.classes[order].tolist(), overlaps, strict=True):
        best = np.where(is_free, row + 1e-9 * (truth.classes == label), 0)
        if best.size and best.max() >= OVERLAPS[_HALF]:
            counts[truth.classes[best.argmax()], label] += 1
            is_free[best.argmax()] = False
        elif not (row[truth.crowd] >= OVERLAPS[_HALF]).any():
            counts[labels, label] += 1
    np.add.at(counts, (truth.classes[is_free], labels), 1)
    return counts


def _overlaps(boxes: Float32[ndarray, "found 4"], truth: PictureObjects) -> Float[ndarray, "found true"]:
    """Return the IoU of each pair; with a crowd, the share of the found box that lies in it."""
    if not len(boxes) or not len(truth.boxes):
        return np.zeros((len(boxes), len(truth.boxes)))
    mask = require("pycocotools.mask", "detect", "Scores of boxes")
    crowd = truth.crowd.astype(np.uint8).tolist()
    found, true = (np.concatenate((one[:, :2], one[:, 2:] - one[:, :2]), axis=1) for one in (boxes, truth.boxes))
    overlaps: NDArray[np.float64] = mask.iou(found.astype(np.float64), true.astype(np.float64), crowd)
    return overlaps


class PairedBoxes:
    """AP50, from curves of right and wrong boxes in 500 steps of the score.

    Boxes in one step count together, so the value may differ from COCO's in the third decimal.
    """

    name = "ap50"

    def __init__(self, classes: Int[ndarray, " classes"]) -> None:
        """classes: the model's label for each of the data's classes. Raises UsageError if pycocotools is missing."""
        require("pycocotools.cocoeval", "detect", "Scores of boxes")
        self._classes: list[int] = classes.tolist()

    def counts(self, result: HasDetections, truth: Truth) -> Float[ndarray, " counts"]:
        """Return, for each class, its right and its wrong boxes by step, the highest first, and its true boxes."""
        assert truth.objects is not None
        found = result.detections
        objects = _found_objects(found.boxes, found.classes, found.scores)
        evaluation = CocoEvaluation([as_objects(truth.objects)], [objects], self._classes, OVERLAPS[1:2], ("all",))
        counts = np.zeros((len(self._classes), 2 * STEPS + 1))
        for row, label in zip(counts, self._classes, strict=True):
            matches = evaluation.matches(label)
            steps = np.clip(((1 - matches.scores) * STEPS).astype(np.int64), 0, STEPS - 1)
            row[:STEPS] = np.bincount(steps[matches.is_true[0]], minlength=STEPS)
            row[STEPS:-1] = np.bincount(steps[matches.is_false[0]], minlength=STEPS)
            row[-1] = matches.positives.sum()
        return counts.ravel()

    def correct_share(self, counts: Float[ndarray, " counts"]) -> float:
        """Return F1 of one picture's boxes with a score of at least 0.25; 1 if there is nothing to find or found."""
        right, wrong, positives = self._split(counts)
        confident = int((1 - CONFIDENT) * STEPS)
        hits, misses = right[..., :confident].sum(), wrong[..., :confident].sum()
        total = hits + misses + positives.sum()
        return float(2 * hits / total) if total else 1.0

    def value(self, counts: Float[ndarray, "*rows counts"], pictures: int) -> Float[ndarray, "*rows"]:
        """Compute the mean over the classes that have objects."""
        right, wrong, positives = self._split(counts)
        true, false = np.cumsum(right, axis=-1), np.cumsum(wrong, axis=-1)
        precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
        highest = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
        reached = np.floor(100 * true / np.maximum(positives, 1)[..., None] + 1e-9) + (true > 0)
        precisions = (highest * np.diff(reached, axis=-1, prepend=0)).sum(axis=-1) / 101
        return mean_defined(np.where(positives > 0, precisions, np.nan))

    def score(self, counts: Float[ndarray, "pictures counts"]) -> Score:
        """Compute the mean over all pictures, with an interval that resamples them."""
        resampled = draw_resamples(len(counts)) @ counts
        value = float(self.value(counts.sum(axis=0), len(counts)))
        return percentile_interval(value, self.value(resampled, len(counts)))

    def _split(
        self, counts: Float[ndarray, "*rows counts"]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return right and wrong boxes (rows, classes, steps) and true boxes (rows, classes)."""
        tables = counts.reshape(*counts.shape[:-1], len(self._classes), 2 * STEPS + 1)
        return tables[..., :STEPS], tables[..., STEPS:-1], tables[..., -1]
