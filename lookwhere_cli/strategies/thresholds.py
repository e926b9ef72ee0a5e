"""Thresholds of a cascade for a budget, from the stages' confidence in calibration pictures.

After "Not All Images are Worth 16x16 Words", arXiv 2105.15075; its search for p stops at 3, ours has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lookwhere_cli.strategies.stages import stages_reached

LEAST_PICTURES = 10
"""Calibration pictures for each stage; with fewer, thresholds would depend on single pictures."""
_WIDEST = 100.0  # |log p|: beyond it, all shares but one are 0 in double precision
_HALVINGS = 100


@dataclass(frozen=True)
class Thresholds:
    """Thresholds for all stages but the last, and what they come to on the calibration pictures.

    shares: share of the pictures that leaves at each stage. cost: mean cost per picture, in the unit of the costs.
    """

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    cost: float


def find_thresholds(
    confidences: Float[ndarray, "stages pictures"], costs: Sequence[float], budget: float
) -> Thresholds:
    """Find thresholds with the mean cost `budget`, to within one picture per stage.

    confidences: 0..1. costs: of a picture that leaves at each stage, earlier stages included, in any unit, the
    budget's too. The stages' shares of the pictures are in the ratio p, p^2, p^3, ...; pictures with the same
    confidence as the threshold leave with it.
    Raises ValueError for a budget outside of the costs' range, and for too few pictures.
    """
    _check(confidences, costs, budget)
    thresholds = _quantiles(confidences, _shares_for(costs, budget))
    reached = stages_reached(confidences, thresholds)
    shares = np.bincount(reached, minlength=len(costs)) / len(reached)
    return Thresholds(thresholds, tuple(shares.tolist()), _mean(shares.tolist(), costs))


def _quantiles(confidences: Float[ndarray, "stages pictures"], shares: Sequence[float]) -> tuple[float, ...]:
    """Return, stage by stage, the lowest confidence among the pictures that make up its share."""
    thresholds: list[float] = []
    count = confidences.shape[1]
    remaining = np.arange(count)
    for confidence, share in zip(confidences[:-1], shares, strict=False):
        leaving = min(math.floor(share * count + 1e-6), len(remaining))  # a share that was solved for is not exact
        ordered = np.sort(confidence[remaining])[::-1]
        thresholds.append(float(ordered[leaving - 1]) if leaving else math.inf)
        remaining = remaining[confidence[remaining] < thresholds[-1]]
    return tuple(thresholds)


def _shares_for(costs: Sequence[float], budget: float) -> list[float]:
    """Find the normalised shares p, p^2, p^3, ... with that mean cost, which rises with p: bisection over log p."""
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(_shares(middle, len(costs)), costs) < budget else (low, middle)
    return _shares(high, len(costs))


def _shares(log_p: float, stages: int) -> list[float]:
    most = max(0.0, log_p * (stages - 1))  # so that nothing overflows
    weights = [math.exp(log_p * stage - most) for stage in range(stages)]
    return [weight / sum(weights) for weight in weights]


def _mean(shares: Sequence[float], costs: Sequence[float]) -> float:
    return sum(share * cost for share, cost in zip(shares, costs, strict=True))


def _check(confidences: Float[ndarray, "stages pictures"], costs: Sequence[float], budget: float) -> None:
    stages, pictures = confidences.shape
    if stages < 2 or stages != len(costs):
        raise ValueError(
            f"{stages} stages have confidences and {len(costs)} have costs; there must be two or more, as many of each"
        )
    if not all(lower < higher for lower, higher in pairwise(costs)):
        raise ValueError(f"the stages' costs are {list(costs)}; each must be above the one before")
    if not costs[0] < budget < costs[-1]:
        raise ValueError(
            f"a budget of {budget:g} can't be met: the first stage costs {costs[0]:g} and the last {costs[-1]:g}, "
            "and the mean must lie between them"
        )
    if pictures < LEAST_PICTURES * stages:
        raise ValueError(
            f"{stages} stages need at least {LEAST_PICTURES * stages} calibration pictures, and there "
            f"{'is' if pictures == 1 else 'are'} {pictures}"
        )
    if not bool(((confidences >= 0) & (confidences <= 1)).all()):
        raise ValueError("some confidences are not between 0 and 1; the model may have diverged")
