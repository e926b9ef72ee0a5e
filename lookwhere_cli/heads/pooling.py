"""How the results of a picture's windows become the result of the whole picture."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.detections import Detections
from lookwhere_cli.heads.base import Head
from lookwhere_cli.heads.merge_windows import Place, merge_windows
from lookwhere_cli.output.rows import Label, Row


class Pool(Protocol):
    """Collects the results of windows, in the picture's full-resolution pixels."""

    def add(self, result: Any, place: Place) -> None:
        """Add the result of a window."""
        ...

    def finish(self, size: tuple[int, int]) -> Any:
        """Return the result of the whole picture of this (height, width), in the form that the head's `decode` has."""
        ...

    def state(self) -> str:
        """Return what was collected as text, so that `restore` can go on; empty if rows of windows have all of it."""
        ...

    def restore(self, state: str) -> None:
        """Take up what another pool of the same head had collected."""
        ...


@runtime_checkable
class WindowHead(Head, Protocol):
    """A head whose results of windows make a result of the whole picture."""

    def moved(self, result: Any, right: int, down: int) -> Any:
        """Return the result of a window that lies this many pixels right and down of the picture's corner."""
        ...

    def result_of(self, row: Row) -> Any:
        """Return the result that a window's row tells; None if it does not tell all that is pooled."""
        ...

    def pool(self) -> Pool:
        """Return a new, empty pool. Raises UsageError if the head finds what can't be pooled."""
        ...


class LabelPool:
    """The labels of a picture from those of its windows.

    One label to a picture: the mean of the windows' probabilities, each weighted by the area that holds something.
    Several labels to a picture: the probability of a label is the highest of any window, because what is in one window
    is in the picture.
    """

    def __init__(
        self, name: Callable[[Float32[ndarray, "batch labels"]], list[tuple[Label, ...]]], is_multi_label: bool
    ) -> None:
        self._name, self._is_multi_label = name, is_multi_label
        self._sum: NDArray[np.float64] | None = None
        self._weight = 0.0

    def add(self, result: Any, place: Place) -> None:
        """Add the probabilities of a window."""
        left, top, right, bottom = place.box
        weight = 1.0 if self._is_multi_label else (right - left) * (bottom - top) * place.content
        values = result.probabilities.astype(np.float64)
        if self._sum is None:
            self._sum = np.zeros_like(values)
        self._sum = np.maximum(self._sum, values) if self._is_multi_label else self._sum + weight * values
        self._weight += weight

    def finish(self, size: tuple[int, int]) -> tuple[Label, ...]:
        """Return the most probable labels, best first; none if there was no window."""
        if self._sum is None or not self._weight:
            return ()
        pooled = self._sum if self._is_multi_label else self._sum / self._weight
        return self._name(pooled[None].astype(np.float32))[0]

    def state(self) -> str:
        """Return the sum of probabilities and of weights."""
        if self._sum is None:
            return ""
        return base64.b64encode(np.append(self._sum, self._weight).tobytes()).decode()

    def restore(self, state: str) -> None:
        """Take up a sum."""
        if state:
            values = np.frombuffer(base64.b64decode(state), np.float64)
            self._sum, self._weight = values[:-1].copy(), float(values[-1])


class BoxPool:
    """The boxes of a picture from those of its windows, merged where windows overlap; see `merge_windows`.

    labels: the names of all of the model's classes. iou: overlap above which two boxes of a class are one thing.
    finished: makes the head's result of the merged boxes, and of whether a window had more than the limit.
    """

    def __init__(self, labels: tuple[str, ...], iou: float, finished: Callable[[Detections, bool], Any]) -> None:
        self._labels, self._iou, self._finished = labels, iou, finished
        self._found: list[tuple[Detections, Place]] = []
        self._is_cut = False

    def add(self, result: Any, place: Place) -> None:
        """Add the boxes of a window."""
        self._is_cut |= result.is_cut
        if len(result.detections):
            self._found.append((result.detections, place))

    def finish(self, size: tuple[int, int]) -> Any:
        """Return the boxes of the whole picture, best first."""
        found: Sequence[Detections] = [one for one, _ in self._found]
        if not found:
            return self._finished(Detections.none(self._labels), self._is_cut)
        merged = merge_windows(found, [place for _, place in self._found], size, self._iou)
        return self._finished(merged, self._is_cut)

    def state(self) -> str:
        """Return nothing: rows of windows have their boxes."""
        return ""

    def restore(self, state: str) -> None:
        """Do nothing."""
