"""A class for each pixel, at the picture's own size."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float32, Int, Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.errors import ModelError, PictureError, UsageError
from lookwhere_cli.heads.base import OneAnswer, wrong_data
from lookwhere_cli.heads.missing import UNKNOWN_NODATA, leave_out_nodata
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.masks import MasksScorer, PairedMeanIou, count_pixels
from lookwhere_cli.metrics.scores import PairedMetric, Scorer, Truth
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Label, Share

STRIP = 1 << 20
"""Scores that are held at full resolution at once, whatever the picture's size."""
MAX_CLASSES = 255
"""A byte holds the index, and one value means "ignore" in training."""


class PixelClasses(NamedTuple):
    """The class of each pixel, (height, width) uint8 as displayed, the pixels of each class, and a note for the row."""

    classes: UInt8[ndarray, "height width"]
    counts: Int64[ndarray, " classes"]
    note: str | None = None


@dataclass(frozen=True)
class SegmentHead(OneAnswer):
    """Labels every pixel.

    scale: pixels of the picture, down and across, to a pixel of the mask. is_scored: True to label every pixel of the
    picture, as masks of the truth have them, also of a raster, and where it has no data.
    """

    config: Config
    scale: tuple[float, float] = (1.0, 1.0)
    is_scored: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes in the order of their indices."""
        return self.config.labels

    @property
    def verb(self) -> str:
        """What a model with this head does."""
        return "segments"

    @property
    def labels_pictures(self) -> bool:
        """Labels are of pixels, not of pictures."""
        return False

    def check(self, command: str, model: str) -> None:
        """Raise ModelError for any command but segment, and for more classes than a mask holds."""
        if command != "segment":
            raise ModelError(
                f"The model {model!r} segments pictures and can't {command} them; choose another one, or use "
                "lookwhere segment."
            )
        if len(self.labels) > MAX_CLASSES:
            raise ModelError(f"The model {model!r} has {len(self.labels)} classes; a mask holds at most {MAX_CLASSES}.")

    def picture_labels(self, output: Float32[ndarray, "*output"]) -> tuple[Label, ...]:
        """No labels."""
        return ()

    def decode(self, output: Float32[ndarray, "classes rows columns"], view: View) -> PixelClasses:
        """Resize the scores to the mask and take the best class of each pixel.

        The mask of a slide or raster that is read as one picture has the resolution at which it was read.
        output: before softmax, on a grid over all that the view reads.
        """
        height, width = (max(1, round(side / scale)) for side, scale in zip(view.size, self.scale, strict=True))
        if self.is_scored or not is_large(view.source):
            return classes_at(output, height, width)
        rows, columns = (side * self.config.patch for side in view.grid)
        height, width = min(height, rows), min(width, columns)
        note = f"mask of {width} x {height} pixels; --window gives one of full resolution"
        found = classes_at(output, height, width)._replace(note=note)
        try:
            leave_out_nodata(view.source, view.box, found.classes)
        except PictureError:
            return found._replace(note=f"{note}; {UNKNOWN_NODATA}")
        counts = np.bincount(found.classes.ravel(), minlength=len(self.labels))[: len(self.labels)]
        return found._replace(counts=counts)

    def for_scoring(self) -> Self:
        """Return the head that labels every pixel of the picture."""
        return replace(self, is_scored=True)

    def row_fields(self, result: PixelClasses) -> dict[str, Any]:
        """The classes that occur, with their shares of the pixels, the largest first."""
        order, total = np.argsort(-result.counts, kind="stable").tolist(), int(result.counts.sum())
        counts = result.counts.tolist()
        shares = (Share(self.labels[index], index, counts[index] / total) for index in order if counts[index])
        return {"shares": tuple(shares)} | ({} if result.note is None else {"note": result.note})

    def count_macs(self, config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int) -> int:
        """Multiply-adds of a pass to the scores of all cells."""
        return passes.count_segment(config, grid, thumbnail_grid, k, coarse).total

    def count_full(self, config: Config, grid: Grid) -> int:
        """Multiply-adds of the full ViT with the decoder."""
        return passes.count_full(config, grid)

    def describe(self) -> str:
        """The number of classes."""
        return f"{len(self.labels)} classes, one for each pixel"

    @property
    def hub_pipeline(self) -> str:
        """The Hub's name for segmentation."""
        return "image-segmentation"

    def command(self) -> str:
        """Segment a folder of photographs."""
        return "segment photos/ --out masks/"

    @property
    def is_dense(self) -> bool:
        """The output has a place for every cell."""
        return True

    def check_data(self, kind: str, mode: str, model: str) -> None:
        """Raise ModelError for data without masks, UsageError for pictures that are cropped."""
        if kind != "masks":
            raise wrong_data(model, self.verb, kind)
        check_not_cropped(mode)

    def measure(
        self, output: Float32[ndarray, "classes rows columns"], truth: Truth, view: View
    ) -> Int[ndarray, "classes classes"]:
        """Count the pixels by [truth, answer], at the mask's own resolution. Raises PictureError for a mask that can't
        be read."""
        mask = truth.mask()
        return count_pixels(classes_at(output, *mask.shape).classes, mask, len(self.labels))

    def scorer(self, classes: Int[ndarray, " classes"]) -> Scorer:
        """Score masks."""
        return MasksScorer(classes)

    def paired_metric(self, classes: Int[ndarray, " classes"]) -> PairedMetric:
        """Compare mean intersections over union."""
        return PairedMeanIou(classes, len(self.labels))


