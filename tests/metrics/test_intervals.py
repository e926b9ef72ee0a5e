"""Intervals: Wilson's against known values, the bootstrap against resamples that are spelled out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.metrics.intervals import average_precisions, between, resamples, wilson

import_timm()
from torchmetrics.functional.classification import binary_average_precision  # noqa: E402


def test_wilsons_interval_by_its_definition() -> None:
    score = wilson(218, 250)
    assert score.value == 218 / 250
    for bound in (score.low, score.high):  # the shares from which 218 of 250 are 1.96 deviations away
        assert bound is not None
        assert abs(score.value - bound) == pytest.approx(1.96 * (bound * (1 - bound) / 250) ** 0.5, rel=1e-4)


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0.0, 0.2775), (8, 0.4902, 0.9433), (10, 0.7225, 1.0)])
def test_wilsons_interval_of_ten(right: int, low: float, high: float) -> None:
    score = wilson(right, 10)
    assert (score.low, score.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_resamples_draw_as_many_as_there_are_and_are_always_the_same() -> None:
    times = resamples(20)
    assert times.shape == (1000, 20)
    assert (times.sum(axis=1) == 20).all()
    assert (times == resamples(20)).all()
    assert times.std() == pytest.approx(np.sqrt(19 / 20), abs=0.03)


@settings(deadline=None, max_examples=30)  # other work may hold the machine up
@given(st.data())
def test_average_precision_of_resamples_is_that_of_repeated_pictures(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    lists = {"min_size": count, "max_size": count}
    scores = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.3, 0.3001, 0.8]), **lists)))
    truth = np.array(data.draw(st.lists(st.booleans(), **lists)))
    times = np.array([data.draw(st.lists(st.integers(0, 3), **lists)) for _ in range(3)])
    found = average_precisions(scores, truth, times)
    for one, often in zip(found, times, strict=True):
        if not (often * truth).any():
            assert np.isnan(one)
            continue
        repeated = torch.from_numpy(np.repeat(scores, often)), torch.from_numpy(np.repeat(truth, often).astype(int))
        assert one == pytest.approx(float(binary_average_precision(*repeated)), abs=1e-6)


def test_the_middle_of_what_is_defined() -> None:
    score = between(0.5, np.append(np.linspace(0, 1, 1001), np.nan))
    assert score == (0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert between(0.5, np.array([np.nan])) == (0.5, 0.5, 0.5)
