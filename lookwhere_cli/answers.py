"""What a predictor gives beside rows: the view that a picture was read through, features, explanations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lookwhere_cli.images.view import View
from lookwhere_cli.output.rows import Label, Row


class Answer(NamedTuple):
    """A picture's row, and the view that it was read through; none for a picture that can't be read."""

    row: Row
    view: View | None


class Features(NamedTuple):
    """A picture's row, without labels, and what the model made of it, all float32; None for one that can't be read.

    cls: (dim,), the image's token. dense: (rows, columns, dim), a token for each cell, where asked for.
    scores: (rows, columns), the selector's map.
    """

    row: Row
    cls: NDArray[np.float32] | None = None
    dense: NDArray[np.float32] | None = None
    scores: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Explanation:
    """What lies behind a row.

    scores: (rows, columns) float32, the selector's map; what is higher is looked at first.
    order: all cells, row * columns + column, best first; the row's are the first k of them.
    seconds: wall time by stage: open, thumbnail, select, patches, extract.
    predictions, macs: labels and multiply-adds by number of cells read, for several of them, the row's k among them.
    left: of the row's cells, those that a model which prunes has never dropped, best first; None for any other.
    looks: where it was looked until the answer was sure, how many cells had been read after each look.
    """

    row: Row
    view: View
    scores: NDArray[np.float32]
    order: tuple[int, ...]
    seconds: dict[str, float]
    predictions: dict[int, tuple[Label, ...]]
    macs: dict[int, int]
    left: tuple[int, ...] | None = None
    looks: tuple[int, ...] = ()


class Laps:
    """Wall time from one call of `end` to the next, with what the device still computes."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._started = time.perf_counter()

    def end(self, stage: str) -> None:
        """What has passed since the last stage ended was this one."""
        if self._device.type != "cpu":
            torch.accelerator.synchronize(self._device)
        now = time.perf_counter()
        self.seconds[stage], self._started = now - self._started, now
