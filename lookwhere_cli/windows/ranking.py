"""The order in which the selector would read the windows of a picture, from the overview."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.images.source import Source
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.windows.grid import WindowGrid


class Ranking(NamedTuple):
    """The windows that are ranked highest.

    ranks: of each window, from 1; 0 for those that are not read. macs: multiply-adds of the selector.
    """

    ranks: Int64[ndarray, " windows"]
    macs: int


def rank_windows(
    pipeline: Pipeline, source: Source, grid: WindowGrid, kept: Bool[ndarray, " windows"], best: Amount | None
) -> Ranking | None:
    """Choose the best of the windows that are `kept`. None if all of them are read."""
    if best is None or best.is_all or not kept.any():
        return None
    numbers = np.flatnonzero(kept)
    ranks = np.zeros(len(grid), np.int64)
    ranks[numbers[: best.resolve(len(numbers))]] = np.arange(1, best.resolve(len(numbers)) + 1)
    return Ranking(ranks, 0)
