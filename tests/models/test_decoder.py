"""Decoders, from the tokens of some cells to scores everywhere; and models without a selector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen, Coarse
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.decoder import Detail
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.spread_torch import overlay, spread_tensor
from lookwhere_cli.models.vit import CLS, ViT, cut
from tests.macs.test_macs import counted
from tests.models.small import LABELLED, PUBLISHED, SEGMENTING, chosen_at, noise, small, some_cells

LINEAR = replace(SEGMENTING, decoder_channels=0)
DETAILED = replace(SEGMENTING, decoder_detail=5)
DECODERS = {
    "linear": LINEAR,
    "convolution": SEGMENTING,
    "convolution and detail": DETAILED,
    "as published": replace(PUBLISHED, task="segment", labels=("a", "b")),
}
FULL = replace(LABELLED, selector_depth=0, prefix="own", k=1.0)
decoders = pytest.mark.parametrize("config", DECODERS.values(), ids=DECODERS)
GRID = (5, 7)
CELLS = GRID[0] * GRID[1]


def near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def at(cells: Tensor, coarse: tuple[int, int] | None = None) -> Chosen[Tensor]:
    """These cells, for a decoder that sees no pixels. coarse: grid of the coarse patches."""
    nothing = torch.empty(0)
    return Chosen(nothing, cells, GRID, nothing, coarse and Coarse(nothing, coarse))


def arranged(pieces: Tensor, scale: int) -> Tensor:
    """Arrange (batch, cells, classes * scale * scale) as a picture of scores, one number at a time."""
    batch, classes = len(pieces), pieces.shape[-1] // scale**2
    fine = torch.empty(batch, classes, GRID[0] * scale, GRID[1] * scale)
    for cell in range(CELLS):
        row, column = divmod(cell, GRID[1])
        for piece in range(scale**2):
            down, across = divmod(piece, scale)
            fine[:, :, row * scale + down, column * scale + across] = pieces[:, cell, piece :: scale**2]
    return fine


@decoders
def test_all_cells_in_any_order_equal_the_dense_pass_on_all(config: Config) -> None:
    model = small(config)
    patches, prefix = noise(2, CELLS, 3, config.patch, config.patch), noise(2, config.prefix_tokens, config.dim, seed=9)
    extractor = model.extractor
    handed = extractor.handover(extractor.prefix(), prefix)
    tokens = extractor.encode(torch.cat([handed, extractor.embed(patches, GRID)], dim=1))[:, config.prefix_tokens :]
    if config.decoder_channels:
        narrow = model.decoder.narrow(tokens)
        mixed = model.decoder.mix(narrow.transpose(1, 2).reshape(2, -1, *GRID)).flatten(2).transpose(1, 2)
        tokens = narrow + F.gelu(mixed)
    pieces = model.decoder.head(tokens)
    if config.decoder_detail:
        pieces = pieces + seen_one_by_one(model.decoder.detail, narrow, patches)
    cells = some_cells(2, CELLS, CELLS)
    near(model.segment(chosen_at(patches, cells, GRID, prefix)), arranged(pieces, config.decoder_scale))


def seen_one_by_one(detail: Detail, narrow: Tensor, patches: Tensor) -> Tensor:
    """What is added to the scores of cells (batch, k, classes * scale * scale), a cell and a piece at a time."""
    added = torch.empty(*narrow.shape[:2], DETAILED.decoder_scale**2 * 3)
    for place in np.ndindex(narrow.shape[:2]):
        seen = F.conv2d(F.pad(patches[place], (2, 2, 2, 2), mode="replicate"), detail.pixels.weight, stride=2)
        for piece in range(4):
            own = detail.context(narrow[place]).reshape(4, 5)[piece]
            hidden = F.gelu(seen[:, piece // 2, piece % 2] + detail.pixels.bias + own)
            added[place][piece::4] = detail.head(hidden)
    return added


def test_detail_reaches_the_cells_that_were_read_and_no_others() -> None:
    model, cells = small(DETAILED), torch.tensor([[3, 17]])
    chosen = Chosen(noise(1, 2, 3, 4, 4), cells, GRID, noise(1, 1, 24))
    tokens = noise(1, 2, DETAILED.dim)
    difference = model.decoder(tokens, chosen) - model.decoder(tokens, chosen._replace(patches=chosen.patches + 1))
    touched = F.max_pool2d(difference.abs().amax(1), DETAILED.decoder_scale)[0] > 1e-4
    assert touched.flatten().nonzero().flatten().tolist() == [3, 17]


@pytest.mark.parametrize("fields", [{"decoder_channels": 0}, {"prune": 1}, {"decoder_scale": 3}])
def test_detail_is_refused_where_it_has_no_place(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="decoder_detail is 5; it needs"):
        replace(DETAILED, **fields)


def test_a_config_without_detail_is_written_as_before() -> None:
    assert "decoder_detail" not in SEGMENTING.to_dict()
    assert Config.from_dict(DETAILED.to_dict()) == DETAILED


def test_the_linear_decoder_gives_the_same_if_its_head_comes_before_spreading_or_after() -> None:
    decoder = small(LINEAR).decoder
    tokens, cells = noise(2, 9, LINEAR.dim), some_cells(2, 9, CELLS)
    logits = decoder(tokens, at(cells))
    near(logits, arranged(spread_tensor(decoder.head(tokens), cells, GRID), LINEAR.decoder_scale))
    near(logits, arranged(decoder.head(spread_tensor(tokens, cells, GRID)), LINEAR.decoder_scale))


def test_cells_that_were_not_read_take_the_coarse_tokens() -> None:
    decoder, cells = small(LINEAR).decoder, some_cells(2, 9, CELLS)
    tokens, beneath = noise(2, 9, LINEAR.dim), noise(2, CELLS, LINEAR.dim, seed=7)
    expected = beneath.clone()
    for picture in range(2):
        expected[picture, cells[picture]] = tokens[picture]
    logits = decoder(torch.cat([tokens, beneath], dim=1), at(cells, GRID))
    near(logits, arranged(decoder.head(expected), LINEAR.decoder_scale))


def test_equal_coarse_tokens_fill_the_grid_but_for_the_cells() -> None:
    tokens, ground = noise(1, 3, 4), noise(1, 1, 4, seed=5).expand(1, 6, 4)
    covered = overlay(tokens, torch.tensor([[0, 8, 34]]), GRID, ground, (2, 3))
    others = [cell for cell in range(CELLS) if cell not in (0, 8, 34)]
    near(covered[:, others], ground[:, :1].expand(1, CELLS - 3, 4))
    near(covered[:, [0, 8, 34]], tokens)


def test_the_convolution_reaches_the_eight_neighbours() -> None:
    decoder, cells = small(SEGMENTING).decoder, torch.arange(CELLS)[None]
    tokens, scale = noise(1, CELLS, SEGMENTING.dim), SEGMENTING.decoder_scale
    changed = tokens.clone()
    changed[0, 2 * GRID[1] + 3] += 1  # the cell in row 2, column 3
    difference = (decoder(changed, at(cells)) - decoder(tokens, at(cells))).abs().amax(1)[0]
    touched = F.max_pool2d(difference[None], scale)[0] > 1e-4
    wanted = torch.zeros(GRID, dtype=torch.bool)
    wanted[1:4, 2:5] = True
    assert touched.equal(wanted)


@decoders
@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), k=st.integers(1, 36))
def test_scores_of_any_grid_and_any_k_are_finite(config: Config, rows: int, columns: int, k: int) -> None:
    model, k = small(config), min(k, rows * columns)
    patches, cells = noise(2, k, 3, config.patch, config.patch), some_cells(2, k, rows * columns)
    logits = model.segment(Chosen(patches, cells, (rows, columns), noise(2, config.prefix_tokens, config.dim)))
    scale = config.decoder_scale
    assert logits.shape == (2, len(config.labels), rows * scale, columns * scale)
    assert logits.isfinite().all()


@decoders
def test_the_order_of_the_cells_does_not_matter(config: Config) -> None:
    model = small(config)
    patches, cells = noise(1, 9, 3, config.patch, config.patch), some_cells(1, 9, CELLS)
    prefix, order = noise(1, config.prefix_tokens, config.dim), torch.randperm(9)
    permuted = Chosen(patches[:, order], cells[:, order], GRID, prefix)
    near(model.segment(Chosen(patches, cells, GRID, prefix)), model.segment(permuted))


@decoders
@pytest.mark.parametrize(("grid", "thumbnail", "k"), [((6, 6), (3, 3), 9), ((5, 7), (2, 4), 1), ((9, 4), (3, 2), 36)])
def test_the_macs_are_what_torch_counts(
    config: Config, grid: tuple[int, int], thumbnail: tuple[int, int], k: int
) -> None:
    model = small(config)
    patches, cells = noise(1, k, 3, config.patch, config.patch), some_cells(1, k, grid[0] * grid[1])
    thumbnails = noise(1, 3, thumbnail[0] * config.patch, thumbnail[1] * config.patch)
    prefix, tokens = noise(1, config.prefix_tokens, config.dim), noise(1, k, config.dim)
    ours = passes.count_segment(config, grid, thumbnail, k)
    assert ours.selector == counted(lambda: model.select(thumbnails, grid))
    assert ours.extractor == counted(lambda: model.extract_dense(Chosen(patches, cells, grid, prefix)))
    assert ours.head == counted(lambda: model.decoder(tokens, Chosen(patches, cells, grid, prefix)))
    channels = config.decoder_channels or len(config.labels) * config.decoder_scale**2
    assert ours.spread == min(5, k) * grid[0] * grid[1] * channels
    assert ours.total == ours.selector + ours.extractor + ours.head + ours.spread
    coarse = Coarse(noise(1, 6, 3, config.patch, config.patch), (2, 3))
    more, beside = passes.count_segment(config, grid, thumbnail, k, coarse=6), noise(1, k + 6, config.dim)
    chosen, read = Chosen(patches, cells, grid, prefix, coarse), slice(config.prefix_tokens, None)
    assert more.extractor == counted(lambda: model.extractor(chosen, read))
    assert more.head == counted(lambda: model.decoder(beside, chosen))
    assert more.spread == 4 * grid[0] * grid[1] * channels


def test_the_full_macs_of_a_segmentation_model_include_its_decoder() -> None:
    features = replace(SEGMENTING, task="features", labels=(), decoder_channels=0)
    chosen = Chosen(noise(1, CELLS, 3, 4, 4), torch.arange(CELLS)[None], GRID, noise(1, 1, 24))
    for config in (SEGMENTING, DETAILED):
        model = small(config)
        decoder = counted(lambda model=model: model.decoder(noise(1, CELLS, 24), chosen))
        assert passes.count_full(config, GRID) == passes.count_full(features, GRID) + decoder


def test_a_model_without_a_selector_is_the_plain_vit() -> None:
    model = small(FULL)
    patches, thumbnails = noise(2, CELLS, 3, 4, 4), noise(2, 3, 8, 12)
    selection = model.select(thumbnails, GRID)
    assert selection.map.equal(torch.zeros(2, CELLS))
    cells = choose(selection.map, CELLS)
    logits = model.logits(model.extract(chosen_at(patches, cells, GRID, selection.prefix_tokens)))
    plain = ViT.forward(model.extractor, patches, GRID, CLS)
    near(logits, model.head(plain[:, 0]))
    assert not any(name.startswith("selector.") for name, _ in model.named_parameters())


def test_a_model_without_a_selector_equals_timms_vit_with_the_same_weights() -> None:
    from lookwhere_cli.checkpoints.timm_package import import_timm

    model = small(FULL)
    vit = import_timm().models.VisionTransformer(
        img_size=24, patch_size=4, embed_dim=24, depth=3, num_heads=3, mlp_ratio=2, num_classes=3
    )
    stored = {name.removeprefix("extractor."): value for name, value in model.state_dict().items()}
    vit.load_state_dict(stored)
    pictures = noise(2, 3, 24, 24)
    everywhere = torch.arange(36).expand(2, -1)
    cls = model.extract(Chosen(cut(pictures, 4), everywhere, (6, 6), noise(2, 1, 24)))
    near(model.logits(cls), vit.eval()(pictures))


def test_a_model_without_a_selector_takes_only_the_extractors_macs() -> None:
    ours = passes.count_image(FULL, GRID, (2, 3), CELLS)
    assert ours.selector == 0
    model = small(FULL)
    chosen = Chosen(noise(1, CELLS, 3, 4, 4), torch.arange(CELLS)[None], GRID, noise(1, 1, 24))
    assert ours.extractor == counted(lambda: model.extract(chosen))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"selector_depth": 0}, "selector_depth is 0 and prefix is 'add'"),
        ({"prefix": "own"}, "selector_depth is 2 and prefix is 'own'"),
        ({"selector_depth": -1, "prefix": "own"}, "selector_depth is -1"),
        ({"task": "segment", "labels": ()}, "labels is empty"),
        ({"task": "caption"}, "classify, segment, "),
        ({"decoder_channels": -1}, "decoder_channels is -1"),
        ({"decoder_scale": 0}, "decoder_scale is 0"),
        ({"pool": "mean"}, "pool is 'mean'; it must be one of cls, max"),
    ],
)
def test_impossible_configs_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(LABELLED, **changes)  # type: ignore[arg-type]


def test_with_max_pooling_the_head_reads_each_channels_maximum() -> None:
    model = small(replace(LABELLED, pool="max"))
    chosen = Chosen(noise(2, 9, 3, 4, 4), some_cells(2, 9, CELLS), GRID, noise(2, 1, 24))
    near(model.extract(chosen), model.extract_dense(chosen).tokens.max(dim=1).values)
    ours = passes.count_image(model.config, GRID, (2, 3), 9)
    assert ours.extractor == counted(lambda: model.extract(chosen.at(slice(0, 1))))
