"""What lies behind a row: the selector map, the order of the cells, times, and answers at other numbers of cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Int, Int64, UInt8
from numpy import ndarray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.view import Picture, View
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.output.notebook import with_answers
from lookwhere_cli.output.rows import Detection, Label, Row
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.runtimes.base import Runtime, stack
from lookwhere_cli.strategies.base import Batch, ChoosingStrategy, Outcome, Selected, StagedStrategy
from lookwhere_cli.text import shared_name

NOTEBOOK_SIDE = 640  # pixels of a picture's longer side in a notebook
SHARES = tuple(map(Amount.share, (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)))
"""Shares of the cells for which an explanation has predictions, in addition to k."""


@dataclass(frozen=True)
class Explanation:
    """What lies behind a row.

    picture: as it was given.
    scores: (rows, columns) float32, the selector map; a higher score is read earlier, but for `Config.map_spacing`.
    order: all cells, row * columns + column, best first; the row's cells are the first k of them.
    seconds: wall time by step: open, thumbnail, select, patches, extract; with looks open, thumbnail, look. In a batch,
    an equal share of it.
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
        head = self._pipeline.head
        if not head.labels_pictures:
            return dict.fromkeys(sorted(self._counts), ())
        found = {k: head.picture_labels(output) for k, output in self._outputs.items()}
        return dict(sorted((found | {self.row.k: self.row.labels}).items()))

    @cached_property
    def boxes(self) -> dict[int, tuple[Detection, ...]]:
        """Boxes by number of cells read, for the same numbers and from the same passes; empty without boxes."""
        if self.row.boxes is None:
            return {}
        found = {k: self._pipeline.head.boxes(output, self.view) or () for k, output in self._outputs.items()}
        return dict(sorted((found | {self.row.k: self.row.boxes}).items()))

    @cached_property
    def macs(self) -> dict[int, int]:
        """Multiply-adds by number of cells read, for the same numbers."""
        pipeline, grid = self._pipeline, self.view.grid
        count = partial(pipeline.head.count_macs, pipeline.config, grid, pipeline.strategy.thumbnail_grid(grid))
        counted = {k: count(k, pipeline.coarse_count(grid, k)) for k in self._counts}
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
                {"k": k, "macs": self.macs[k], "labels": [label.to_dict() for label in labels]} | self._boxes_at(k)
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

    @cached_property
    def _outputs(self) -> dict[int, Float32[ndarray, "*output"]]:
        """The head's output by number of cells, for all but the row's k."""
        patches = self.view.patches(self._selected.order[0])[None]
        return {k: self._output(patches, k) for k in self._counts if k != self.row.k}

    def _output(self, patches: np.ndarray, k: int) -> Float32[ndarray, "*output"]:
        chosen = self._selected.choose(patches[:, :k], self._pipeline.config, k)
        output: Float32[ndarray, "*output"] = self._pipeline.runtime.answer(chosen)[0]
        return output

    def _boxes_at(self, k: int) -> dict[str, Any]:
        return {"boxes": [one.to_dict() for one in self.boxes[k]]} if self.boxes else {}


class _Opened(NamedTuple):
    """A picture that was opened. seconds: wall time by step."""

    picture: Picture
    opened: OpenedPicture
    seconds: dict[str, float]

    @property
    def grid(self) -> Grid:
        """Its (rows, columns) of cells."""
        return self.opened.view.grid


class _Read(NamedTuple):
    """What came of a batch. survivors: (batch, cells) that no pruning module dropped; None without such modules."""

    selected: Selected
    outcome: Outcome
    survivors: Int[ndarray, "batch cells"] | None = None


def explain(pipeline: Pipeline, picture: Picture) -> Explanation:
    """Answer one picture, and keep what lies behind its row.

    Raises PictureError, and ModelError for a strategy that does not choose cells.
    """
    found = next(explain_each(pipeline, [picture]))
    if isinstance(found, PictureError):
        raise found
    return found


def explain_each(
    pipeline: Pipeline, pictures: Iterable[Picture], resolve: Callable[[Picture], Picture] = lambda picture: picture
) -> Iterator[Explanation | PictureError]:
    """Yield the explanation of each picture, in order, or why it can't be read.

    Pictures of one grid that follow each other go through selector and extractor together, up to the pipeline's batch
    size; each has an equal share of the time. resolve: returns what is opened for a picture; may raise PictureError.
    Raises ModelError for a strategy that does not choose cells.
    """
    strategy, held = pipeline.strategy, list[_Opened]()
    if not isinstance(strategy, ChoosingStrategy):
        raise pipeline.refusal("an explanation")
    pipeline.runtime.warm_up()
    for picture in pictures:
        one = _open(pipeline, picture, resolve)
        if held and (isinstance(one, PictureError) or one.grid != held[0].grid):
            yield from _explained(pipeline, strategy, held)
            held = []
        if isinstance(one, PictureError):
            yield one
            continue
        held.append(one)
        if len(held) == pipeline.options.batch_size:
            yield from _explained(pipeline, strategy, held)
            held = []
    if held:
        yield from _explained(pipeline, strategy, held)


