"""What is where in a picture: each pixel's class, at the picture's own size."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.view import View
from lookwhere_cli.output.rows import Row, Share
from lookwhere_cli.predictor import Glimpse, Picture, Predictor

STRIP = 1 << 20  # scores that are held at full resolution, whatever the picture's size
MOST_CLASSES = 255  # a byte holds them, and one value means "ignore" in training


class Segmented(NamedTuple):
    """A picture's row, with shares, and what it was read through; None for a picture that can't be read.

    classes: (height, width), each pixel's class index, in the frame and at the size that the picture is displayed in.
    """

    row: Row
    classes: NDArray[np.uint8] | None
    view: View | None


class _Scored(NamedTuple):
    """The same before the classes are at full resolution: a window of those would hold gigabytes of large pictures."""

    row: Row
    scores: Float[Tensor, "classes rows columns"] | None = None
    view: View | None = None


class Segmenter:
    """A predictor whose model says what each pixel shows."""

    def __init__(self, predictor: Predictor) -> None:
        """Raises ModelError for a model of another task, UsageError for a predictor that crops."""
        self.predictor = predictor
        self.labels = _labels(predictor)
        if predictor.reading.mode == "crop":
            raise UsageError("A mode of 'crop' leaves pixels without a class; read the picture whole, or stretch it.")

    def segment(self, pictures: Iterable[Picture]) -> Iterator[Segmented]:
        """The classes of each picture, in their order. One that can't be read gives a row with `error`."""
        return map(self._segmented, self.predictor.in_batches(pictures, self._scored, _Scored))

    def _scored(self, glimpses: Sequence[Glimpse]) -> list[_Scored]:
        with torch.inference_mode():
            read = self.predictor.read(glimpses)
            scores = self.predictor.class_scores(
                read.patches, read.cells, read.grid, read.selection.prefix_tokens, read.coarse
            )
        views = [glimpse.view for glimpse in glimpses]
        return list(map(_Scored, self.predictor.rows(read), scores, views))

    def _segmented(self, scored: _Scored) -> Segmented:
        if scored.scores is None or scored.view is None:
            return Segmented(scored.row, None, None)
        started = time.perf_counter()
        classes, counts = classes_at(scored.scores, *scored.view.size)
        seconds = scored.row.seconds + time.perf_counter() - started
        row = replace(scored.row, seconds=seconds, shares=self._shares(counts))
        return Segmented(row, classes, scored.view)

    def _shares(self, counts: NDArray[np.int64]) -> tuple[Share, ...]:
        order = np.argsort(-counts, kind="stable").tolist()
        total = int(counts.sum())
        return tuple(Share(self.labels[index], index, int(counts[index]) / total) for index in order if counts[index])


def classes_at(
    scores: Float[Tensor, "classes rows columns"], height: int, width: int
) -> tuple[UInt8[np.ndarray, "height width"], Int64[np.ndarray, " classes"]]:
    """The class with the highest score at each pixel of a picture that the scores cover, and how many pixels each has.

    Scores are resized bilinearly (half-pixel centres, no antialiasing), a strip of rows at a time: memory beyond the
    result does not grow with the picture.
    """
    classes = np.empty((height, width), np.uint8)
    counts = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
    step = max(1, STRIP // (len(scores) * width))
    with torch.inference_mode():
        for top in range(0, height, step):
            strip = _strip(scores, range(top, min(top + step, height)), height, width)
            best = strip.max(dim=0).indices  # argmax says the same, several times slower
            counts += torch.bincount(best.flatten(), minlength=len(scores))
            classes[top : top + step] = best.to(torch.uint8).cpu().numpy()
    return classes, counts.cpu().numpy()


def _strip(
    scores: Float[Tensor, "classes rows columns"], lines: range, height: int, width: int
) -> Float[Tensor, "classes lines width"]:
    """Those lines of the scores as resized to (height, width)."""
    last = scores.shape[1] - 1
    centres = (torch.tensor(lines, dtype=torch.float64) + 0.5) * scores.shape[1] / height - 0.5
    centres = centres.clamp(0, last).to(scores.device)
    above = centres.long()
    weight = (centres - above)[:, None].to(scores.dtype)
    narrow = torch.lerp(scores[:, above], scores[:, (above + 1).clamp(max=last)], weight)
    return F.interpolate(narrow, size=width, mode="linear", align_corners=False)


def _labels(predictor: Predictor) -> tuple[str, ...]:
    name, config = predictor.loaded.name, predictor.config
    if config.task != "segment":
        raise ModelError(
            f"The model {name!r} does not segment pictures (its task is {config.task}); choose another one, "
            "or train one with lookwhere train."
        )
    if len(config.labels) > MOST_CLASSES:
        raise ModelError(f"The model {name!r} has {len(config.labels)} classes; a mask holds {MOST_CLASSES} at most.")
    return config.labels
