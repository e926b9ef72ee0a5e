"""Ways to choose cells: every order has each cell once, and does not depend on the other pictures in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.scoring.choosers import CHOOSERS, seed_of

SIDES = st.integers(1, 9)
SEEDS = st.integers(0, 2**32 - 1)


@settings(deadline=None)  # other work may slow the machine
@given(SIDES, SIDES, st.lists(SEEDS, min_size=1, max_size=4))
def test_every_order_has_each_cell_once(rows: int, columns: int, seeds: list[int]) -> None:
    maps = np.random.default_rng(0).random((len(seeds), rows * columns), np.float32)
    for chooser in CHOOSERS.values():
        order = chooser(maps, (rows, columns), seeds)
        assert (np.sort(order, axis=1) == np.arange(rows * columns)).all()


def test_the_selector_orders_by_its_map_and_equal_scores_by_cell() -> None:
    maps = np.array([[0.1, 0.9, 0.5, 0.9]], np.float32)
    assert CHOOSERS["selector"](maps, (2, 2), [0]).tolist() == [[1, 3, 2, 0]]


def test_random_cells_depend_on_the_pictures_own_seed_only() -> None:
    together = CHOOSERS["random"](np.zeros((3, 40), np.float32), (5, 8), [7, 8, 9])
    alone = CHOOSERS["random"](np.zeros((1, 40), np.float32), (5, 8), [8])
    assert (together[1] == alone[0]).all()
    assert (together[0] != together[1]).any()


@settings(deadline=None)
@given(SIDES, SIDES, SEEDS)
def test_random_cells_are_those_of_earlier_releases(rows: int, columns: int, seed: int) -> None:
    drawn = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(seed))
    maps = np.zeros((1, rows * columns), np.float32)
    assert CHOOSERS["random"](maps, (rows, columns), [seed])[0].tolist() == drawn.tolist()


def test_random_cells_are_evenly_distributed() -> None:
    order = CHOOSERS["random"](np.zeros((4000, 16), np.float32), (4, 4), range(4000))
    drawn = np.bincount(order[:, :4].flatten(), minlength=16)
    assert np.abs(drawn / 4000 - 0.25).max() < 0.03


@pytest.mark.parametrize(("grid", "nearest"), [((3, 3), {4}), ((2, 4), {1, 2, 5, 6}), ((5, 2), {4, 5})])
def test_central_cells_are_nearest_to_the_centre(grid: tuple[int, int], nearest: set[int]) -> None:
    order = CHOOSERS["centre"](np.zeros((2, grid[0] * grid[1]), np.float32), grid, [0, 1])
    assert set(order[0, : len(nearest)].tolist()) == nearest
    assert (order[0] == order[1]).all()


def test_distances_are_in_units_of_the_pictures_sides() -> None:
    """In 2 x 6 cells, the cell above the centre and the second one to its left are nearer than the outermost ones."""
    order = CHOOSERS["centre"](np.zeros((1, 12), np.float32), (2, 6), [0])
    assert set(order[0, :8].tolist()) == {1, 2, 3, 4, 7, 8, 9, 10}


def test_a_seed_depends_on_every_pixel() -> None:
    one = np.zeros((4, 4, 3), np.uint8)
    other = one.copy()
    other[3, 3, 2] = 1
    assert seed_of(one) == seed_of(one.copy()) != seed_of(other)
