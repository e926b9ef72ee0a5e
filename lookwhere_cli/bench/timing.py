"""Wall time of several things in turn, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

TURN = 1.0  # seconds of each in a round: short runs are judged by several laps, not by the one after a long run


def alternate(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each run over some rounds, in each of which all have a turn; a lap before is not counted."""
    laps: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            laps[name] += _turn(run)
    return {name: median(seconds) for name, seconds in laps.items()}


def _turn(run: Callable[[], object]) -> list[float]:
    """The seconds of one lap, and of as many more as a turn holds."""
    laps: list[float] = []
    while not laps or sum(laps) < TURN:
        started = time.perf_counter()
        run()
        laps.append(time.perf_counter() - started)
    return laps
