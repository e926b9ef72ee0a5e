"""Ways to choose cells: every order has each cell once, and does not depend on the other pictures in a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookwhere_cli.scoring.choosers import CHOOSERS, seed_of

SIDES = st.integers(1, 9)
SEEDS = st.integers(0, 2**32 - 1)


def unordered(pictures: int, cells: int) -> NDArray[np.int64]:
    """A model's own order, which only the selector's chooser looks at."""
    return np.tile(np.arange(cells), (pictures, 1))


@settings(deadline=None)  # other work may slow the machine
@given(SIDES, SIDES, st.lists(SEEDS, min_size=1, max_size=4))
def test_every_order_has_each_cell_once(rows: int, columns: int, seeds: list[int]) -> None:
    own = np.random.default_rng(0).permuted(np.tile(np.arange(rows * columns), (len(seeds), 1)), axis=1)
    for chooser in CHOOSERS.values():
        order = chooser(own, (rows, columns), seeds)
        assert (np.sort(order, axis=1) == np.arange(rows * columns)).all()


def test_the_selectors_order_is_the_models_own() -> None:
    assert CHOOSERS["selector"](np.array([[1, 3, 2, 0]]), (2, 2), [0]).tolist() == [[1, 3, 2, 0]]


def test_random_cells_depend_on_the_pictures_own_seed_only() -> None:
    together = CHOOSERS["random"](unordered(3, 40), (5, 8), [7, 8, 9])
    alone = CHOOSERS["random"](unordered(1, 40), (5, 8), [8])
    assert (together[1] == alone[0]).all()
    assert (together[0] != together[1]).any()


@settings(deadline=None)
@given(SIDES, SIDES, SEEDS)
def test_random_cells_are_those_of_earlier_releases(rows: int, columns: int, seed: int) -> None:
    drawn = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(seed))
    assert CHOOSERS["random"](unordered(1, rows * columns), (rows, columns), [seed])[0].tolist() == drawn.tolist()


def test_random_cells_are_evenly_distributed() -> None:
    order = CHOOSERS["random"](unordered(4000, 16), (4, 4), range(4000))
    drawn = np.bincount(order[:, :4].flatten(), minlength=16)
    assert np.abs(drawn / 4000 - 0.25).max() < 0.03


@pytest.mark.parametrize(("grid", "nearest"), [((3, 3), {4}), ((2, 4), {1, 2, 5, 6}), ((5, 2), {4, 5})])
def test_central_cells_are_nearest_to_the_centre(grid: tuple[int, int], nearest: set[int]) -> None:
    order = CHOOSERS["centre"](unordered(2, grid[0] * grid[1]), grid, [0, 1])
    assert set(order[0, : len(nearest)].tolist()) == nearest
    assert (order[0] == order[1]).all()


def test_distances_are_in_units_of_the_pictures_sides() -> None:
    """In 2 x 6 cells, the cell above the centre and the second one to its left are nearer than the outermost ones."""
    order = CHOOSERS["centre"](unordered(1, 12), (2, 6), [0])
    assert set(order[0, :8].tolist()) == {1, 2, 3, 4, 7, 8, 9, 10}


def test_a_seed_depends_on_every_pixel() -> None:
    one = np.zeros((4, 4, 3), np.uint8)
    other = one.copy()
    other[3, 3, 2] = 1
    assert seed_of(one) == seed_of(one.copy()) != seed_of(other)
