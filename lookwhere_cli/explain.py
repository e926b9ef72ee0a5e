"""What lies behind a row: the selector map, the order of the cells, times, and answers at other numbers of cells."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.images.view import Picture, View
from lookwhere_cli.output.notebook import with_answers
from lookwhere_cli.output.rows import Label, Row
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.runtimes.base import Runtime
from lookwhere_cli.strategies.base import Batch, ChoosingStrategy, Outcome, Selected, StagedStrategy
from lookwhere_cli.text import shared_name

NOTEBOOK_SIDE = 640  # pixels of a picture's longer side in a notebook
SHARES = tuple(map(Amount.share, (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)))
"""Shares of the cells for which an explanation has predictions, in addition to k."""


@dataclass(frozen=True)
class Explanation:
    """What lies behind a row.

    picture: as it was given.
    scores: (rows, columns) float32, the selector map; a higher score is read earlier.
    order: all cells, row * columns + column, best first; the row's cells are the first k of them.
    seconds: wall time by step: open, thumbnail, select, patches, extract; with looks open, thumbnail, look.
    survivors: of the row's cells those that no pruning module dropped, best first; None without such modules.
    looks: with -k auto, the cells that had been read after each look, until the answer was certain.
    """

    picture: Picture
    row: Row
    view: View
    scores: Float32[ndarray, "rows columns"]
    order: tuple[int, ...]
    seconds: dict[str, float]
    survivors: tuple[int, ...] | None
    looks: tuple[int, ...]
    _pipeline: Pipeline
    _selected: Selected

    @cached_property
    def predictions(self) -> dict[int, tuple[Label, ...]]:
        """Labels by number of cells read, for several of them, the row's k among them: a pass of the extractor each."""
        patches = self.view.patches(self._selected.order[0])[None]
        found = {k: self._labels(patches, k) for k in self._counts if k != self.row.k}
        return dict(sorted((found | {self.row.k: self.row.labels}).items()))

    @cached_property
    def macs(self) -> dict[int, int]:
        """Multiply-adds by number of cells read, for the same numbers."""
        pipeline, grid = self._pipeline, self.view.grid
        thumbnail, coarse = pipeline.strategy.thumbnail_grid(grid), pipeline.reader.coarse_cells(grid)
        counted = {k: pipeline.head.count_macs(pipeline.config, grid, thumbnail, k, coarse) for k in self._counts}
        return dict(sorted((counted | {self.row.k: self.row.macs}).items()))

    def to_dict(self) -> dict[str, Any]:
        """Return the row and all that lies behind it, as JSON stores it; this computes `predictions`."""
        columns = self.row.grid[1]
        return self.row.to_dict() | {
            "map": [[round(score, 6) for score in line] for line in self.scores.tolist()],
            "order": [list(divmod(cell, columns)) for cell in self.order],
            "steps": {step: round(spent, 6) for step, spent in self.seconds.items()},
            "looks": list(self.looks),
            "survivors": self.survivors and [list(divmod(cell, columns)) for cell in self.survivors],
            "at": [
                {"k": k, "macs": self.macs[k], "labels": [label.to_dict() for label in labels]}
                for k, labels in self.predictions.items()
            ],
        }

    def _repr_html_(self) -> str:
        """Return the picture under the selector map, with the cells that were read, and the labels, for a notebook."""
        from PIL import Image

        from lookwhere_cli.show.geometry import pixels_of
        from lookwhere_cli.show.html import picture_uri
        from lookwhere_cli.show.overlay import overlay

        picture = Image.fromarray(pixels_of(self.view, NOTEBOOK_SIDE))
        drawn = overlay(picture, self.scores, self.row.cells, (0, 0, *picture.size), "")
        image = f'<img alt="selector map and cells read" src="{picture_uri(drawn, "PNG", 0)}">'
        answers = [(label.label, label.probability) for label in self.row.labels]
        return with_answers(shared_name(self.row.path), image, answers, self.row.summary)

    @property
    def _counts(self) -> set[int]:
        return {share.resolve(len(self.order)) for share in SHARES} | {self.row.k}

    def _labels(self, patches: np.ndarray, k: int) -> tuple[Label, ...]:
        head = self._pipeline.head
        chosen = self._selected.choose(patches[:, :k], self._pipeline.config.patch, k)
        return head.picture_labels(self._pipeline.runtime.answer(chosen)[0]) if head.labels_pictures else ()


