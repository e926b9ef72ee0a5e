"""Where the windows of a picture lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.images.frame import Box

Slices = tuple[slice, slice]
"""Rows and columns of windows."""


@dataclass(frozen=True)
class WindowGrid:
    """All windows of a picture, row by row, numbered from 0.

    size: the picture's (height, width) in full-resolution pixels. shape: that of a window, in whole pixels; it is never
    larger than the picture. overlap: share of a window that the next one shows, too.
    """

    size: tuple[int, int]
    shape: tuple[int, int]
    overlap: float = 0.0

    @cached_property
    def tops(self) -> Int64[ndarray, " rows"]:
        """The top of each row of windows; the last one ends with the picture."""
        return _starts(self.size[0], self.shape[0], self.overlap)

    @cached_property
    def lefts(self) -> Int64[ndarray, " columns"]:
        """The left of each column of windows; the last one ends with the picture."""
        return _starts(self.size[1], self.shape[1], self.overlap)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def box(self, number: int) -> Box:
        """Return a window's left, top, right, bottom."""
        row, column = divmod(number, len(self.lefts))
        left, top = int(self.lefts[column]), int(self.tops[row])
        return left, top, left + self.shape[1], top + self.shape[0]

    def cores(self) -> tuple[Float64[ndarray, " rows_1"], Float64[ndarray, " columns_1"]]:
        """Return the edges, down and across, that divide the picture among the windows.

        The core of a window is where it is the one whose middle is nearest: cores do not overlap and leave nothing out.
        """
        return _edges(self.tops, self.shape[0], self.size[0]), _edges(self.lefts, self.shape[1], self.size[1])

    def blocks(self, rows: int, columns: int) -> Iterator[Slices]:
        """Yield slices of at most this many rows and columns of windows, which together are all of them."""
        for row in range(0, len(self.tops), rows):
            for column in range(0, len(self.lefts), columns):
                end = min(row + rows, len(self.tops)), min(column + columns, len(self.lefts))
                yield slice(row, end[0]), slice(column, end[1])

    def around(self, block: Slices) -> Box:
        """Return the box around the windows of a block."""
        rows, columns = block
        return (
            int(self.lefts[columns.start]),
            int(self.tops[rows.start]),
            int(self.lefts[columns.stop - 1]) + self.shape[1],
            int(self.tops[rows.stop - 1]) + self.shape[0],
        )


def _starts(length: int, side: int, overlap: float) -> Int64[ndarray, " starts"]:
    step = max(1, round(side * (1 - overlap)))
    last = max(0, length - side)
    return np.array([*range(0, last, step), last], dtype=np.int64)


def _edges(starts: NDArray[np.int64], side: int, length: int) -> NDArray[np.float64]:
    between = (starts[:-1] + starts[1:] + side) / 2
    return np.concatenate(([0.0], between, [float(length)]))
