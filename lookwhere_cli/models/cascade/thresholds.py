"""Thresholds of a cascade for a budget, from how sure its exits are of calibration pictures.

After "Not All Images are Worth 16x16 Words", arXiv 2105.15075; its search for p stops at 3, ours has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from lookwhere_cli.models.cascade.stages import exits_of

LEAST = 10
"""Calibration pictures for each exit; with fewer, the thresholds would be those of single pictures."""
_WIDEST = 100.0  # |log p|: beyond it, all shares but one are 0 in double precision
_HALVINGS = 100


@dataclass(frozen=True)
class Calibrated:
    """Thresholds for all exits but the last, and what they came to on the calibration pictures."""

    thresholds: tuple[float, ...]
    shares: tuple[float, ...]
    """Of the calibration pictures, that left at each exit."""
    cost: float
    """The calibration pictures' average, in the unit of the costs."""


def calibrate(confidences: Float[Tensor, "exits pictures"], costs: Sequence[float], budget: float) -> Calibrated:
    """Thresholds whose average cost is `budget`, to within a picture for each exit.

    confidences: 0..1, of all exits for all calibration pictures; costs: what a picture that leaves at an exit has cost
    by then, all stages before included, in any unit, the budget's. The exits' shares of the pictures go like p, p^2,
    p^3, ...; pictures that are as sure as a threshold's own leave with it.
    Raises ValueError for a budget that is not between the first exit's cost and the last's, and for too few pictures.
    """
    _check(confidences, costs, budget)
    thresholds = _quantiles(confidences, _shares_for(costs, budget))
    exits = exits_of(confidences, thresholds)
    shares = torch.bincount(exits, minlength=len(costs)).double() / len(exits)
    return Calibrated(thresholds, tuple(shares.tolist()), _mean(shares.tolist(), costs))


def _quantiles(confidences: Float[Tensor, "exits pictures"], shares: Sequence[float]) -> tuple[float, ...]:
    """Exit by exit: the confidence of the least sure of those that make up its share of all pictures."""
    thresholds = []
    count = confidences.shape[1]
    going = torch.arange(count, device=confidences.device)
    for sure, share in zip(confidences[:-1], shares, strict=False):
        leaving = min(math.floor(share * count + 1e-6), len(going))  # a share solved for is not exact
        ordered = sure[going].sort(descending=True).values
        thresholds.append(ordered[leaving - 1].item() if leaving else math.inf)
        going = going[sure[going] < thresholds[-1]]
    return tuple(thresholds)


def _shares_for(costs: Sequence[float], budget: float) -> list[float]:
    """The shares p, p^2, p^3, ..., normalised, of that mean cost, which rises with p: by bisection over log p."""
    low, high = -_WIDEST, _WIDEST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean(_shares(middle, len(costs)), costs) < budget else (low, middle)
    return _shares(high, len(costs))


def _shares(log_p: float, exits: int) -> list[float]:
    most = max(0.0, log_p * (exits - 1))  # so that nothing overflows
    weights = [math.exp(log_p * exit - most) for exit in range(exits)]
    return [weight / sum(weights) for weight in weights]


def _mean(shares: Sequence[float], costs: Sequence[float]) -> float:
    return sum(share * cost for share, cost in zip(shares, costs, strict=True))


def _check(confidences: Float[Tensor, "exits pictures"], costs: Sequence[float], budget: float) -> None:
    exits, pictures = confidences.shape
    if exits < 2 or exits != len(costs):
        raise ValueError(f"{exits} exits have confidences and {len(costs)} have costs; it must be the same two or more")
    if not all(cheaper < dearer for cheaper, dearer in pairwise(costs)):
        raise ValueError(f"the exits' costs are {list(costs)}; each must be above the one before")
    if not costs[0] < budget < costs[-1]:
        raise ValueError(
            f"a budget of {budget:g} can't be met: the first exit costs {costs[0]:g} and the last {costs[-1]:g}, "
            "and an average must lie between them"
        )
    if pictures < LEAST * exits:
        raise ValueError(
            f"{pictures} calibration pictures are too few for {exits} exits; there must be at least {LEAST * exits}"
        )
    if not bool(((confidences >= 0) & (confidences <= 1)).all()):
        raise ValueError("some confidences are not between 0 and 1; the model may have diverged")
