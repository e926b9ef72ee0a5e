"""Wall time of several functions in turn, so that other load on the machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

TURN = 1.0  # seconds of a function's turn in a round: short functions are measured by several calls in a row


def alternate(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each function over rounds in which all take turns; a first call is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name] += _turn(function)
    return {name: median(measured) for name, measured in seconds.items()}


def _turn(function: Callable[[], object]) -> list[float]:
    """Call the function until its turn is over, at least once; return the seconds of each call."""
    seconds: list[float] = []
    while not seconds or sum(seconds) < TURN:
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return seconds
