"""Intervals: Wilson's against known values, the bootstrap against resamples that are spelled out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.metrics.intervals import average_precisions, draw_resamples, percentile_interval, wilson
from lookwhere_cli.metrics.scores import torchmetrics

binary_average_precision = torchmetrics().functional.classification.binary_average_precision


def test_wilson_interval_by_its_definition() -> None:
    score = wilson(218, 250)
    assert score.value == 218 / 250
    for bound in (score.low, score.high):  # the shares from which 218 of 250 are 1.96 deviations away
        assert bound is not None
        assert abs(score.value - bound) == pytest.approx(1.96 * (bound * (1 - bound) / 250) ** 0.5, rel=1e-4)


@pytest.mark.parametrize(("correct", "low", "high"), [(0, 0.0, 0.2775), (8, 0.4902, 0.9433), (10, 0.7225, 1.0)])
def test_wilson_interval_of_ten_pictures(correct: int, low: float, high: float) -> None:
    score = wilson(correct, 10)
    assert (score.low, score.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_resamples_draw_each_picture_once_on_average_and_never_change() -> None:
    draws = draw_resamples(20)
    assert draws.shape == (1000, 20)
    assert (draws.sum(axis=1) == 20).all()
    assert (draws == draw_resamples(20)).all()
    assert draws.std() == pytest.approx(np.sqrt(19 / 20), abs=0.03)


@settings(deadline=None, max_examples=30)  # other work may slow the machine
@given(st.data())
def test_average_precision_of_a_resample_is_that_of_repeated_pictures(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    lists = {"min_size": count, "max_size": count}
    scores = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.3, 0.3001, 0.8]), **lists)))
    truth = np.array(data.draw(st.lists(st.booleans(), **lists)))
    draws = np.array([data.draw(st.lists(st.integers(0, 3), **lists)) for _ in range(3)])
    for precision, repeats in zip(average_precisions(scores, truth, draws), draws, strict=True):
        if not (repeats * truth).any():
            assert np.isnan(precision)
            continue
        repeated = torch.from_numpy(np.repeat(scores, repeats)), torch.from_numpy(np.repeat(truth, repeats).astype(int))
        assert precision == pytest.approx(float(binary_average_precision(*repeated)), abs=1e-6)


def test_average_precisions_are_computed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    scores, truth, draws = rng.random(7), rng.random(7) < 0.5, rng.integers(0, 3, (10, 7))
    whole = average_precisions(scores, truth, draws)
    monkeypatch.setattr("lookwhere_cli.metrics.intervals._CHUNK", 3 * 7)
    assert np.array_equal(average_precisions(scores, truth, draws), whole, equal_nan=True)


def test_the_interval_is_the_middle_of_what_is_defined() -> None:
    score = percentile_interval(0.5, np.append(np.linspace(0, 1, 1001), np.nan))
    assert score == (0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert percentile_interval(0.5, np.array([np.nan])) == (0.5, 0.5, 0.5)
