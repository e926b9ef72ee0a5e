"""Positions of the cells that are read, against torch's interpolation of the whole table."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.export import Dim, export

from lookwhere_cli.models import positions
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.positions import axis_taps, positions_at, taps_at
from tests.models.small import LABELLED, PUBLISHED, SMALL, noise, small, some_cells

GRID = (5, 7)
SIDES = st.integers(1, 24)
CPU = torch.device("cpu")


def interpolated(table: Tensor, stored: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The whole table on another grid, by torch."""
    picture = table.unflatten(0, stored).permute(2, 0, 1)[None]
    resized = F.interpolate(picture, size=grid, mode="bicubic", align_corners=False, antialias=False)
    return resized[0].flatten(1).T


@settings(deadline=None)
@given(stored=st.tuples(SIDES, SIDES), grid=st.tuples(SIDES, SIDES), seed=st.integers(0, 99))
def test_positions_equal_torchs_interpolation_at_the_same_cells(
    stored: tuple[int, int], grid: tuple[int, int], seed: int
) -> None:
    table = noise(stored[0] * stored[1], 3, seed=seed)
    cells = some_cells(2, 5, grid[0] * grid[1], seed)
    exact = interpolated(table.double(), stored, grid)[cells].float()
    ours = positions_at(table, stored, cells, grid)
    torch.testing.assert_close(ours, exact, atol=2e-6, rtol=0)
    torch.testing.assert_close(ours, interpolated(table, stored, grid)[cells], atol=2e-5, rtol=0)


def test_on_the_stored_grid_positions_are_copied() -> None:
    table, cells = noise(35, 4), some_cells(2, 9, 35)
    assert positions_at(table, GRID, cells, GRID).equal(table[cells])
    assert not positions_at(table, GRID, cells, GRID[::-1]).equal(table[cells])


@pytest.mark.parametrize("longest", [0, 9, 100])
def test_long_axes_give_the_same_and_are_not_cached(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "LONGEST_CACHED", longest)
    axis_taps.cache_clear()
    table, cells = noise(36, 3), some_cells(2, 9, 90)
    exact = interpolated(table.double(), (6, 6), (9, 10))[cells].float()
    torch.testing.assert_close(positions_at(table, (6, 6), cells, (9, 10)), exact, atol=2e-6, rtol=0)
    assert axis_taps.cache_info().currsize == {0: 0, 9: 1, 100: 2}[longest]


def test_a_grid_of_two_thousand_million_cells_takes_no_table() -> None:
    grid = (50_000, 40_000)
    corners = torch.tensor([0, grid[1] - 1, (grid[0] - 1) * grid[1], grid[0] * grid[1] - 1])
    table = noise(35, 4)
    ours = positions_at(table, GRID, corners, grid)
    assert ours.shape == (4, 4)
    # At a corner the outermost positions are repeated, so the result is near the stored one.
    torch.testing.assert_close(ours, table[[0, 6, 28, 34]], atol=0.6, rtol=0)


@pytest.mark.parametrize("count", [1, 3, 8, 71, 1000])
def test_the_weights_of_a_cell_sum_to_one_and_its_taps_are_stored_positions(count: int) -> None:
    taps = axis_taps(6, count, CPU)
    assert taps.weights.shape == taps.indices.shape == (count, 4)
    torch.testing.assert_close(taps.weights.sum(-1), torch.ones(count))
    assert taps.indices.min() >= 0 and taps.indices.max() <= 5
    assert (taps.indices.diff(dim=-1) >= 0).all() and (taps.indices.diff(dim=-1) <= 1).all()


def test_taps_of_single_places_are_those_of_the_axis() -> None:
    places = torch.tensor([[4, 0], [6, 3]])
    alone, whole = taps_at(places, 6, 7), axis_taps(6, 7, CPU)
    assert alone.indices.equal(whole.indices[places]) and alone.weights.equal(whole.weights[places])


def test_the_gradient_is_that_of_torchs_interpolation() -> None:
    tables = [noise(36, 3, seed=4).requires_grad_() for _ in range(2)]
    cells, upstream = some_cells(2, 9, 35), noise(2, 9, 3, seed=5)
    positions_at(tables[0], (6, 6), cells, GRID).backward(upstream)
    interpolated(tables[1], (6, 6), GRID)[cells].backward(upstream)
    torch.testing.assert_close(tables[0].grad, tables[1].grad, atol=1e-5, rtol=1e-5)