def _open(pipeline: Pipeline, picture: Picture, resolve: Callable[[Picture], Picture]) -> _Opened | PictureError:
    laps = _Laps(pipeline.runtime)
    try:
        resolved = resolve(picture)
        view = pipeline.reader.open(resolved)
        laps.end("open")
        thumbnails = pipeline.reader.thumbnail(view), pipeline.reader.coarse_thumbnail(view)
        laps.end("thumbnail")
    except PictureError as error:
        return error
    return _Opened(resolved, OpenedPicture(view, *thumbnails, 0.0), laps.seconds)


def _explained(
    pipeline: Pipeline, strategy: ChoosingStrategy, pictures: Sequence[_Opened]
) -> Iterator[Explanation | PictureError]:
    """Answer pictures of one grid together; one by one if the pixels of one of them can't be read."""
    batch = Batch([one.opened for one in pictures], pictures[0].grid)
    laps, read_batch = _Laps(pipeline.runtime), _look if isinstance(strategy, StagedStrategy) else _read
    try:
        read = read_batch(pipeline, strategy, batch, laps)
        shares = {step: spent / len(pictures) for step, spent in laps.seconds.items()}
        explanations = [_explanation(pipeline, read, place, one, shares) for place, one in enumerate(pictures)]
    except PictureError as error:
        if len(pictures) == 1:
            yield error
            return
        for one in pictures:
            yield from _explained(pipeline, strategy, [one])
        return
    yield from explanations


def _read(pipeline: Pipeline, strategy: ChoosingStrategy, batch: Batch, laps: _Laps) -> _Read:
    """Read the best k cells in one pass."""
    selected = strategy.order(pipeline.runtime, batch)
    laps.end("select")
    patches = _cut(batch, range(len(batch.pictures)), selected.order[:, : selected.first])
    laps.end("patches")
    chosen = selected.choose(patches, pipeline.config)
    output, survivors = pipeline.runtime.answer_with_survivors(chosen)
    laps.end("extract")
    many, macs = len(batch.pictures), strategy.stage_macs(batch.grid)[0]
    outcome = Outcome(output, list(chosen.cells), [batch.grid] * many, [macs] * many, [None] * many)
    return _Read(selected, outcome, survivors)


def _look(pipeline: Pipeline, strategy: ChoosingStrategy, batch: Batch, laps: _Laps) -> _Read:
    """Look until the answers are certain."""
    selected = strategy.order(pipeline.runtime, batch)
    patches = _cut(batch, range(len(batch.pictures)), selected.order[:, : selected.first])
    outcome = strategy.answer(pipeline.runtime, selected, patches, partial(_cut, batch))
    laps.end("look")
    return _Read(selected, outcome)


def _cut(batch: Batch, places: Sequence[int], cells: Int64[ndarray, "pictures k"]) -> UInt8[ndarray, ...]:
    """Return the patches at cells of the pictures at these places of a batch."""
    return stack([batch.pictures[place].view.patches(one) for place, one in zip(places, cells, strict=True)])


def _explanation(
    pipeline: Pipeline, read: _Read, place: int, picture: _Opened, shares: dict[str, float]
) -> Explanation:
    """Return the explanation of the picture at a place of its batch. shares: its seconds of the batch, by step."""
    selected, opened, output = read.selected.at([place]), picture.opened, read.outcome.output[place]
    pipeline.check_numbers(opened.view, output, selected.maps[0])
    seconds, head, exit_ = picture.seconds | shares, pipeline.head, read.outcome.exits[place]
    row = pipeline.row(opened, read.outcome, place, sum(seconds.values()))
    return Explanation(
        picture=picture.picture,
        row=replace(row, labels=head.picture_labels(output), boxes=head.boxes(output, opened.view)),
        view=opened.view,
        scores=selected.maps[0],
        order=tuple(selected.order[0].tolist()),
        seconds=seconds,
        survivors=None if read.survivors is None else tuple(read.survivors[place].tolist()),
        looks=() if exit_ is None else pipeline.strategy.stage_cells(opened.view.grid)[:exit_],
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