def check_not_cropped(mode: str) -> None:
    """Raise UsageError if pictures are to be cropped."""
    if mode == "crop":
        raise UsageError("A mode of 'crop' leaves pixels without a class; read the picture whole, or stretch it.")


def classes_at(scores: Float32[ndarray, "classes rows columns"], height: int, width: int) -> PixelClasses:
    """Return the class with the highest score at each pixel of a picture that the scores cover.

    Scores are resized bilinearly (half-pixel centres, no antialiasing), a strip of lines at a time: memory beyond the
    result does not grow with the picture.
    """
    classes = np.empty((height, width), np.uint8)
    counts = np.zeros(len(scores), np.int64)
    scores = scores.astype(np.float32, copy=False)
    left, right, across = _neighbours(scores.shape[2], width)
    above, below, down = _neighbours(scores.shape[1], height)
    step = max(1, STRIP // (len(scores) * width))
    for top in range(0, height, step):
        lines = slice(top, top + step)
        strip = _blend(scores[:, above[lines]], scores[:, below[lines]], down[lines][:, None])
        classes[lines] = _best(strip, left, right, across)
        counts += np.bincount(classes[lines].ravel(), minlength=len(scores))
    return PixelClasses(classes, counts)


def _best(
    strip: Float32[ndarray, "classes lines columns"], left: NDArray[Any], right: NDArray[Any], across: NDArray[Any]
) -> UInt8[ndarray, "lines width"]:
    """Return the best class of each pixel; of equal scores the lower class. Class by class: argmax is slower."""
    best = _wide(strip[0], left, right, across)
    classes = np.zeros(best.shape, np.uint8)
    for index in range(1, len(strip)):
        score = _wide(strip[index], left, right, across)
        better = score > best
        np.copyto(classes, np.uint8(index), where=better)
        np.maximum(best, score, out=best)
    return classes


def _wide(
    lines: Float32[ndarray, "lines columns"], left: NDArray[Any], right: NDArray[Any], across: NDArray[Any]
) -> Float32[ndarray, "lines width"]:
    return _blend(np.take(lines, left, axis=1), np.take(lines, right, axis=1), across)


def _blend(first: NDArray[Any], second: NDArray[Any], weight: NDArray[Any]) -> NDArray[Any]:
    """first + weight * (second - first), in place of `second`."""
    second = second - first
    second *= weight
    second += first
    return second


def _neighbours(count: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return, for each of `wanted` positions, the two source positions around it and the weight of the second."""
    centres = ((np.arange(wanted, dtype=np.float64) + 0.5) * count / wanted - 0.5).clip(0, count - 1)
    lower = centres.astype(np.intp)
    return lower, np.minimum(lower + 1, count - 1), (centres - lower).astype(np.float32)
