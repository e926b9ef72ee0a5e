"""Spread: from k tokens to a token for every cell."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.models import spread as module
from lookwhere_cli.models.spread import spread
from tests.models.small import noise, some_cells

grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


def by_definition(tokens: torch.Tensor, cells: list[int], grid: tuple[int, int]) -> torch.Tensor:
    """Distance first, then the cell's index; in plain Python and float64."""
    out = []
    for row in range(grid[0]):
        for column in range(grid[1]):
            away = [(cell // grid[1] - row) ** 2 + (cell % grid[1] - column) ** 2 for cell in cells]
            nearest = sorted(range(len(cells)), key=lambda one: (away[one], cells[one]))[:5]
            weights = torch.tensor([1 / (away[one] ** 0.5 + 1e-8) for one in nearest], dtype=torch.float64)
            out.append((weights / weights.sum()) @ tokens[nearest].double())
    return torch.stack(out).float()


@given(grids, st.integers(1, 20), st.integers(0, 10))
def test_equals_its_definition(grid: tuple[int, int], k: int, seed: int) -> None:
    cells = some_cells(1, k, grid[0] * grid[1], seed)
    tokens = noise(1, cells.shape[1], 3, seed=seed)
    torch.testing.assert_close(
        spread(tokens, cells, grid)[0], by_definition(tokens[0], cells[0].tolist(), grid), rtol=1e-4, atol=1e-5
    )


@given(grids, st.integers(1, 20), st.integers(0, 10))
def test_keeps_kept_cells_and_constants(grid: tuple[int, int], k: int, seed: int) -> None:
    cells = some_cells(2, k, grid[0] * grid[1], seed)
    tokens = noise(2, cells.shape[1], 4, seed=seed)
    out = spread(tokens, cells, grid)
    torch.testing.assert_close(torch.take_along_dim(out, cells[..., None], 1), tokens, rtol=1e-4, atol=1e-5)
    ones = spread(torch.ones_like(tokens), cells, grid)
    torch.testing.assert_close(ones, torch.ones_like(ones))


def test_one_token_gives_a_constant_grid() -> None:
    out = spread(noise(1, 1, 6), torch.tensor([[7]]), (3, 4))
    assert (out == out[:, :1]).all()


def test_does_not_depend_on_the_order_of_the_cells_nor_on_chunks(monkeypatch) -> None:
    cells, tokens = some_cells(1, 12, 64), noise(1, 12, 5)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    whole = spread(tokens, cells, (8, 8))
    monkeypatch.setattr(module, "_CHUNK", 50)
    torch.testing.assert_close(spread(tokens[:, order], cells[:, order], (8, 8)), whole)


def test_has_a_gradient_in_the_tokens() -> None:
    tokens = noise(1, 3, 4).requires_grad_()
    spread(tokens, torch.tensor([[0, 5, 9]]), (3, 4)).sum().backward()
    assert tokens.grad is not None and tokens.grad.abs().sum() > 0
