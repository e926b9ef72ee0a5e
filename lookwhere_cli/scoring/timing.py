"""How long a pipeline takes for one picture, alone in its batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.images.view import View
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.strategies.base import Batch, ChoosingStrategy

LAPS = 2  # measurements of each picture
Lap = Callable[[str], float]
"""Returns the seconds that answering the picture at a path takes."""


def answer_seconds(pipeline: Pipeline, path: str) -> float:
    """Return the seconds from an opened picture to its result: thumbnail, selector, patches, extractor, decoding."""
    view = pipeline.reader.open(path)

    def cut(_: Sequence[int], cells: Int64[ndarray, "pictures k"]) -> NDArray[np.uint8]:
        """Cut cells, (pictures, k), of the one picture."""
        return np.stack([view.patches(one) for one in cells])

    started = time.perf_counter()
    opened = OpenedPicture(view, _thumbnail(pipeline, view), pipeline.reader.coarse_thumbnail(view), 0.0)
    selected = pipeline.strategy.select(pipeline.runtime, Batch([opened], view.grid))
    patches = cut([0], selected.order[:, : selected.first])
    outcome = pipeline.strategy.answer(pipeline.runtime, selected, patches, cut)
    pipeline.head.decode(outcome.output[0], view)
    return time.perf_counter() - started


def open_seconds(pipeline: Pipeline, path: str) -> float:
    """Return the seconds that opening and decoding a picture takes."""
    started = time.perf_counter()
    pipeline.reader.open(path)
    return time.perf_counter() - started


def median_seconds(laps: Sequence[Lap | None], paths: Iterable[str]) -> list[float | None]:
    """Return the median of each lap over the pictures; None for None, and without pictures.

    All laps take turns at each picture, so that other load on the machine slows all of them alike. The first call of
    each warms up and is not counted.
    """
    seconds: list[list[float]] = [[] for _ in laps]
    for number, path in enumerate(paths):
        for _ in range(LAPS + (number == 0)):
            for lap, measured in zip(laps, seconds, strict=True):
                if lap is not None:
                    measured.append(lap(path))
    return [median(measured[1:]) if measured else None for measured in seconds]


def sample_evenly(paths: Sequence[str], count: int) -> list[str]:
    """Return `count` of the paths, at even distances; all of them if there are fewer."""
    count = min(count, len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def _thumbnail(pipeline: Pipeline, view: View) -> NDArray[Any]:
    """Resize the thumbnail; a blank patch stands for it if cells are chosen without a selector that would read it."""
    if pipeline.config.has_selector or not isinstance(pipeline.strategy, ChoosingStrategy):
        return pipeline.reader.thumbnail(view)
    return np.zeros((pipeline.config.patch, pipeline.config.patch, 3), np.uint8)
