"""Thresholds for a budget."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookwhere_cli.probabilities import confidence
from lookwhere_cli.strategies.stages import decide, stages_reached
from lookwhere_cli.strategies.thresholds import LEAST_PICTURES, find_thresholds
from tests.strategies.test_stages import everybody, tables

COSTS = (1.0, 3.0, 7.0)


def confidences(pictures: int, stages: int = 3, seed: int = 0) -> NDArray[np.float64]:
    """All different, so that a threshold parts the pictures at the place asked for."""
    rng = np.random.default_rng(seed)
    return (np.stack([rng.permutation(pictures) for _ in range(stages)]) + 1) / (pictures + 1)


@settings(deadline=None, max_examples=40)
@given(
    pictures=st.integers(3 * LEAST_PICTURES, 300),
    share=st.floats(0.001, 0.999),
    seed=st.integers(0, 1000),
    costs=st.sampled_from([COSTS, (0.01, 6.9, 7.0), (1e9, 1.1e9, 1.2e12)]),
)
def test_the_budget_is_met_to_within_a_picture_for_each_stage(
    pictures: int, share: float, seed: int, costs: tuple[float, ...]
) -> None:
    budget = costs[0] + share * (costs[-1] - costs[0])
    found = find_thresholds(confidences(pictures, seed=seed), costs, budget)
    assert abs(found.cost - budget) <= 2 * (costs[-1] - costs[0]) / pictures
    assert found.cost == pytest.approx(sum(map(math.prod, zip(found.shares, costs, strict=True))))


def test_shares_are_in_the_ratio_of_the_powers_of_one_number() -> None:
    pictures = 7000
    found = find_thresholds(confidences(pictures), COSTS, (1 * 4 + 3 * 2 + 7 * 1) / 7)
    assert found.shares == pytest.approx((4 / 7, 2 / 7, 1 / 7), abs=1.5 / pictures)


def test_a_threshold_is_the_confidence_of_the_last_picture_that_leaves() -> None:
    rising = np.arange(20) / 20
    found = find_thresholds(np.stack([rising, rising]), (1, 2), 1.5)
    assert found.thresholds == (0.5,) and found.shares == (0.5, 0.5) and found.cost == 1.5


def test_where_no_picture_is_to_leave_the_threshold_is_infinite() -> None:
    found = find_thresholds(confidences(30), COSTS, 6.99)
    assert found.thresholds == (math.inf, math.inf) and found.shares == (0, 0, 1) and found.cost == 7


def test_pictures_of_one_confidence_leave_together_and_the_cost_says_so() -> None:
    found = find_thresholds(np.ones((3, 30)), COSTS, 4.0)
    assert found.thresholds == (1.0, math.inf) and found.shares == (1, 0, 0) and found.cost == 1


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100), budget=st.floats(1.1, 6.9))
def test_the_calibration_pictures_leave_as_was_found(seed: int, budget: float) -> None:
    stages = tables(40, seed=seed)
    sure = np.stack([confidence(stage.logits) for stage in stages])
    found = find_thresholds(sure, COSTS, budget)
    reached = decide(stages, everybody(40), found.thresholds).stages
    assert np.array_equal(reached, stages_reached(sure, found.thresholds))
    assert np.asarray(COSTS)[reached].mean() == pytest.approx(found.cost)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100), budgets=st.tuples(st.floats(1.1, 6.9), st.floats(1.1, 6.9)))
@example(seed=0, budgets=(1.5625, 1.5078125))
def test_a_larger_budget_costs_no_less_but_for_rounding(seed: int, budgets: tuple[float, float]) -> None:
    small, large = (find_thresholds(confidences(100, seed=seed), COSTS, budget) for budget in sorted(budgets))
    # What a stage's share lacks to its last whole picture goes to the last stage: up to (7 - 1) + (7 - 3) for 100.
    assert small.cost < large.cost + 0.1
    assert small.thresholds[0] <= large.thresholds[0]


@pytest.mark.parametrize("budget", [0.5, 1.0, 7.0, 8.0, math.nan])
def test_a_budget_outside_of_the_costs_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match=f"budget of {budget:g} can't be met: the first stage costs 1 and the last 7"):
        find_thresholds(confidences(30), COSTS, budget)


def test_what_has_no_thresholds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 stages need at least 30 calibration pictures, and there are 29"):
        find_thresholds(confidences(29), COSTS, 2)
    with pytest.raises(ValueError, match=r"costs are \[1, 7, 7\]; each must be above"):
        find_thresholds(confidences(30), (1, 7, 7), 2)
    with pytest.raises(ValueError, match="3 stages have confidences and 2 have costs"):
        find_thresholds(confidences(30), (1, 7), 2)
    with pytest.raises(ValueError, match="not between 0 and 1; the model may have diverged"):
        find_thresholds(np.full((3, 30), math.nan), COSTS, 2)
