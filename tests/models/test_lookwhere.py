"""Properties of the method that hold for any weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.vit import cut
from tests.models.small import KINDS, LABELLED, SMALL, chosen_at, noise, small, some_cells

kinds = pytest.mark.parametrize("kind", KINDS)
GRID = (5, 7)


def near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def scene(model: LookWhere, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Return patches of all cells, and prefix tokens."""
    config = model.config
    patches = noise(batch, GRID[0] * GRID[1], 3, config.patch, config.patch)
    return patches, noise(batch, config.prefix_tokens, config.dim, seed=9)


@kinds
def test_all_cells_in_any_order_equal_the_plain_vit(kind: str) -> None:
    model = small(KINDS[kind])
    patches, prefix = scene(model)
    cells = some_cells(2, 35, 35)
    extractor = model.extractor
    handed = extractor.handover(extractor.prefix(), prefix)
    plain = extractor.encode(torch.cat([handed, extractor.embed(patches, GRID)], dim=1))
    near(model.extract(chosen_at(patches, cells, GRID, prefix)), plain[:, 0])
    tokens = plain[:, model.config.prefix_tokens :]
    near(
        model.extract_dense(chosen_at(patches, cells, GRID, prefix)).tokens,
        torch.take_along_dim(tokens, cells[..., None], 1),
    )


@kinds
def test_permuting_cells_permutes_tokens_and_does_not_change_cls(kind: str) -> None:
    model = small(KINDS[kind])
    patches, prefix = scene(model)
    cells = some_cells(2, 11, 35)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(5))
    chosen, permuted = (chosen_at(patches, each, GRID, prefix) for each in (cells, cells[:, order]))
    near(model.extract(chosen), model.extract(permuted))
    near(model.extract_dense(chosen).tokens[:, order], model.extract_dense(permuted).tokens)


@kinds
def test_a_batch_equals_single_passes(kind: str) -> None:
    model = small(KINDS[kind])
    patches, _ = scene(model, batch=3)
    thumbnails = noise(3, 3, 8, 16)
    together = model.select(thumbnails, GRID)
    cells = choose(together.map, 9)
    cls = model.extract(chosen_at(patches, cells, GRID, together.prefix_tokens))
    for index in range(3):
        one = slice(index, index + 1)
        alone = model.select(thumbnails[one], GRID)
        near(alone.map, together.map[one])
        near(model.extract(chosen_at(patches[one], cells[one], GRID, alone.prefix_tokens)), cls[one])


def transposed(model: LookWhere) -> LookWhere:
    """Make the model that answers the same for transposed pictures: transpose kernels, positions and map pieces."""
    turned = small(model.config)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    scale = model.config.map_scale
    for name, value in state.items():
        if name.endswith("patch_embed.proj.weight"):
            state[name] = value.mT
        elif name.endswith("pos_embed"):
            grid = model.config.thumbnail_grid if name.startswith("selector") else model.config.grid
            prefix = value.shape[1] - grid[0] * grid[1]
            cells = value[:, prefix:].unflatten(1, grid).transpose(1, 2).flatten(1, 2)
            state[name] = torch.cat([value[:, :prefix], cells], dim=1)
        elif ".head.w2." in name:
            state[name] = value.unflatten(0, (scale, scale)).transpose(0, 1).flatten(0, 1)
    turned.load_state_dict(state)
    return turned


@kinds
def test_transposing_picture_and_model_transposes_the_map_and_does_not_change_cls(kind: str) -> None:
    model = small(KINDS[kind])
    turned = transposed(model)
    patch = model.config.patch
    picture, thumbnail = noise(1, 3, GRID[0] * patch, GRID[1] * patch), noise(1, 3, 2 * patch, 4 * patch)
    one, other = model.select(thumbnail, GRID), turned.select(thumbnail.mT, GRID[::-1])
    near(one.map.unflatten(1, GRID).mT, other.map.unflatten(1, GRID[::-1]))
    cells = choose(one.map, 8)
    mirrored = cells % GRID[1] * GRID[0] + cells // GRID[1]
    near(
        model.extract(chosen_at(cut(picture, patch), cells, GRID, one.prefix_tokens)),
        turned.extract(chosen_at(cut(picture.mT, patch), mirrored, GRID[::-1], other.prefix_tokens)),
    )


def test_the_map_is_float32_in_half_precision() -> None:
    model = small(SMALL).to(torch.bfloat16)
    selection = model.select(noise(1, 3, 12, 12).bfloat16(), GRID)
    assert selection.map.dtype == torch.float32
    assert selection.prefix_tokens.dtype == torch.bfloat16


def test_a_model_with_labels_has_a_logit_for_each() -> None:
    assert small(LABELLED).logits(noise(2, LABELLED.dim)).shape == (2, 3)


@given(st.integers(1, 40), st.integers(1, 30))
def test_choose_takes_the_highest_scores_best_first(cells: int, k: int) -> None:
    scores = noise(2, cells, seed=cells)
    k = min(k, cells)
    picked = torch.take_along_dim(scores, choose(scores, k), 1)
    assert picked.equal(scores.sort(dim=1, descending=True).values[:, :k])
