"""Ranking by the overview: what is chosen holds most, costs little, and nothing is counted twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows import ranking
from lookwhere_cli.windows.grid import WindowGrid
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.plan import plan_windows
from lookwhere_cli.windows.ranking import choose_windows, divide
from tests.evaluation.models import FULL, save
from tests.large_sources import ArraySource


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 60), st.integers(8, 400))
def test_blocks_are_about_square_and_not_too_many(height: int, width: int, most: int, pixels: int) -> None:
    rows, columns = divide((height, width), most, pixels)
    assert 1 <= rows <= -(-height // pixels) and 1 <= columns <= -(-width // pixels)
    assert rows * columns <= max(1, most)
    longer = max(height / rows, width / columns)
    others = [(r, c) for r in range(1, most + 1) for c in range(1, most // r + 1) if r * pixels < height + pixels]
    assert all(longer <= max(height / r, width / c) + 1e-9 for r, c in others if c * pixels < width + pixels)


@given(st.data())
def test_as_many_windows_as_asked_for_each_once(data: st.DataObject) -> None:
    grid = WindowGrid((90, 130), (30, 30), data.draw(st.sampled_from([0.0, 0.2, 0.5])))
    kept = data.draw(st.lists(st.integers(0, len(grid) - 1), min_size=1, unique=True))
    count = data.draw(st.integers(1, len(kept)))
    density = np.random.default_rng(data.draw(st.integers(0, 9))).random(ranking.bins_of(grid), np.float32)
    chosen = choose_windows(density, grid, np.array(sorted(kept)), count)
    assert len(set(chosen.tolist())) == count and set(chosen.tolist()) <= set(kept)


def test_the_windows_that_hold_most_come_first_and_the_same_thing_counts_once() -> None:
    grid = WindowGrid((30, 100), (30, 30), 0.5)  # lefts 0, 15, 30, ..., 70
    density = np.zeros(ranking.bins_of(grid), np.float32)
    bins = density.shape[1]
    density[5, round(0.37 * bins)] = 2.0  # in the windows at 15 and 30
    density[5, round(0.80 * bins)] = 1.0
    chosen = choose_windows(density, grid, np.arange(len(grid)), 3)
    boxes = [grid.box(int(number)) for number in chosen]
    assert boxes[0][0] <= 37 <= boxes[0][2] and boxes[1][0] <= 80 <= boxes[1][2]


@pytest.fixture(scope="module")
def predictor(model_folder: Path) -> Predictor:
    return load(str(model_folder), k=0.5)


def test_the_plan_has_the_best_windows_in_reading_order_with_their_ranks(predictor: Predictor) -> None:
    pixels = np.full((240, 240, 3), 255, np.uint8)
    pixels[:, :192] = np.random.default_rng(0).integers(0, 255, (240, 192, 3))
    source = ArraySource(pixels)
    plan = plan_windows(predictor, source, WindowOptions(24, best=0.25))
    assert plan.counts.total == 100 and plan.counts.blank == 20 and plan.counts.ranked_out == 60
    numbers = [window.number for window in plan.windows]
    assert numbers == sorted(numbers) and len(numbers) == 20
    assert sorted(window.rank for window in plan.windows) == list(range(1, 21))
    assert 0 < plan.macs <= max(ranking.SHARE * 100 * plan.window_macs, plan.macs)
    again = plan_windows(predictor, source, WindowOptions(24, best=20))
    assert [window.number for window in again.windows] == numbers
    every = plan_windows(predictor, source, WindowOptions(24, best="all"))
    assert every.counts.ranked_out == 0 and every.macs == 0 and every.windows[0].rank is None


def test_a_model_without_a_selector_ranks_nothing(tmp_path: Path) -> None:
    predictor = load(save(tmp_path / "full", FULL))
    with pytest.raises(LookWhereError, match="a ranking of windows can't be computed"):
        plan_windows(predictor, ArraySource(np.zeros((60, 60, 3), np.uint8)), WindowOptions(24, best=2))
