"""Windows in reading order, of which an earlier run has finished some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from lookwhere_cli.windows.plan import Window, WindowPlan

T = TypeVar("T")


def missing_windows(plan: WindowPlan, finished: Int64[ndarray, " finished"]) -> Bool[ndarray, " windows"]:
    """Return which windows of a plan an earlier run has not finished. finished: numbers of those that it has."""
    return ~np.isin(plan.numbers, finished)


def in_order(
    plan: WindowPlan,
    missing: Bool[ndarray, " windows"],
    finished: Callable[[Window], T],
    computed: Iterable[T],
) -> Iterator[T]:
    """Yield what is known of each window of a plan, in reading order.

    missing: which windows are computed; `computed` yields these, in order, and `finished` returns any other one.
    """
    new = iter(computed)
    for window, is_missing in zip(plan.windows, missing.tolist(), strict=True):
        yield next(new) if is_missing else finished(window)
