"""An exported model against the one that it was exported from, on real pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.export.heads.compare import COMPARISONS
from lookwhere_cli.images.view import Picture
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.runtimes.base import Runtime
from lookwhere_cli.strategies.base import Batch, Selected, choose_cells, spaced_scores

TIE = 1e-5
"""Cells whose scores differ by less may change places; of the map's largest score where that is above 1, since rounding
grows with the scores."""


@dataclass(frozen=True)
class Tolerance:
    """What may differ at most: outputs, the share of the cells that are read, the share of the labels, boxes in pixels.

    Outputs are logits, scores before softmax or sigmoid, or features. A label is that of a picture, of a pixel or of a
    point that may have a box.
    """

    output: float
    cells: float
    labels: float
    boxes: float


TOLERANCES = {
    "float32": Tolerance(1e-3, 0.0, 0.001, 0.1),
    "float16": Tolerance(0.1, 0.01, 0.01, 2.0),
    "int8": Tolerance(np.inf, 0.1, 0.1, np.inf),
}
"""By how the weights are stored. Of the labels of pixels some differ, since they lie on an edge between classes."""


@dataclass(frozen=True)
class Differences:
    """What a comparison found.

    pictures: compared, failed: that could not be read. output: the largest difference of the outputs (logits, scores)
    from equal cells. cells: of those that are read, how many are others, but for ties; cells_read: of how many. labels:
    how many of all differ; labels_compared: of how many. boxes: the largest difference of a side of a box, in pixels of
    the picture.
    """

    pictures: int
    failed: int
    output: float
    cells: int
    cells_read: int
    labels: int
    labels_compared: int
    boxes: float = 0.0

    def within(self, tolerance: Tolerance) -> bool:
        """Return True if nothing differs by more."""
        return (
            self.output <= tolerance.output
            and self.cells <= tolerance.cells * self.cells_read
            and self.labels <= tolerance.labels * self.labels_compared
            and self.boxes <= tolerance.boxes
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)


def compare(
    pipeline: Pipeline, exported: Runtime, pictures: Iterable[Picture], on_picture: Callable[[], None]
) -> Differences:
    """Answer each picture with both. on_picture: called after each."""
    found: list[Differences] = []
    for picture in pictures:
        found.append(_compare_one(pipeline, exported, picture))
        on_picture()
    return _sum(found)


def _compare_one(pipeline: Pipeline, exported: Runtime, picture: Picture) -> Differences:
    try:
        opened = pipeline.reader.prepare(picture)
        batch = Batch([opened], opened.view.grid)
        selected = pipeline.strategy.select(pipeline.runtime, batch)
        cells = selected.order[:, : selected.first]
        patches = opened.view.patches(cells[0])[None]
    except PictureError:
        return Differences(0, 1, 0.0, 0, 0, 0, 0)
    others = pipeline.strategy.select(exported, batch)
    theirs = Selected(batch, others.selection, selected.order, selected.first)
    config = pipeline.config
    ours = pipeline.runtime.answer(selected.choose(patches, config))[0]
    answer = exported.answer(theirs.choose(patches, config))[0]
    task = config.task if config.labels else "features"
    found = COMPARISONS[task](pipeline.head, ours, answer, opened.view)
    spacing = config.map_spacing
    scores, their_scores = (spaced_scores(each.selection.map, batch.grid, spacing)[0] for each in (selected, others))
    moved = count_moved(scores, their_scores, selected.first)
    return Differences(1, 0, cells=moved, cells_read=selected.first, **found._asdict())


def count_moved(ours: Float32[ndarray, " cells"], theirs: Float32[ndarray, " cells"], k: int) -> int:
    """Return how many of the best k cells by some scores are not among those by others, but for ties.

    A cell ties if the one that took its place scores almost the same.
    """
    chosen, others = choose_cells(ours[None], k)[0], choose_cells(theirs[None], k)[0]
    left_out, taken_in = ours[np.setdiff1d(chosen, others)], ours[np.setdiff1d(others, chosen)]
    tie = TIE * max(1.0, float(np.abs(ours).max()))
    return int((np.sort(left_out) - np.sort(taken_in)[::-1] > tie).sum())


def _sum(found: Sequence[Differences]) -> Differences:
    names = ("pictures", "failed", "cells", "cells_read", "labels", "labels_compared")
    sums = {name: sum(getattr(one, name) for one in found) for name in names}
    output, boxes = np.max([(0.0, 0.0), *((one.output, one.boxes) for one in found)], axis=0).tolist()
    return Differences(output=output, boxes=boxes, **sums)