def explain(pipeline: Pipeline, picture: Picture) -> Explanation:
    """Answer one picture, and keep what lies behind its row.

    Raises PictureError, and ModelError for a strategy that does not choose cells.
    """
    strategy = pipeline.strategy
    if not isinstance(strategy, ChoosingStrategy):
        raise pipeline.refusal("an explanation")
    pipeline.runtime.warm_up()
    laps = _Laps(pipeline.runtime)
    view = pipeline.reader.open(picture)
    laps.end("open")
    thumbnails = pipeline.reader.thumbnail(view), pipeline.reader.coarse_thumbnail(view)
    laps.end("thumbnail")
    opened = OpenedPicture(view, *thumbnails, 0.0)
    answer = _look if isinstance(strategy, StagedStrategy) else _read
    return replace(answer(pipeline, strategy, opened, laps), picture=picture)


def _read(pipeline: Pipeline, strategy: ChoosingStrategy, opened: OpenedPicture, laps: _Laps) -> Explanation:
    """Read the best k cells in one pass."""
    selected = strategy.order(pipeline.runtime, Batch([opened], opened.view.grid))
    laps.end("select")
    patches = opened.view.patches(selected.order[0, : selected.first])[None]
    laps.end("patches")
    chosen = selected.choose(patches, pipeline.config.patch)
    output, survivors = pipeline.runtime.answer_with_survivors(chosen)
    laps.end("extract")
    grid = opened.view.grid
    outcome = Outcome(output, list(chosen.cells), [grid], list(strategy.stage_macs(grid)), [None])
    kept = None if survivors is None else tuple(survivors[0].tolist())
    return _explanation(pipeline, opened, selected, outcome, laps, survivors=kept)


def _look(pipeline: Pipeline, strategy: ChoosingStrategy, opened: OpenedPicture, laps: _Laps) -> Explanation:
    """Look until the answer is certain."""
    grid, view = opened.view.grid, opened.view
    selected = strategy.order(pipeline.runtime, Batch([opened], grid))
    patches = view.patches(selected.order[0, : selected.first])[None]

    def cut(_: object, cells: np.ndarray) -> np.ndarray:
        return np.stack([view.patches(one) for one in cells])

    outcome = strategy.answer(pipeline.runtime, selected, patches, cut)
    laps.end("look")
    return _explanation(pipeline, opened, selected, outcome, laps, strategy.stage_cells(grid)[: outcome.exits[0]])


def _explanation(
    pipeline: Pipeline,
    opened: OpenedPicture,
    selected: Selected,
    outcome: Outcome,
    laps: _Laps,
    looks: tuple[int, ...] = (),
    survivors: tuple[int, ...] | None = None,
) -> Explanation:
    pipeline.check_numbers(opened.view, outcome.output[0], selected.maps[0])
    row = pipeline.row(opened, outcome, 0, sum(laps.seconds.values()))
    return Explanation(
        picture=opened.view.path,
        row=replace(row, labels=pipeline.head.picture_labels(outcome.output[0])),
        view=opened.view,
        scores=selected.maps[0],
        order=tuple(selected.order[0].tolist()),
        seconds=laps.seconds,
        survivors=survivors,
        looks=looks,
        _pipeline=pipeline,
        _selected=selected,
    )


class _Laps:
    """Wall time from one call of `end` to the next, with all that the device was asked to compute."""

    def __init__(self, runtime: Runtime) -> None:
        self.seconds: dict[str, float] = {}
        self._synchronise: Callable[[], None] = runtime.synchronise
        self._started = time.perf_counter()

    def end(self, step: str) -> None:
        """Record the time since the step before as this step's."""
        self._synchronise()
        now = time.perf_counter()
        self.seconds[step], self._started = now - self._started, now
