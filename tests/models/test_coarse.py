"""Coarse patches, which the extractor reads with the chosen cells."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookwhere_cli.models.chosen import Coarse, Grid
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.vit import CLS, cut
from tests.models.small import KINDS, LABELLED, SEGMENTING, SMALL, chosen_at, noise, small, some_cells
from tests.models.test_lookwhere import near, transposed

kinds = pytest.mark.parametrize("kind", KINDS)
GRID, SHAPE = (5, 7), (3, 4)


def scene(model: LookWhere, batch: int = 2) -> tuple[Tensor, Tensor, Coarse[Tensor]]:
    """Return patches of all cells, prefix tokens, and coarse patches of a grid SHAPE."""
    config = model.config
    patches = noise(batch, GRID[0] * GRID[1], 3, config.patch, config.patch)
    thumbnail = noise(batch, SHAPE[0] * SHAPE[1], 3, config.patch, config.patch, seed=4)
    return patches, noise(batch, config.prefix_tokens, config.dim, seed=9), Coarse(thumbnail, SHAPE)


def encoded(model: LookWhere, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Collect the tokens that go into the extractor's blocks, of each pass."""
    seen: list[Tensor] = []
    encode = model.extractor.encode
    monkeypatch.setattr(model.extractor, "encode", lambda tokens, *more: seen.append(tokens) or encode(tokens, *more))
    return seen


@kinds
def test_coarse_tokens_follow_the_cells_and_have_positions_of_their_own_grid(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small(KINDS[kind])
    (patches, prefix, coarse), cells = scene(model), some_cells(2, 9, 35)
    seen = encoded(model, monkeypatch)
    model.extract(chosen_at(patches, cells, GRID, prefix, coarse))
    model.extract(chosen_at(patches, cells, GRID, prefix))
    assert seen[0][:, :-12].equal(seen[1])
    near(seen[0][:, -12:], model.extractor.patch_embed(coarse.patches) + model.extractor.positions(SHAPE))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(1, 35))
def test_coarse_tokens_do_not_depend_on_the_chosen_cells(seed: int, k: int) -> None:
    model = small(SMALL)
    (patches, prefix, coarse), cells = scene(model), some_cells(2, k, 35, seed)
    with pytest.MonkeyPatch.context() as monkeypatch:
        seen = encoded(model, monkeypatch)
        for read in (cells, some_cells(2, 9, 35)):
            model.extract(chosen_at(patches, read, GRID, prefix, coarse))
    assert seen[0][:, -12:].equal(seen[1][:, -12:])


@kinds
def test_coarse_patches_change_the_answer(kind: str) -> None:
    model = small(KINDS[kind])
    (patches, prefix, coarse), cells = scene(model), some_cells(2, 9, 35)
    chosen = chosen_at(patches, cells, GRID, prefix)
    with_coarse = model.extract(chosen._replace(coarse=coarse))
    assert not torch.allclose(with_coarse, model.extract(chosen), atol=1e-3)
    other = Coarse(coarse.patches.flip(1), SHAPE)
    assert not torch.allclose(with_coarse, model.extract(chosen._replace(coarse=other)), atol=1e-3)


@kinds
def test_a_batch_equals_single_passes(kind: str) -> None:
    model = small(KINDS[kind])
    (patches, prefix, coarse), cells = scene(model, batch=3), some_cells(3, 9, 35)
    chosen = chosen_at(patches, cells, GRID, prefix, coarse)
    together = model.extract(chosen)
    for index in range(3):
        one = slice(index, index + 1)
        near(model.extract(chosen.at(one)), together[one])


@kinds
def test_dense_tokens_are_those_of_the_chosen_cells_in_their_order(kind: str) -> None:
    model = small(KINDS[kind])
    (patches, prefix, coarse), cells = scene(model), some_cells(2, 11, 35)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(5))
    tokens = model.extract_dense(chosen_at(patches, cells, GRID, prefix, coarse)).tokens
    assert tokens.shape == (2, 11, model.config.dim)
    permuted = chosen_at(patches, cells[:, order], GRID, prefix, coarse)
    near(model.extract_dense(permuted).tokens, tokens[:, order])


def test_the_maximum_does_not_include_coarse_tokens() -> None:
    model = small(replace(LABELLED, pool="max"))
    (patches, prefix, coarse), cells = scene(model), some_cells(2, 9, 35)
    chosen = chosen_at(patches, cells, GRID, prefix, coarse)
    near(model.extract(chosen), model.extract_dense(chosen).tokens.amax(dim=1))


def test_a_mask_covers_the_grid_of_the_picture() -> None:
    model = small(SEGMENTING)
    (patches, prefix, coarse), cells = scene(model), some_cells(2, 9, 35)
    logits = model.segment(chosen_at(patches, cells, GRID, prefix, coarse))
    assert logits.shape == (2, 3, 2 * GRID[0], 2 * GRID[1])
    read = slice(model.config.prefix_tokens, None)
    tokens = model.extractor(chosen_at(patches, cells, GRID, prefix, coarse), read).tokens
    near(logits, model.decoder(tokens, chosen_at(patches, cells, GRID, prefix, coarse)))


@kinds
def test_without_coarse_patches_only_prefix_and_cells_are_read(kind: str) -> None:
    model = small(KINDS[kind])
    (patches, prefix, _), cells = scene(model), some_cells(2, 9, 35)
    extractor = model.extractor
    chosen = chosen_at(patches, cells, GRID, prefix)
    embedded = extractor.embed(chosen.patches, GRID, cells)
    tokens = torch.cat([extractor.handover(extractor.prefix(), prefix), embedded], dim=1)
    assert model.extract(chosen).equal(extractor.encode(tokens, CLS)[:, 0])
    first = model.config.prefix_tokens
    assert model.extract_dense(chosen).tokens.equal(extractor.encode(tokens, slice(first, None)))


@kinds
def test_transposing_picture_and_model_leaves_cls(kind: str) -> None:
    model = small(KINDS[kind])
    turned, patch = transposed(model), model.config.patch
    picture, thumbnail = noise(1, 3, 5 * patch, 7 * patch), noise(1, 3, 3 * patch, 4 * patch, seed=4)
    cells, prefix = some_cells(1, 8, 35), noise(1, model.config.prefix_tokens, model.config.dim)
    mirrored = cells % GRID[1] * GRID[0] + cells // GRID[1]

    def answer(model: LookWhere, picture: Tensor, cells: Tensor, grid: Grid, thumbnail: Tensor, shape: Grid) -> Tensor:
        coarse = Coarse(cut(thumbnail, patch), shape)
        return model.extract(chosen_at(cut(picture, patch), cells, grid, prefix, coarse))

    near(
        answer(model, picture, cells, GRID, thumbnail, SHAPE),
        answer(turned, picture.mT, mirrored, GRID[::-1], thumbnail.mT, SHAPE[::-1]),
    )