def test_half_precision_is_interpolated_in_single_precision() -> None:
    table, cells = noise(36, 8).bfloat16(), some_cells(1, 9, 35)
    ours = positions_at(table, (6, 6), cells, GRID)
    assert ours.dtype == torch.bfloat16
    assert ours.equal(positions_at(table.float(), (6, 6), cells, GRID).bfloat16())


def test_a_pass_under_inference_mode_does_not_spoil_a_later_one_with_gradients() -> None:
    axis_taps.cache_clear()
    model, cells = small(SMALL), some_cells(1, 4, 35)
    with torch.inference_mode():
        first = model.extractor.positions_at(cells, GRID)
    model.extractor.pos_embed.requires_grad_()
    again = model.extractor.positions_at(cells, GRID)
    assert again.equal(first)
    again.sum().backward()
    assert model.extractor.pos_embed.grad is not None


def test_weights_that_were_created_under_inference_mode_serve_a_pass_with_gradients() -> None:
    with torch.inference_mode():
        model = LookWhere(SMALL)
    factor = torch.ones(1, requires_grad=True)
    (factor * model.extractor.positions_at(some_cells(1, 4, 35), GRID)).sum().backward()
    assert factor.grad is not None


def test_positions_follow_the_weights() -> None:
    vit, cells = small(SMALL).extractor, some_cells(1, 4, 35)
    before = vit.positions_at(cells, GRID)
    vit.pos_embed.add_(1.0)
    torch.testing.assert_close(vit.positions_at(cells, GRID), before + 1)
    vit.load_state_dict(small(SMALL, seed=3).extractor.state_dict())
    assert not torch.allclose(vit.positions_at(cells, GRID), before + 1)


@pytest.mark.parametrize("config", [SMALL, PUBLISHED])
def test_positions_of_a_whole_grid_lie_row_by_row_behind_those_of_the_prefix(config) -> None:  # type: ignore
    vit = small(config).extractor
    prefix = config.prefix_tokens if config.prefix_positions else 0
    cells = vit.positions_at(torch.arange(35), GRID)
    assert vit.positions(GRID).equal(cells)
    assert vit.positions_for(GRID).equal(torch.cat([vit.pos_embed[:, :prefix], cells[None]], dim=1))
    assert vit.positions((6, 6)).equal(vit.pos_embed[0, prefix:])


def test_tokens_have_the_positions_of_their_cells() -> None:
    vit, cells = small(PUBLISHED).extractor, some_cells(2, 9, 35)
    patches = noise(2, 9, 3, 4, 4)
    assert vit.embed(patches, GRID, cells).equal(vit.patch_embed(patches) + vit.positions_at(cells, GRID))
    everywhere = noise(2, 35, 3, 4, 4)
    assert vit.embed(everywhere, GRID).equal(vit.patch_embed(everywhere) + vit.positions(GRID))


class _Extraction(torch.nn.Module):
    """A model's answer for the grid of 5 x 7, as a module of tensors alone."""

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, patches: Tensor, cells: Tensor, prefix_tokens: Tensor) -> Tensor:
        return self.model.logits(self.model.extract(Chosen(patches, cells, GRID, prefix_tokens)))


@pytest.mark.slow
def test_an_exported_extractor_takes_any_batch_and_any_k() -> None:
    axis_taps.cache_clear()
    extraction = _Extraction(small(LABELLED))

    def arguments(batch: int, k: int) -> tuple[Tensor, Tensor, Tensor]:
        return noise(batch, k, 3, 4, 4), some_cells(batch, k, 35), noise(batch, 1, 24)

    batch, k = Dim("batch", min=1, max=64), Dim("k", min=2, max=35)
    shapes = ({0: batch, 1: k}, {0: batch, 1: k}, {0: batch})
    exported = export(extraction, arguments(2, 9), dynamic_shapes=shapes).module()
    for inputs in (arguments(5, 12), arguments(1, 35)):
        torch.testing.assert_close(exported(*inputs), extraction(*inputs))
