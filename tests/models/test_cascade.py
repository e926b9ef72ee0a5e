"""Early exit and thresholds, whatever the stages compute."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookwhere_cli.models.cascade.stages import confidence, decide, every, exits_of
from lookwhere_cli.models.cascade.thresholds import LEAST, calibrate
from tests.models.small import noise

COSTS = (1.0, 3.0, 7.0)


@dataclass
class Places:
    """A state that is only the pictures' numbers."""

    numbers: Tensor

    def at(self, places: Tensor) -> Places:
        return Places(self.numbers[places])


@dataclass
class Table:
    """A stage that looks its answers up, and remembers whom it was asked about."""

    logits: Tensor
    asked: list[list[int]] = field(default_factory=list)

    def __call__(self, state: Places) -> tuple[Tensor, Places]:
        self.asked.append(state.numbers.tolist())
        return self.logits[state.numbers], state


def tables(pictures: int, exits: int = 3, seed: int = 0) -> list[Table]:
    return [Table(2 * noise(pictures, 4, seed=seed * exits + number)) for number in range(exits)]


def confidences(pictures: int, exits: int = 3, seed: int = 0) -> Tensor:
    """All different, so that a threshold parts the pictures at the place asked for."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.stack([torch.randperm(pictures, generator=generator) for _ in range(exits)]) + 1) / (pictures + 1)


@settings(deadline=None, max_examples=40)
@given(
    pictures=st.integers(1, 20),
    seed=st.integers(0, 1000),
    thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_each_picture_has_the_answer_of_the_first_exit_that_is_sure(
    pictures: int, seed: int, thresholds: tuple[float, float]
) -> None:
    stages = tables(pictures, seed=seed)
    decided = decide(stages, Places(torch.arange(pictures)), thresholds)
    for picture in range(pictures):
        sure = [float(confidence(stages[number].logits[picture])) >= thresholds[number] for number in (0, 1)]
        exit_ = [*sure, True].index(True)
        assert decided.exits[picture] == exit_
        assert decided.logits[picture].equal(stages[exit_].logits[picture])
    for number, stage in enumerate(stages):
        still = (decided.exits >= number).nonzero()[:, 0].tolist()
        assert stage.asked == ([still] if still else [])


def test_zero_lets_all_leave_first_and_infinity_last() -> None:
    stages, everybody = tables(5), Places(torch.arange(5))
    assert decide(stages, everybody, (0.0, 0.0)).exits.tolist() == [0] * 5
    assert not stages[1].asked
    last = decide(stages, everybody, (math.inf, math.inf))
    assert last.exits.tolist() == [2] * 5 and last.logits.equal(stages[2].logits)


def test_an_answer_that_is_not_a_number_leaves() -> None:
    stages = tables(3)
    stages[0].logits[1] = math.nan
    decided = decide(stages, Places(torch.arange(3)), (math.inf, math.inf))
    assert decided.exits.tolist() == [2, 0, 2] and decided.logits[1].isnan().all()


def test_every_gives_all_exits_of_all_pictures() -> None:
    stages = tables(4)
    for ours, stage in zip(every(stages, Places(torch.arange(4))), stages, strict=True):
        assert ours.equal(stage.logits)


def test_confidence_is_the_highest_probability() -> None:
    assert confidence(torch.tensor([[0.0, math.log(3)], [5.0, 5.0]])).tolist() == pytest.approx([0.75, 0.5])
    assert confidence(noise(2, 5).bfloat16()).dtype == torch.float32


def test_exits_need_a_threshold_each_but_the_last() -> None:
    with pytest.raises(ValueError, match="3 exits need 2 thresholds, one for each but the last; there are 1"):
        decide(tables(2), Places(torch.arange(2)), (0.5,))
    with pytest.raises(ValueError, match="3 exits need 2 thresholds"):
        exits_of(confidences(4), (0.5, 0.5, 0.5))


@settings(deadline=None, max_examples=40)
@given(
    pictures=st.integers(3 * LEAST, 300),
    share=st.floats(0.001, 0.999),
    seed=st.integers(0, 1000),
    costs=st.sampled_from([COSTS, (0.01, 6.9, 7.0), (1e9, 1.1e9, 1.2e12)]),
)
def test_the_budget_is_met_to_within_a_picture_for_each_exit(
    pictures: int, share: float, seed: int, costs: tuple[float, ...]
) -> None:
    budget = costs[0] + share * (costs[-1] - costs[0])
    found = calibrate(confidences(pictures, seed=seed), costs, budget)
    assert abs(found.cost - budget) <= 2 * (costs[-1] - costs[0]) / pictures
    assert found.cost == pytest.approx(sum(map(math.prod, zip(found.shares, costs, strict=True))))


def test_shares_go_like_the_powers_of_one_number() -> None:
    pictures = 7000
    found = calibrate(confidences(pictures), COSTS, (1 * 4 + 3 * 2 + 7 * 1) / 7)
    assert found.shares == pytest.approx((4 / 7, 2 / 7, 1 / 7), abs=1.5 / pictures)


def test_a_threshold_is_the_confidence_of_the_last_that_leaves() -> None:
    sure = torch.arange(20) / 20
    found = calibrate(torch.stack([sure, sure]), (1, 2), 1.5)
    assert found.thresholds == (0.5,) and found.shares == (0.5, 0.5) and found.cost == 1.5


def test_where_nobody_is_to_leave_the_threshold_is_infinite() -> None:
    found = calibrate(confidences(30), COSTS, 6.99)
    assert found.thresholds == (math.inf, math.inf) and found.shares == (0, 0, 1) and found.cost == 7


def test_those_who_are_as_sure_leave_together_and_the_cost_says_so() -> None:
    same = torch.ones(3, 30)
    found = calibrate(same, COSTS, 4.0)
    assert found.thresholds == (1.0, math.inf) and found.shares == (1, 0, 0) and found.cost == 1


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100), budget=st.floats(1.1, 6.9))
def test_the_calibration_pictures_leave_as_was_calibrated(seed: int, budget: float) -> None:
    stages = tables(40, seed=seed)
    sure = torch.stack([confidence(stage.logits) for stage in stages])
    found = calibrate(sure, COSTS, budget)
    exits = decide(stages, Places(torch.arange(40)), found.thresholds).exits
    assert exits.equal(exits_of(sure, found.thresholds))
    assert torch.tensor(COSTS, dtype=torch.float64)[exits].mean().item() == pytest.approx(found.cost)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 100), budgets=st.tuples(st.floats(1.1, 6.9), st.floats(1.1, 6.9)))
@example(seed=0, budgets=(1.5625, 1.5078125))
def test_a_larger_budget_costs_no_less_but_for_rounding(seed: int, budgets: tuple[float, float]) -> None:
    small, large = (calibrate(confidences(100, seed=seed), COSTS, budget) for budget in sorted(budgets))
    # What an exit's share lacks to its last whole picture goes to the last exit: up to (7 - 1) + (7 - 3) for 100.
    assert small.cost < large.cost + 0.1
    assert small.thresholds[0] <= large.thresholds[0]


@pytest.mark.parametrize("budget", [0.5, 1.0, 7.0, 8.0, math.nan])
def test_a_budget_outside_of_the_exits_costs_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match=f"budget of {budget:g} can't be met: the first exit costs 1 and the last 7"):
        calibrate(confidences(30), COSTS, budget)


def test_what_can_not_be_calibrated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"29 calibration pictures are too few for 3 exits; .* at least 30"):
        calibrate(confidences(29), COSTS, 2)
    with pytest.raises(ValueError, match=r"costs are \[1, 7, 7\]; each must be above"):
        calibrate(confidences(30), (1, 7, 7), 2)
    with pytest.raises(ValueError, match="3 exits have confidences and 2 have costs"):
        calibrate(confidences(30), (1, 7), 2)
    with pytest.raises(ValueError, match="not between 0 and 1; the model may have diverged"):
        calibrate(torch.full((3, 30), math.nan), COSTS, 2)
