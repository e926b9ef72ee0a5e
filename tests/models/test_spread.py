"""From k tokens to a token for every cell, in NumPy and in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookwhere_cli.models import spread as module
from lookwhere_cli.models.spread import nearest_cells, spread
from lookwhere_cli.models.spread_torch import overlay, spread_tensor
from tests.models.small import noise, some_cells

grids = st.tuples(st.integers(1, 9), st.integers(1, 9))
quick = settings(deadline=None, max_examples=50)


def by_definition(cells: NDArray[np.int64], grid: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest chosen cells and their weights: sorted by distance first, then by the cell's index."""
    places, weights = [], []
    for row in range(grid[0]):
        for column in range(grid[1]):
            squared = (cells // grid[1] - row) ** 2 + (cells % grid[1] - column) ** 2
            nearest = np.lexsort((cells, squared))[:5]
            weight = 1 / (np.sqrt(squared[nearest]) + 1e-8)
            places.append(nearest)
            weights.append(weight / weight.sum())
    return np.stack(places), np.stack(weights)


def chosen(k: int, grid: tuple[int, int], seed: int) -> NDArray[np.int64]:
    return some_cells(1, k, grid[0] * grid[1], seed)[0].numpy()


@quick
@given(grids, st.integers(1, 20), st.integers(0, 10))
def test_the_nearest_cells_are_those_of_the_definition(grid: tuple[int, int], k: int, seed: int) -> None:
    cells = chosen(k, grid, seed)
    places, weights = nearest_cells(cells, grid)
    expected_places, expected_weights = by_definition(cells, grid)
    assert places.dtype == np.int64 and weights.dtype == np.float32
    np.testing.assert_array_equal(places, expected_places)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-6, atol=1e-9)


def clustered(k: int, grid: tuple[int, int]) -> NDArray[np.int64]:
    """The cells nearest to a point towards one corner."""
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return np.argsort((row - 0.3 * grid[0]) ** 2 + (column - 0.1 * grid[1]) ** 2, kind="stable")[:k]


@pytest.mark.parametrize("tile", [1, 3, 16])
@pytest.mark.parametrize("k", [1, 4, 5, 6, 80, 1000])
def test_tiles_change_nothing_wherever_the_cells_lie(tile: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SMALLEST_TILE", tile)
    monkeypatch.setattr(module, "_TILE_CELLS", 1)
    grid = (23, 51)
    for cells in (chosen(k, grid, 0), clustered(k, grid), clustered(k, grid)[::-1]):
        places, weights = nearest_cells(cells, grid)
        expected_places, expected_weights = by_definition(cells, grid)
        np.testing.assert_array_equal(places, expected_places)
        np.testing.assert_allclose(weights, expected_weights, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("keys", [1, 50, 400])
def test_the_memory_bound_changes_nothing(keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, tokens = chosen(12, (8, 9), 0)[None], noise(1, 12, 5).numpy()
    whole = spread(tokens, cells, (8, 9))
    held: list[int] = []
    smallest = module._smallest
    monkeypatch.setattr(module, "_smallest", lambda keys, near: held.append(keys.size) or smallest(keys, near))
    monkeypatch.setattr(module, "_KEYS", keys)
    monkeypatch.setattr(module, "_BLOCK", 7)
    np.testing.assert_array_equal(spread(tokens, cells, (8, 9)), whole)
    assert max(held) <= max(keys, 9 * 12)  # at least a row of cells at once


def test_distances_that_exceed_32_bits_are_exact() -> None:
    grid, cells = (1, 60_000), np.array([0, 1, 29_998, 59_997, 59_998, 59_999])
    places, _ = nearest_cells(cells, grid)
    for cell in (0, 17, 29_999, 44_998, 59_999):
        expected = np.lexsort((cells, (cells - cell) ** 2))[:5]
        np.testing.assert_array_equal(places[cell], expected)


@quick
@given(grids, st.integers(1, 20), st.integers(0, 10))
def test_tokens_are_blended_with_these_weights(grid: tuple[int, int], k: int, seed: int) -> None:
    cells = chosen(k, grid, seed)
    tokens = noise(2, len(cells), 3, seed=seed).numpy()
    places, weights = by_definition(cells, grid)
    expected = np.einsum("cn,bcnd->bcd", weights, tokens[:, places])
    np.testing.assert_allclose(spread(tokens, np.stack([cells] * 2), grid), expected, rtol=1e-5, atol=1e-6)


@quick
@given(grids, st.integers(1, 20), st.integers(0, 10))
def test_chosen_cells_keep_their_tokens_and_equal_tokens_fill_the_grid(
    grid: tuple[int, int], k: int, seed: int
) -> None:
    cells = np.stack([chosen(k, grid, seed), chosen(k, grid, seed + 1)])
    tokens = noise(2, cells.shape[1], 4, seed=seed).numpy()
    np.testing.assert_allclose(
        np.take_along_axis(spread(tokens, cells, grid), cells[..., None], 1), tokens, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(spread(np.ones_like(tokens), cells, grid), 1, rtol=1e-6)


def test_the_order_of_the_cells_does_not_matter() -> None:
    cells, tokens = chosen(12, (8, 8), 0), noise(1, 12, 5).numpy()
    order = chosen(12, (3, 4), 1)
    turned = spread(tokens[:, order], cells[order][None], (8, 8))
    np.testing.assert_array_equal(turned, spread(tokens, cells[None], (8, 8)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_is_that_of_the_tokens(dtype: type) -> None:
    assert spread(np.ones((1, 3, 2), dtype), np.array([[0, 4, 7]]), (3, 4)).dtype == dtype


@quick
@given(grids, st.integers(1, 20), st.integers(0, 10))
def test_tensors_are_spread_alike(grid: tuple[int, int], k: int, seed: int) -> None:
    cells = some_cells(2, k, grid[0] * grid[1], seed)
    tokens = noise(2, cells.shape[1], 3, seed=seed)
    expected = spread(tokens.numpy(), cells.numpy(), grid)
    np.testing.assert_allclose(spread_tensor(tokens, cells, grid).numpy(), expected, rtol=1e-6, atol=1e-6)


def test_the_gradient_in_the_tokens_is_the_sum_of_their_weights() -> None:
    cells = some_cells(1, 7, 20)
    tokens = noise(1, 7, 4).requires_grad_()
    spread_tensor(tokens, cells, (4, 5)).sum().backward()
    places, weights = nearest_cells(cells[0].numpy(), (4, 5))
    expected = np.bincount(places.ravel(), weights.ravel(), minlength=7)
    assert tokens.grad is not None
    np.testing.assert_allclose(tokens.grad[0].numpy(), expected[:, None].repeat(4, 1), rtol=1e-5)


def test_half_precision_stays_half_precision() -> None:
    tokens, cells = noise(1, 7, 4).bfloat16(), some_cells(1, 7, 20)
    out = spread_tensor(tokens, cells, (4, 5))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), spread_tensor(tokens.float(), cells, (4, 5)), atol=0.05, rtol=0.05)


def test_cells_that_were_read_lie_over_the_coarse_grid() -> None:
    tokens, ground, cells = noise(1, 3, 4), noise(1, 6, 4, seed=5), torch.tensor([[0, 8, 34]])
    covered = overlay(tokens, cells, (5, 7), ground, (2, 3))
    resized = torch.nn.functional.interpolate(ground.mT.unflatten(-1, (2, 3)), size=(5, 7), mode="bilinear")
    expected = resized.flatten(2).mT.clone()
    expected[0, cells[0]] = tokens[0]
    torch.testing.assert_close(covered, expected)
