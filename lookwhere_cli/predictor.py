"""The main line: open a picture, select, choose cells, cut their patches, extract, answer, write a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Unpack, overload

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.detections import Detections
from lookwhere_cli.explain import Explanation, explain
from lookwhere_cli.features import compute_features
from lookwhere_cli.heads.features import Features
from lookwhere_cli.images.view import Picture, is_picture, one_or_several
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Answer, Pipeline, failed_answer
from lookwhere_cli.strategies.base import Batch, Selected
from lookwhere_cli.stream import Cutter
from lookwhere_cli.windows.options import WindowChanges, WindowOptions
from lookwhere_cli.windows.picture import window_rows


class Begun(NamedTuple):
    """A batch whose patches are being cut. seconds: wall time so far."""

    selected: Selected
    patches: Callable[[], NDArray[np.uint8]]
    seconds: float


class Predictor:
    """A model and how it is used; `lookwhere_cli.load` makes one.

    Its pipeline has a runtime (what computes), a strategy (which cells are read), and a head (what the output means).
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.config, self.info = pipeline.config, pipeline.info

    @overload
    def classify(self, pictures: Picture) -> Row: ...  # type: ignore[overload-overlap] # a str is a path first
    @overload
    def classify(self, pictures: Iterable[Picture]) -> Iterator[Row]: ...
    def classify(self, pictures: Picture | Iterable[Picture]) -> Row | Iterator[Row]:
        """Return a row for one picture; for several, an iterator of rows in their order.

        A picture that can't be read gives a row with `error`. Raises ModelError for a model that does not classify,
        UsageError for a value that is neither a picture nor several.
        """
        if is_picture(pictures):
            return next(self.label([pictures])).row
        return (answer.row for answer in self.label(pictures))

    @overload
    def detect(self, pictures: Picture) -> Detections | None: ...  # type: ignore[overload-overlap] # as above
    @overload
    def detect(self, pictures: Iterable[Picture]) -> Iterator[Detections | None]: ...
    def detect(self, pictures: Picture | Iterable[Picture]) -> Detections | Iterator[Detections | None] | None:
        """Return the boxes in one picture; for several, an iterator in their order. None for one that can't be read.

        Raises ModelError for a model that finds no boxes. `answers` also tells why a picture failed.
        """
        self.pipeline.head.check("detect", self.info.name)
        if is_picture(pictures):
            return next(self.detect(iter([pictures])))
        answers = self.answers(one_or_several(pictures))
        return (None if answer.result is None else answer.result.detections for answer in answers)

    def label(self, pictures: Picture | Iterable[Picture]) -> Iterator[Answer]:
        """Return an iterator of the rows of `classify`, each with its view. Raises as `classify` does, at once."""
        return self.labelling().answers(one_or_several(pictures))

    def labelling(self) -> Predictor:
        """Return the predictor that labels pictures as a whole. Raises ModelError for a model that does not."""
        head = self.pipeline.head
        head.check("classify", self.info.name)
        return self if head.labeller is head else Predictor(replace(self.pipeline, head=head.labeller))

    def answers(self, pictures: Iterable[Picture]) -> Iterator[Answer]:
        """Yield each picture's row, view and result, in order; of one that can't be read, a row with `error`."""
        with closing(Cutter(self.pipeline.options.workers)) as cutter:
            begin, finish = partial(self._begin, cutter), partial(self._finish, cutter)
            with closing(self.pipeline.run(pictures, begin, finish, failed_answer)) as answers:
                yield from map(self._decode, answers)

    def windows(self, picture: Picture, **options: Unpack[WindowChanges]) -> Iterator[Row]:
        """Read a picture window by window: yield the row of each window, which has `window`, then that of the whole.

        options: fields of `WindowOptions`: window=1024, overlap=0.2, best="20%". A window that can't be read has a row
        with `error`. Raises PictureError if the picture can't be opened, UsageError for impossible options.
        """
        return window_rows(self, picture, WindowOptions(**options))  # type: ignore[arg-type] # it reads these forms

    def features(self, pictures: Picture | Iterable[Picture], dense: bool = False) -> Iterator[Features]:
        """Yield the features of each picture, in order: one token for all of it or, dense, one for each cell.

        Raises UsageError or ModelError for a model whose features can't be compared.
        """
        return compute_features(self.pipeline, one_or_several(pictures), dense)

    def explain(self, picture: Picture) -> Explanation:
        """Answer one picture, and keep what lies behind its row.

        Raises PictureError, and ModelError for a model that does not choose cells.
        """
        return explain(self.pipeline, picture)

    def _begin(self, cutter: Cutter, batch: Batch) -> Begun:
        """Run the selector, and begin to cut the cells that were chosen."""
        started = time.perf_counter()
        selected = self.pipeline.strategy.select(self.pipeline.runtime, batch)
        views = [picture.view for picture in batch.pictures]
        patches = cutter.start(views, selected.order[:, : selected.first])
        return Begun(selected, patches, time.perf_counter() - started)

    def _finish(self, cutter: Cutter, begun: Begun) -> list[Answer]:
        """Run the extractor, and write the rows."""
        started = time.perf_counter()
        pictures = begun.selected.batch.pictures
        outcome = self.pipeline.strategy.answer(
            self.pipeline.runtime,
            begun.selected,
            begun.patches(),
            lambda places, cells: cutter.cut([pictures[place].view for place in places], cells),
        )
        share = (begun.seconds + time.perf_counter() - started) / len(pictures)
        for place, picture in enumerate(pictures):
            self.pipeline.check_numbers(picture.view, outcome.output[place], begun.selected.selection.map[place])
        return [
            Answer(self.pipeline.row(picture, outcome, place, share), picture.view, outcome.output[place])
            for place, picture in enumerate(pictures)
        ]

    def _decode(self, answer: Answer) -> Answer:
        """Let the head turn the output into a result, as late as possible: a mask is larger than its scores."""
        if answer.view is None:
            return answer
        started = time.perf_counter()
        result = self.pipeline.head.decode(answer.result, answer.view)
        fields, seconds = self.pipeline.head.row_fields(result), time.perf_counter() - started
        macs = answer.row.macs + fields.pop("macs", 0)
        row = replace(answer.row, seconds=answer.row.seconds + seconds, macs=macs).noted(fields.pop("note", None))
        return Answer(replace(row, **fields), answer.view, result)
