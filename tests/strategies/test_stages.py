"""Early exit, whatever the stages compute."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookwhere_cli.probabilities import confidence
from lookwhere_cli.strategies.stages import decide, run_all, stages_reached


@dataclass
class Places:
    """A state that is only the pictures' numbers."""

    numbers: NDArray[np.int64]

    def at(self, places: NDArray[np.int64]) -> Places:
        return Places(self.numbers[places])


@dataclass
class Table:
    """A stage that looks its answers up, and records the pictures that it was asked about."""

    logits: NDArray[np.float32]
    asked: list[list[int]] = field(default_factory=list)

    def __call__(self, state: Places) -> tuple[NDArray[np.float32], Places]:
        self.asked.append(state.numbers.tolist())
        return self.logits[state.numbers], state


def tables(pictures: int, stages: int = 3, seed: int = 0) -> list[Table]:
    rng = np.random.default_rng(seed)
    return [Table(2 * rng.standard_normal((pictures, 4), np.float32)) for _ in range(stages)]


def everybody(pictures: int) -> Places:
    return Places(np.arange(pictures))


@settings(deadline=None, max_examples=40)
@given(
    pictures=st.integers(1, 20),
    seed=st.integers(0, 1000),
    thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_each_picture_has_the_answer_of_the_first_stage_that_is_certain(
    pictures: int, seed: int, thresholds: tuple[float, float]
) -> None:
    stages = tables(pictures, seed=seed)
    decision = decide(stages, everybody(pictures), thresholds)
    for picture in range(pictures):
        certain = [float(confidence(stages[number].logits[picture])) >= thresholds[number] for number in (0, 1)]
        stage = [*certain, True].index(True)
        assert decision.stages[picture] == stage
        assert np.array_equal(decision.logits[picture], stages[stage].logits[picture])
    for number, one in enumerate(stages):
        remaining = np.flatnonzero(decision.stages >= number).tolist()
        assert one.asked == ([remaining] if remaining else [])


def test_zero_lets_all_leave_first_and_infinity_last() -> None:
    stages = tables(5)
    assert decide(stages, everybody(5), (0.0, 0.0)).stages.tolist() == [0] * 5
    assert not stages[1].asked
    last = decide(stages, everybody(5), (math.inf, math.inf))
    assert last.stages.tolist() == [2] * 5 and np.array_equal(last.logits, stages[2].logits)


def test_an_answer_that_is_not_a_number_leaves() -> None:
    stages = tables(3)
    stages[0].logits[1] = math.nan
    decision = decide(stages, everybody(3), (math.inf, math.inf))
    assert decision.stages.tolist() == [2, 0, 2] and np.isnan(decision.logits[1]).all()


def test_run_all_gives_all_stages_of_all_pictures() -> None:
    stages = tables(4)
    assert np.array_equal(run_all(stages, everybody(4)), np.stack([stage.logits for stage in stages]))


def test_confidence_is_the_highest_probability() -> None:
    assert confidence(np.array([[0.0, math.log(3)], [5.0, 5.0]])).tolist() == pytest.approx([0.75, 0.5])
    assert confidence(np.zeros((2, 5), np.float16)).dtype == np.float32
    assert confidence(np.array([[1000.0, 0.0]])).tolist() == [1.0]


def test_stages_need_a_threshold_each_but_the_last() -> None:
    with pytest.raises(ValueError, match="3 stages need 2 thresholds, one for each but the last; there are 1"):
        decide(tables(2), everybody(2), (0.5,))
    with pytest.raises(ValueError, match="3 stages need 2 thresholds"):
        stages_reached(np.zeros((3, 4)), (0.5, 0.5, 0.5))
