"""Boxes of the things in a picture, from the cells that were read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.detections import Detections
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.heads.base import wrong_data
from lookwhere_cli.heads.classify import ClassifyHead
from lookwhere_cli.heads.merge import merge_boxes
from lookwhere_cli.heads.object_masks import mask_probabilities, mask_values
from lookwhere_cli.heads.paste import paste_masks
from lookwhere_cli.heads.pooling import BoxPool
from lookwhere_cli.heads.segment import check_not_cropped
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.scores import FoundInstances, PairedMetric, Scorer, Truth
from lookwhere_cli.models.candidates import BOX, CLASSES, POINT, split_numbers
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.options import Options
from lookwhere_cli.output.masks.run_lengths import RunLengths
from lookwhere_cli.output.rows import Detection, Label, Row
from lookwhere_cli.probabilities import sigmoid
from lookwhere_cli.text import near_names

JOIN_IOU = 0.65
"""Boxes of a class that overlap the best one this much are averaged with it, weighted by their scores."""
SCORED_FROM = 0.01
"""Boxes of a lower score are left out of evaluations: they change the average precision by less than its rounding."""
SCORED_BOXES = 100
"""Boxes of a picture that are scored at most, as COCO does."""


class Found(NamedTuple):
    """What was found in a picture.

    is_cut: True if there was more than the limit, and the worst were left out. macs: multiply-adds of masks.
    """

    detections: Detections
    is_cut: bool
    macs: int = 0


@dataclass(frozen=True)
class DetectHead:
    """Finds boxes.

    conf: least score of a box. iou: overlap above which two boxes of a class are one thing. limit: boxes of a picture
    at most. only: names of the classes that are looked for; empty for all. top: labels of a picture as a whole. masks:
    True to find the masks of objects, too.
    """

    config: Config
    conf: float = 0.25
    iou: float = 0.5
    limit: int = 300
    only: tuple[str, ...] = ()
    top: int = 5
    masks: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices."""
        return self.config.labels

    @property
    def verb(self) -> str:
        """What a model with this head does."""
        return "finds boxes"

    @property
    def labels_pictures(self) -> bool:
        """A picture has the labels of its boxes."""
        return True

    @property
    def labeller(self) -> ClassifyHead:
        """The head that labels pictures as a whole: the probability of a label is the score of its best box."""
        return LabelsOfBoxes(replace(self.config, multi_label=True), self.top)

    def with_options(self, options: Options, model: str) -> DetectHead:
        """Return the head as a user wants it.

        Raises UsageError for a class that the model does not know, ModelError for masks from a model of boxes only.
        """
        if options.masks:
            self._check_masks(model)
        for name in options.only:
            if name not in self.labels:
                near = near_names(name, self.labels) or list(self.labels[:5])
                raise UsageError(f"The model {model!r} has no class {name!r}; it has, for instance, {', '.join(near)}.")
        own = replace(self, conf=options.conf, iou=options.iou, limit=options.max_boxes, only=options.only)
        return replace(own, top=options.top, masks=options.masks)

    def check(self, command: str, model: str) -> None:
        """Raise ModelError for any command but detect and classify."""
        if command not in ("detect", "classify"):
            raise ModelError(
                f"The model {model!r} finds boxes and can't {command} pictures; choose another one, or use "
                "lookwhere detect."
            )

    def decode(self, output: Float32[ndarray, "candidates numbers"], view: View) -> Found:
        """Return the boxes, best first, in full-resolution pixels of the picture as displayed."""
        output, numbers = split_numbers(output, len(self.labels))
        scores = sigmoid(output[:, CLASSES])
        points, classes = np.nonzero((scores >= self.conf) & self._wanted)
        boxes = in_pixels(output[points, BOX], view)
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        scores = scores[points, classes][visible]
        boxes, classes, points = boxes[visible], classes[visible], points[visible]
        merged = merge_boxes(boxes, scores, classes, self.iou, self.limit, join_iou=max(JOIN_IOU, self.iou))
        kept = merged.indices
        found = Detections(merged.boxes, scores[kept], classes[kept].astype(np.int64), self.labels)
        if not self.masks:
            return Found(found, merged.is_cut)
        masks = self._masks(output[:, POINT], numbers, points[kept], merged.boxes, view)
        return Found(replace(found, masks=masks), merged.is_cut, passes.count_masks(self.config, len(kept)))

    def moved(self, result: Found, right: int, down: int) -> Found:
        """Return what was found in a window, in pixels of the picture that the window is of."""
        shift = np.array([right, down] * 2, np.float32)
        return result._replace(detections=replace(result.detections, boxes=result.detections.boxes + shift))

    def result_of(self, row: Row) -> Found:
        """Return the boxes of a row."""
        found = row.boxes or ()
        boxes = np.array([one.box for one in found], np.float32).reshape(-1, 4)
        scores, classes = np.array([one.score for one in found], np.float32), np.array([one.index for one in found])
        is_cut = self._cut_note in (row.note or "")
        return Found(Detections(boxes, scores, classes.astype(np.int64), self.labels), is_cut)

    def pool(self) -> BoxPool:
        """Collect the boxes of windows. Raises UsageError for masks, which are as large as the whole picture."""
        if self.masks:
            raise UsageError("Masks of objects can't be found in windows; leave masks out, or window.")
        return BoxPool(self.labels, self.iou, Found)

    def _masks(
        self,
        places: Float32[ndarray, "candidates 2"],
        numbers: Float32[ndarray, "candidates numbers"],
        points: Int[ndarray, " n"],
        boxes: Float32[ndarray, "n 4"],
        view: View,
    ) -> tuple[RunLengths, ...]:
        """Return the mask of each box. points: the candidate of each. boxes: in pixels."""
        if not len(boxes):
            return ()
        values = mask_values(places, numbers, self.config.detect_mask_channels, self.config.detect_points)
        probabilities = mask_probabilities(values, numbers[points], in_cells(boxes, view))
        return paste_masks(probabilities, boxes, view.size)

    def _check_masks(self, model: str) -> None:
        """Raise ModelError for a model of boxes only, UsageError without pycocotools."""
        if not self.config.has_masks:
            raise ModelError(
                f"The model {model!r} finds boxes without masks; leave masks out, or train a model with lookwhere "
                "train --masks."
            )
        require("pycocotools.mask", "detect", "A mask of an object")

    def picture_labels(self, output: Float32[ndarray, "candidates numbers"]) -> tuple[Label, ...]:
        """Return the `top` labels of the picture, that of the best box first, each with the score of its best box."""
        return self.labeller.picture_labels(output)

    def boxes(self, output: Float32[ndarray, "candidates numbers"], view: View) -> tuple[Detection, ...]:
        """Return the boxes, best first, in full-resolution pixels of the picture as displayed; see `decode`."""
        return tuple(self.decode(output, view).detections)

    def row_fields(self, result: Found) -> dict[str, Any]:
        """The boxes, and a note if there were too many."""
        fields: dict[str, Any] = {"boxes": tuple(result.detections)}
        fields |= {"note": self._cut_note} if result.is_cut else {}
        return fields | {"macs": result.macs} if result.macs else fields

    def count_macs(self, config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
        """Multiply-adds of a pass to the candidates; masks, which depend on the boxes, are counted in `decode`."""
        return passes.count_detect(config, grid, thumbnail_grid, k, coarse).total

    def count_full(self, config: Config, grid: Grid) -> int:
        """Multiply-adds of the full ViT with this head at every cell."""
        return passes.count_full(config, grid)

    def describe(self) -> str:
        """The number of classes."""
        return f"{len(self.labels)} classes of boxes" + (" and masks" if self.config.has_masks else "")

    @property
    def hub_pipeline(self) -> str:
        """The Hub's name for detection."""
        return "object-detection"

    def command(self) -> str:
        """Find boxes in a folder of photographs."""
        return "detect photos/ --out boxes.csv"

    @property
    def is_dense(self) -> bool:
        """Every cell may have boxes."""
        return True

    def scored_by(self, kind: str) -> DetectHead | ClassifyHead:
        """Return the head that answers labelled data of a kind: labels of pictures are those of their boxes."""
        return self.labeller if kind == "multi" else self

    def for_scoring(self) -> DetectHead:
        """Return the head that finds all boxes that are scored, also those of low scores."""
        return replace(self, conf=SCORED_FROM, limit=SCORED_BOXES, masks=False)

    def check_data(self, kind: str, mode: str, model: str) -> None:
        """Raise ModelError for data without boxes, UsageError for pictures that are cropped."""
        if kind != "boxes":
            raise wrong_data(model, self.verb, kind)
        check_not_cropped(mode)

    def measure(
        self, output: Float32[ndarray, "candidates numbers"], truth: Truth, view: View
    ) -> Float32[ndarray, "boxes 6"] | FoundInstances:
        """Return all boxes that are scored, with their masks if the model finds masks.

        A box is left, top, right, bottom in pixels of the picture, its score, and its class. Raises UsageError without
        pycocotools for masks.
        """
        found = replace(self.for_scoring(), masks=self.config.has_masks).decode(output, view).detections
        boxes = np.column_stack([found.boxes, found.scores, found.classes]).astype(np.float32)
        return boxes if found.masks is None else FoundInstances(boxes, found.masks, view.size)

    def scorer(self, classes: Int[ndarray, " classes"]) -> Scorer:
        """Score boxes and, of a model that finds them, masks."""
        from lookwhere_cli.metrics.boxes import BoxesScorer, InstancesScorer

        return (InstancesScorer if self.config.has_masks else BoxesScorer)(classes, len(self.labels))

    def paired_metric(self, classes: Int[ndarray, " classes"]) -> PairedMetric:
        """Compare average precisions."""
        from lookwhere_cli.metrics.boxes import PairedBoxes

        return PairedBoxes(classes)

    @property
    def _cut_note(self) -> str:
        return f"more than {self.limit} boxes; those with the lowest scores were left out"

    @cached_property
    def _wanted(self) -> Bool[ndarray, " classes"]:
        return np.array([not self.only or name in self.only for name in self.labels])


class LabelsOfBoxes(ClassifyHead):
    """Labels a picture by its boxes."""

    def probabilities(self, output: Float32[ndarray, "candidates numbers"]) -> Float32[ndarray, " classes"]:
        """Return the score of the best box of each class."""
        return super().probabilities(best_scores(split_numbers(output, len(self.labels))[0]))

    def count_macs(self, config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
        """Multiply-adds of a pass to the candidates."""
        return passes.count_detect(config, grid, thumbnail_grid, k, coarse).total


def best_scores(output: Float32[ndarray, "candidates numbers"]) -> Float32[ndarray, " classes"]:
    """Return the best score of each class at any point, before the sigmoid."""
    best: NDArray[np.float32] = output[:, CLASSES].max(axis=0)
    return best


def in_pixels(boxes: Float32[ndarray, "boxes 4"], view: View) -> Float32[ndarray, "boxes 4"]:
    """Turn boxes in cells of the view's grid into pixels of the whole picture as displayed, and clip them to it."""
    left, top, right, bottom = view.box
    height, width = view.size
    scale = np.array([(right - left) / view.grid[1], (bottom - top) / view.grid[0]] * 2)
    limits = np.array([width, height] * 2)
    return np.clip(boxes * scale + np.array([left, top] * 2), 0, limits).astype(np.float32)


def in_cells(boxes: Float32[ndarray, "boxes 4"], view: View) -> Float[ndarray, "boxes 4"]:
    """Turn boxes in pixels of the whole picture as displayed into cells of the view's grid."""
    left, top, right, bottom = view.box
    scale = np.array([view.grid[1] / (right - left), view.grid[0] / (bottom - top)] * 2)
    return (boxes - np.array([left, top] * 2)) * scale
