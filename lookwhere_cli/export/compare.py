"""An exported model against the one that it was exported from, on real pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.view import Picture
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.runtimes.base import Runtime
from lookwhere_cli.strategies.base import Batch, Selected, choose_cells

TIE = 1e-5
"""Cells whose scores differ by less may change places."""


@dataclass(frozen=True)
class Tolerance:
    """What may differ at most: outputs, the share of the cells that are read, the share of the labels."""

    output: float
    cells: float
    labels: float


TOLERANCES = {
    "float32": Tolerance(1e-3, 0.0, 0.001),
    "float16": Tolerance(0.1, 0.01, 0.01),
    "int8": Tolerance(np.inf, 0.1, 0.1),
}
"""By how the weights are stored. A label is a picture's best, or a pixel's: 0.1 % of the pixels lie on an edge between
classes."""


@dataclass(frozen=True)
class Differences:
    """What a comparison found.

    pictures: compared, failed: that could not be read. output: the largest difference of the outputs (logits, scores)
    from equal cells. cells: of those that are read, how many are others, but for ties; cells_read: of how many. labels:
    how many of all differ; labels_compared: of how many.
    """

    pictures: int
    failed: int
    output: float
    cells: int
    cells_read: int
    labels: int
    labels_compared: int

    def within(self, tolerance: Tolerance) -> bool:
        """Return True if nothing differs by more."""
        return (
            self.output <= tolerance.output
            and self.cells <= tolerance.cells * self.cells_read
            and self.labels <= tolerance.labels * self.labels_compared
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
    patch = pipeline.config.patch
    ours = pipeline.runtime.answer(selected.choose(patches, patch))[0]
    answer = exported.answer(theirs.choose(patches, patch))[0]
    labels = _labels(ours) != _labels(answer)
    moved = count_moved(selected.selection.map[0], others.selection.map[0], selected.first)
    return Differences(1, 0, float(np.abs(ours - answer).max()), moved, selected.first, int(labels.sum()), labels.size)


def count_moved(ours: Float32[ndarray, " cells"], theirs: Float32[ndarray, " cells"], k: int) -> int:
    """Return how many of the best k cells by one map are not among those by the other, but for ties.

    A cell ties if the one that took its place scores almost the same.
    """
    chosen, others = choose_cells(ours[None], k)[0], choose_cells(theirs[None], k)[0]
    left_out, taken_in = ours[np.setdiff1d(chosen, others)], ours[np.setdiff1d(others, chosen)]
    return int((np.sort(left_out) - np.sort(taken_in)[::-1] > TIE).sum())


def _labels(output: Float32[ndarray, classes * places]) -> Int64[ndarray, " labels"]:
    """Return the best class of the picture, or of each place of a finer grid."""
    best: NDArray[np.int64] = np.atleast_1d(output.argmax(axis=0))
    return best.reshape(-1)


def _sum(found: Sequence[Differences]) -> Differences:
    names = ("pictures", "failed", "cells", "cells_read", "labels", "labels_compared")
    sums = {name: sum(getattr(one, name) for one in found) for name in names}
    return Differences(output=max((one.output for one in found), default=0.0), **sums)
