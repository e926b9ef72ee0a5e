"""Frozen features of pictures, to train heads on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.features import Features
from lookwhere_cli.images.names import picture_name
from lookwhere_cli.images.view import Picture
from lookwhere_cli.models.spread import spread
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.strategies.base import Batch, FeatureStrategy, Outcome, Selected, SparingStrategy
from lookwhere_cli.stream import Cutter


class _Begun(NamedTuple):
    selected: Selected
    patches: Cutter.Pending
    seconds: float


def compute_features(pipeline: Pipeline, pictures: Iterable[Picture], dense: bool) -> Iterator[Features]:
    """Yield the features of each picture, in order: one token for all of it or, dense, one for each cell.

    Raises ModelError for a strategy that reads pictures to different depths, UsageError for dense features of a model
    that drops tokens and also reads a coarse thumbnail.
    """
    strategy = pipeline.strategy
    if not isinstance(strategy, FeatureStrategy):
        raise pipeline.refusal("features")
    if dense and pipeline.reader.reading.coarse_size and pipeline.config.drops:
        raise UsageError("A model that drops tokens has no dense features with --coarse; leave --coarse out.")
    return _Extraction(pipeline, strategy, dense).run(pictures)


class _Extraction:
    """One pass over pictures."""

    def __init__(self, pipeline: Pipeline, strategy: FeatureStrategy, dense: bool) -> None:
        self._pipeline, self._strategy, self._dense = pipeline, strategy, dense
        # a token for every place takes all coarse patches
        self._config = replace(pipeline.config, coarse_patches="all") if dense else pipeline.config

    def run(self, pictures: Iterable[Picture]) -> Iterator[Features]:
        """Yield each picture's features."""
        with closing(Cutter(self._pipeline.options.workers)) as self._cutter:
            yield from self._pipeline.run(pictures, self._begin, self._finish, _failed)

    def _begin(self, batch: Batch) -> _Begun:
        started = time.perf_counter()
        selected = self._strategy.select(self._pipeline.runtime, batch)
        patches = self._cutter.start([picture.view for picture in batch.pictures], selected.order)
        return _Begun(selected, patches, time.perf_counter() - started)

    def _finish(self, begun: _Begun) -> list[Features]:
        started = time.perf_counter()
        selected, runtime = begun.selected, self._pipeline.runtime
        chosen = selected.choose(begun.patches(), self._config)
        grid, count = selected.batch.grid, len(selected.order)
        if self._dense:
            tokens, cells = runtime.tokens(chosen)
            output = spread(tokens, cells, grid).reshape(count, *grid, -1)
        else:
            output = runtime.pool(chosen)
        macs = [self._strategy.features_macs(grid, self._dense)] * count
        outcome = Outcome(output, list(selected.order), [grid] * count, macs, [None] * count)
        if isinstance(self._strategy, SparingStrategy):
            outcome = self._strategy.spare(selected, outcome)
        share = (begun.seconds + time.perf_counter() - started) / count
        for place, picture in enumerate(selected.batch.pictures):
            self._pipeline.check_numbers(picture.view, output[place], selected.maps[place])
        return [
            self._features(self._row(picture, outcome, place, share), output[place], selected.maps[place])
            for place, picture in enumerate(selected.batch.pictures)
        ]

    def _row(self, picture: OpenedPicture, outcome: Outcome, place: int, seconds: float) -> Row:
        """Return the picture's row. Dense features are made of all coarse patches."""
        row = self._pipeline.row(picture, outcome, place, seconds)
        grid = self._pipeline.reader.coarse_grid(picture.view.grid)
        return replace(row, coarse=grid, coarse_k=grid and math.prod(grid)) if self._dense else row

    def _features(self, row: Row, output: np.ndarray, scores: np.ndarray) -> Features:
        return Features(row, None if self._dense else output, output if self._dense else None, scores)


def _failed(picture: Picture, sentence: str) -> Features:
    return Features(Row(picture_name(picture), error=sentence))
