"""Who chooses: every order holds each cell once, and what shares a picture's batch does not matter to it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.metrics.choosers import CHOOSERS, seed_of
from lookwhere_cli.models.selector import choose


@settings(deadline=None)  # other work may hold the machine up
@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=4))
def test_each_cell_stands_once_in_every_order(rows: int, columns: int, seeds: list[int]) -> None:
    scores = torch.rand(len(seeds), rows * columns)
    for chooser in CHOOSERS.values():
        order = chooser(scores, (rows, columns), seeds)
        assert (order.sort(dim=1).values == torch.arange(rows * columns)).all()


def test_the_selectors_order_is_that_of_its_map() -> None:
    scores = torch.rand(3, 30)
    assert (CHOOSERS["selector"](scores, (5, 6), [0, 0, 0])[:, :7] == choose(scores, 7)).all()


def test_random_cells_come_from_the_pictures_own_seed() -> None:
    together = CHOOSERS["random"](torch.zeros(3, 40), (5, 8), [7, 8, 9])
    alone = CHOOSERS["random"](torch.zeros(1, 40), (5, 8), [8])
    assert (together[1] == alone[0]).all()
    assert (together[0] != together[1]).any()


def test_random_cells_lie_evenly() -> None:
    order = CHOOSERS["random"](torch.zeros(4000, 16), (4, 4), range(4000))
    drawn = np.bincount(order[:, :4].flatten().numpy(), minlength=16)
    assert np.abs(drawn / 4000 - 0.25).max() < 0.03


@pytest.mark.parametrize(("grid", "nearest"), [((3, 3), {4}), ((2, 4), {1, 2, 5, 6}), ((5, 2), {4, 5})])
def test_central_cells_are_nearest_to_the_centre(grid: tuple[int, int], nearest: set[int]) -> None:
    order = CHOOSERS["centre"](torch.zeros(2, grid[0] * grid[1]), grid, [0, 1])
    assert set(order[0, : len(nearest)].tolist()) == nearest
    assert (order[0] == order[1]).all()


def test_a_seed_is_of_what_a_picture_shows() -> None:
    one = np.zeros((4, 4, 3), np.uint8)
    other = one.copy()
    other[3, 3, 2] = 1
    assert seed_of(one) == seed_of(one.copy()) != seed_of(other)
