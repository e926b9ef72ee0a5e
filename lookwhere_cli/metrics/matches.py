"""Which found objects are right, at several overlaps: pycocotools decides. And average precisions in resamples."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.extras import require
from lookwhere_cli.output.masks.run_lengths import RunLengths, area_of

OVERLAPS: tuple[float, ...] = (0.33, *np.linspace(0.5, 0.95, 10).tolist())
"""The least overlaps (IoU) that count as found: a loose one, then COCO's ten."""
SIZES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""Least and largest area of objects, in pixels, as COCO divides them."""
MOST = 100
"""Found objects of a class that count in a picture, as in COCO."""
RECALLS = np.linspace(0, 1, 101)
_CHUNK = 1 << 24  # numbers that are held in memory at once


class PictureObjects(NamedTuple):
    """Objects in one picture: true ones or found ones.

    boxes: left, top, right, bottom. classes: labels. scores: 0..1; of true objects, 0. crowd: True for a true box
    around several objects, which is not counted, and neither is what is found in it. masks: run lengths of
    each, of the size of the picture; None where only boxes are compared.
    """

    boxes: Float32[ndarray, "n 4"]
    classes: Int64[ndarray, " n"]
    scores: Float[ndarray, " n"]
    crowd: Bool[ndarray, " n"]
    masks: Sequence[RunLengths] | None = None


@dataclass(frozen=True)
class Matches:
    """The found objects of a class and of a range of sizes, highest score first.

    scores: (n,). pictures: the index of each one's picture. is_true, is_false: (overlaps, n), whether it is an object,
    or none; neither, if it does not count (in a crowd, or of another size). positives: the true objects of each
    picture.
    """

    scores: Float[ndarray, " n"]
    pictures: Int64[ndarray, " n"]
    is_true: Bool[ndarray, "overlaps n"]
    is_false: Bool[ndarray, "overlaps n"]
    positives: Int64[ndarray, " pictures"]


class CocoEvaluation:
    """Found objects compared with true ones by pycocotools, for some classes."""

    def __init__(
        self,
        truths: Sequence[PictureObjects],
        found: Sequence[PictureObjects],
        classes: Sequence[int],
        overlaps: Sequence[float] = OVERLAPS,
        sizes: Sequence[str] = tuple(SIZES),
    ) -> None:
        """Compare masks if true objects have them, else boxes. Raises UsageError without pycocotools.

        truths, found: by picture; classes: the labels that count.
        """
        evaluation = require("pycocotools.cocoeval", "detect", "Scores of boxes")
        has_masks = any(picture.masks is not None for picture in truths)
        self._classes, self._pictures, self._sizes = list(classes), len(truths), list(sizes)
        with redirect_stdout(io.StringIO()):  # it reports its progress there, where results go
            true_set, found_set = _coco(truths, len(truths), classes), _coco(found, len(truths), classes)
            self._evaluation = evaluation.COCOeval(true_set, found_set, "segm" if has_masks else "bbox")
            parameters = self._evaluation.params
            parameters.imgIds = list(range(1, self._pictures + 1))
            parameters.catIds = [label + 1 for label in self._classes]
            parameters.iouThrs, parameters.maxDets = np.array(overlaps), [MOST]
            parameters.areaRng, parameters.areaRngLbl = [list(SIZES[size]) for size in sizes], list(sizes)
            self._evaluation.evaluate()

    def average_precisions(
        self,
    ) -> tuple[Float[ndarray, "overlaps classes sizes"], Float[ndarray, "overlaps classes sizes"]]:
        """Return average precisions and recalls, 0..1; NaN for classes without a true object of the size."""
        with redirect_stdout(io.StringIO()):
            self._evaluation.accumulate()
        precision, recall = self._evaluation.eval["precision"][..., 0], self._evaluation.eval["recall"][..., 0]
        absent = recall < 0
        return np.where(absent, np.nan, precision.mean(axis=1)), np.where(absent, np.nan, recall)

    def matches(self, label: int, size: str = "all") -> Matches:
        """Return how the found objects of a class and a range of sizes match."""
        place = self._classes.index(label) * len(self._sizes) + self._sizes.index(size)
        pictures = self._evaluation.evalImgs[place * self._pictures : (place + 1) * self._pictures]
        return _joined(pictures, len(self._evaluation.params.iouThrs))


def _joined(pictures: Sequence[dict[str, Any] | None], overlaps: int) -> Matches:
    """Join pycocotools' results of the pictures, in its order of scores."""
    positives = [0 if one is None else int((one["gtIgnore"] == 0).sum()) for one in pictures]
    scores = np.concatenate([[], *(one["dtScores"] for one in pictures if one is not None)])
    owners = [np.full(len(one["dtScores"]), index) for index, one in enumerate(pictures) if one is not None]
    nothing = np.zeros((overlaps, 0))
    matched = np.concatenate([nothing, *(one["dtMatches"] for one in pictures if one is not None)], axis=1) > 0
    ignored = np.concatenate([nothing, *(one["dtIgnore"] for one in pictures if one is not None)], axis=1) > 0
    order = np.argsort(-scores, kind="mergesort")
    return Matches(
        scores[order],
        np.concatenate([np.zeros(0, np.int64), *owners])[order].astype(np.int64),
        (matched & ~ignored)[:, order],
        (~matched & ~ignored)[:, order],
        np.array(positives, np.int64),
    )


