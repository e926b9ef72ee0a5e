"""95 % intervals: Wilson's for a share of pictures, the bootstrap over pictures for all else."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

RESAMPLES, SEED = 1000, 0
TAIL = 2.5  # per cent below and above a 95 % interval
Z = 1.959964  # standard deviations
_HELD = 1 << 24  # numbers held at once


class Score(NamedTuple):
    """A figure, 0..1, and the 95 % interval that it lies in, where it has one."""

    value: float
    low: float | None = None
    high: float | None = None


def wilson(right: int, count: int) -> Score:
    """The share of `count` pictures that are right, with Wilson's interval."""
    share = right / count
    shrunk = 1 + Z * Z / count
    middle = (share + Z * Z / (2 * count)) / shrunk
    half = Z / shrunk * (share * (1 - share) / count + Z * Z / (4 * count * count)) ** 0.5
    return Score(share, max(0.0, middle - half), min(1.0, middle + half))


def resamples(pictures: int) -> Int[ndarray, "resamples pictures"]:
    """How often each picture is drawn in each of 1000 resamples; the same ones for every row of a table."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=RESAMPLES)


def between(value: float, resampled: Float[ndarray, " resamples"]) -> Score:
    """The figure with the middle 95 % of what it is in the resamples; those where it is not defined are left out."""
    defined = resampled[np.isfinite(resampled)]
    low, high = np.percentile(defined, (TAIL, 100 - TAIL)) if defined.size else (value, value)
    return Score(value, float(low), float(high))


def average_precisions(
    scores: Float[ndarray, " pictures"], truth: Bool[ndarray, " pictures"], times: Int[ndarray, "resamples pictures"]
) -> Float[ndarray, " resamples"]:
    """One class's average precision where each picture counts as often as `times` says; NaN without a true one.

    The sum over thresholds of precision times what recall rises by there: scikit-learn's and torchmetrics' definition.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(
        np.diff(scores[order]) != 0, True
    )  # of those that share a score, which one threshold takes together
    chunk = max(1, _HELD // max(1, len(scores)))
    parts = [
        _average_precisions(truth[order], times[start : start + chunk, order], last)
        for start in range(0, len(times), chunk)
    ]
    return np.concatenate(parts)


def _average_precisions(
    truth: Bool[ndarray, " pictures"], times: Int[ndarray, "resamples pictures"], last: Bool[ndarray, " pictures"]
) -> Float[ndarray, " resamples"]:
    found = np.cumsum(times * truth, axis=1)[:, last]
    taken = np.cumsum(times, axis=1)[:, last]
    precision = found / np.maximum(taken, 1)
    rises = np.diff(found, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        return (precision * rises).sum(axis=1) / found[:, -1]
