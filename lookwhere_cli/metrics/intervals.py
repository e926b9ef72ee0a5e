"""95 % confidence intervals: Wilson's for a share of pictures, the bootstrap over pictures for every other score."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

RESAMPLES, SEED = 1000, 0
TAIL = 2.5  # per cent on either side of a 95 % interval
Z = 1.959964  # standard deviations on either side of it
_CHUNK = 1 << 24  # numbers that are held in memory at once


class Score(NamedTuple):
    """A score, usually in 0..1, with the bounds of its 95 % interval; None for a score without an interval."""

    value: float
    low: float | None = None
    high: float | None = None


def wilson(correct: int, count: int) -> Score:
    """Return the share of `count` pictures (at least 1) that are correct, with Wilson's interval."""
    share = correct / count
    scale = 1 + Z * Z / count
    centre = (share + Z * Z / (2 * count)) / scale
    half = Z / scale * (share * (1 - share) / count + Z * Z / (4 * count * count)) ** 0.5
    return Score(share, max(0.0, centre - half), min(1.0, centre + half))


def draw_resamples(pictures: int) -> Int[ndarray, "resamples pictures"]:
    """Return how often each picture is drawn in each of 1000 bootstrap resamples; always the same for a number."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(pictures, np.full(pictures, 1 / pictures), size=RESAMPLES)


def percentile_interval(value: float, resampled: Float[ndarray, " resamples"]) -> Score:
    """Return a score with the middle 95 % of its values in the resamples; undefined values (NaN) are left out."""
    defined = resampled[np.isfinite(resampled)]
    low, high = np.percentile(defined, (TAIL, 100 - TAIL)) if defined.size else (value, value)
    return Score(value, float(low), float(high))


def average_precisions(
    scores: Float[ndarray, " pictures"], truth: Bool[ndarray, " pictures"], draws: Int[ndarray, "resamples pictures"]
) -> Float[ndarray, " resamples"]:
    """Return a class's average precision in each resample, 0..1; NaN for one without a picture of the class.

    Average precision is the sum, over thresholds, of precision times the rise of recall, as in scikit-learn and
    torchmetrics. draws: how often each picture is drawn.
    """
    order = np.argsort(-scores, kind="stable")
    # Pictures of one score fall below a threshold together: only the last of them makes a point of the curve.
    is_last = np.append(np.diff(scores[order]) != 0, True)
    step = max(1, _CHUNK // max(1, len(scores)))
    chunks = [
        _average_precisions(truth[order], draws[start : start + step, order], is_last)
        for start in range(0, len(draws), step)
    ]
    return np.concatenate(chunks)


def _average_precisions(
    truth: Bool[ndarray, " pictures"], draws: Int[ndarray, "resamples pictures"], is_last: Bool[ndarray, " pictures"]
) -> Float[ndarray, " resamples"]:
    """Do the same for pictures that are sorted by score, highest first."""
    true_positives = np.cumsum(draws * truth, axis=1)[:, is_last]
    positives = np.cumsum(draws, axis=1)[:, is_last]
    precision = true_positives / np.maximum(positives, 1)
    rises = np.diff(true_positives, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        return (precision * rises).sum(axis=1) / true_positives[:, -1]