def _coco(pictures: Sequence[PictureObjects], count: int, classes: Sequence[int]) -> Any:
    """Return pycocotools' data set. Its ids begin at 1, because 0 stands for "not matched" in it."""
    coco = require("pycocotools.coco", "detect", "Scores of boxes").COCO()
    annotations: list[dict[str, Any]] = []
    images = [{"id": image} for image in range(1, count + 1)]
    for image, picture in enumerate(pictures, start=1):
        columns = (picture.boxes.tolist(), picture.classes.tolist(), picture.scores.tolist(), picture.crowd.tolist())
        for place, values in enumerate(zip(*columns, strict=True)):
            annotation = _annotation(*values) | {"id": len(annotations) + 1, "image_id": image}
            if picture.masks is not None:
                images[image - 1] |= dict(zip(("height", "width"), picture.masks[place]["size"], strict=True))
                annotation |= _outline(picture.masks[place])
            annotations.append(annotation)
    categories = [{"id": label + 1} for label in classes]
    coco.dataset = {"images": images, "annotations": annotations, "categories": categories}
    coco.createIndex()
    return coco


def _annotation(box: Sequence[float], label: int, score: float, is_crowd: bool) -> dict[str, Any]:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    shape = {"bbox": [left, top, width, height], "area": width * height}
    return shape | {"category_id": label + 1, "score": score, "iscrowd": int(is_crowd)}


def _outline(mask: RunLengths) -> dict[str, Any]:
    return {"segmentation": mask, "area": area_of(mask)}


def resampled_precisions(
    matches: Matches, draws: Int[ndarray, "resamples pictures"]
) -> tuple[Float[ndarray, "resamples overlaps"], Float[ndarray, "resamples overlaps"]]:
    """Return a class's average precisions and recalls in each resample, as COCO computes them.

    NaN in a resample without a true object. draws: how often each picture is drawn.
    """
    step = max(1, _CHUNK // max(1, len(matches.scores)))
    parts = [_precisions(matches, draws[start : start + step]) for start in range(0, len(draws), step)]
    precisions, recalls = zip(*parts, strict=True)
    return np.concatenate(precisions), np.concatenate(recalls)


def _precisions(
    matches: Matches, draws: Int[ndarray, "resamples pictures"]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    drawn = draws.astype(np.float64)
    positives = drawn @ matches.positives
    values = [
        _curve(drawn, matches.pictures, is_true, is_false, positives)
        for is_true, is_false in zip(matches.is_true, matches.is_false, strict=True)
    ]
    precisions, recalls = (np.stack(columns, axis=1) for columns in zip(*values, strict=True))
    absent = (positives == 0)[:, None]
    return np.where(absent, np.nan, precisions), np.where(absent, np.nan, recalls)


def _curve(
    drawn: Float[ndarray, "resamples pictures"],
    pictures: Int64[ndarray, " n"],
    is_true: Bool[ndarray, " n"],
    is_false: Bool[ndarray, " n"],
    positives: Float[ndarray, " resamples"],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the average precision and the recall of one curve. Its highest points are at the true objects."""
    hits = np.flatnonzero(is_true)
    if not len(hits):
        return np.zeros(len(drawn)), np.zeros(len(drawn))
    true = np.cumsum(drawn[:, pictures[hits]], axis=1)
    misses = np.flatnonzero(is_false[: hits[-1]])
    false = _counted_before(drawn, pictures[misses], np.searchsorted(hits, misses), len(hits))
    precision = np.divide(true, true + false, out=np.zeros_like(true), where=true > 0)
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = true / np.maximum(positives, 1)[:, None]
    reached = np.searchsorted(RECALLS, recall, side="right")  # how many of the 101 recalls each point reaches
    return (highest * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS), recall[:, -1]


def _counted_before(
    drawn: Float[ndarray, "resamples pictures"],
    pictures: Int64[ndarray, " misses"],
    gaps: Int64[ndarray, " misses"],
    hits: int,
) -> NDArray[np.float64]:
    """Return how many misses come before each hit, in each resample. gaps: the first hit after each miss, rising."""
    before = np.empty((len(drawn), hits))
    step = max(1, _CHUNK // drawn.shape[1])
    total = np.zeros(len(drawn))
    for start in range(0, hits, step):
        stop = min(start + step, hits)
        part = slice(*np.searchsorted(gaps, (start, stop)))
        counts = np.zeros((drawn.shape[1], stop - start))
        np.add.at(counts, (pictures[part], gaps[part] - start), 1)
        before[:, start:stop] = total[:, None] + np.cumsum(drawn @ counts, axis=1)
        total = before[:, stop - 1]
    return before
