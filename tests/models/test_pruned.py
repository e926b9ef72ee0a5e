"""Models with pruning modules: answers, cells and multiply-adds are those of the remaining tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen, Coarse
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.pruning.cropr import Cropr
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.models.vit import CLS
from tests.macs.test_macs import counted
from tests.models.small import LABELLED, PUBLISHED, SEGMENTING, noise, small, some_cells

GRID, K = (5, 7), 20
DEEP = replace(LABELLED, extractor_depth=5, k=K)
DEEP_PUBLISHED = replace(PUBLISHED, labels=DEEP.labels, extractor_depth=5, k=K)
DENSE = replace(SEGMENTING, extractor_depth=5, k=K)
FUSIONS = pytest.mark.parametrize("fusion", [False, True])


def scene(config: Config, seed: int = 1, batch: int = 2) -> Chosen[Tensor]:
    """Return K cells of pictures of noise, without coarse patches."""
    patches = noise(batch, K, 3, config.patch, config.patch, seed=seed)
    prefix_tokens = noise(batch, config.prefix_tokens, config.dim, seed=seed)
    return Chosen(patches, some_cells(batch, K, 35, seed), GRID, prefix_tokens)


def coarse_of(config: Config, batch: int = 2) -> Coarse[Tensor]:
    return Coarse(noise(batch, 12, 3, config.patch, config.patch, seed=8), (3, 4))


def plain(model: LookWhere) -> LookWhere:
    """Make the same model without pruning modules."""
    unpruned = small(replace(model.config, prune=None))
    unpruned.load_state_dict({name: value for name, value in model.state_dict().items() if "cropr" not in name})
    return unpruned


def by_cell(tokens: Tensor, cells: Tensor) -> dict[int, Tensor]:
    return dict(zip(cells[0].tolist(), tokens[0], strict=True))


@FUSIONS
@pytest.mark.parametrize("config", [DEEP, DEEP_PUBLISHED])
def test_a_rate_of_zero_equals_the_model_without_modules(config: Config, fusion: bool) -> None:
    model, chosen = small(replace(config, prune=0, prune_fusion=fusion)), scene(config)
    assert torch.equal(model.extract(chosen), plain(model).extract(chosen))
    unpruned = plain(model).extract_dense(chosen)
    for ours, theirs in zip(model.extract_dense(chosen), unpruned, strict=True):
        assert torch.equal(ours, theirs)


@FUSIONS
@pytest.mark.parametrize("config", [DEEP, DEEP_PUBLISHED])
def test_the_answer_is_that_of_the_remaining_tokens(config: Config, fusion: bool) -> None:
    model = small(replace(config, prune=3, prune_fusion=fusion))
    chosen, vit = scene(config), model.extractor
    assert vit.cropr is not None and vit.cropr.pruning == Pruning(3, fusion)
    embedded = vit.embed(chosen.patches, chosen.grid, chosen.cells)
    tokens = torch.cat([vit.handover(vit.prefix(), chosen.prefix_tokens), embedded], dim=1)
    wanted = vit.norm(vit.cropr(tokens, vit.blocks, CLS).tokens)[:, 0]
    assert torch.equal(model.extract(chosen), wanted)
    assert not torch.allclose(wanted, plain(model).extract(chosen), atol=1e-3)


@FUSIONS
def test_dense_tokens_come_with_their_cells_in_the_order_of_the_input(fusion: bool) -> None:
    model = small(replace(DEEP, prune=3, prune_fusion=fusion))
    chosen = scene(DEEP)
    tokens, left = model.extract_dense(chosen)
    assert tokens.shape[:2] == left.shape == (2, K if fusion else K - 13)
    for one, given in zip(left.tolist(), chosen.cells.tolist(), strict=True):
        assert one == [cell for cell in given if cell in one]
    order = some_cells(1, K, K)[0]
    turned = model.extract_dense(chosen._replace(patches=chosen.patches[:, order], cells=chosen.cells[:, order]))
    ours, theirs = by_cell(tokens, left), by_cell(*turned)
    assert ours.keys() == theirs.keys()
    for cell, token in ours.items():
        torch.testing.assert_close(theirs[cell], token, atol=1e-4, rtol=1e-4)


@FUSIONS
def test_masks_are_spread_from_the_remaining_cells(fusion: bool) -> None:
    model, chosen = small(replace(DENSE, prune=0.6, prune_fusion=fusion)), scene(DENSE)
    tokens, left = model.extract_dense(chosen)
    torch.testing.assert_close(model.segment(chosen), model.decoder(tokens, chosen._replace(cells=left)))


def test_the_maximum_is_over_the_remaining_cells() -> None:
    model, chosen = small(replace(DEEP, prune=3, pool="max")), scene(DEEP)
    assert torch.equal(model.extract(chosen), model.extract_dense(chosen).tokens.amax(dim=1))


def test_coarse_patches_are_dropped_like_cells_and_return_with_fusion() -> None:
    config = replace(DENSE, prune=0.5, prune_fusion=True)
    model, coarse = small(config), coarse_of(config)
    chosen = scene(config)._replace(coarse=coarse)
    tokens, left = model.extract_dense(chosen)
    assert torch.equal(left, chosen.cells) and tokens.shape[1] == K
    both = model.extractor(chosen, slice(config.prefix_tokens, None))
    assert torch.equal(both.tokens[:, :K], tokens) and torch.equal(both.cells, chosen.cells)
    turned = chosen._replace(coarse=Coarse(coarse.patches.flip(1), coarse.grid))
    assert model.segment(chosen).shape == (2, 3, 10, 14)
    assert not torch.allclose(model.segment(turned), model.segment(chosen), atol=1e-3)


def test_with_coarse_patches_and_without_fusion_only_cls_can_be_asked_for() -> None:
    model, chosen = small(replace(DEEP, prune=3)), scene(DEEP)
    with_coarse = model.extract(chosen._replace(coarse=coarse_of(DEEP)))
    assert not torch.allclose(with_coarse, model.extract(chosen), atol=1e-3)
    with pytest.raises(ValueError, match="can't be told from those of coarse patches"):
        model.extract_dense(chosen._replace(coarse=coarse_of(DEEP)))
    for changes in ({"pool": "max"}, {"task": "segment"}):
        with pytest.raises(ValueError, match="coarse_size is 16 and prune is 3"):
            replace(DEEP, prune=3, coarse_size=16, **changes)  # type: ignore[arg-type]


@FUSIONS
def test_a_batch_equals_single_passes(fusion: bool) -> None:
    model = small(replace(DEEP, prune=3, prune_fusion=fusion))
    chosen = scene(DEEP, batch=3)
    together = model.extract(chosen)
    for index in range(3):
        one = slice(index, index + 1)
        alone = model.extract(chosen.at(one))
        torch.testing.assert_close(alone, together[one], atol=1e-4, rtol=1e-4)


UNFUSED = [(3, False), (0.5, False), ((21, 18, 9, 5), False)]
FUSED = [(3, True), (0.5, True), ((21, 9, 5), True)]


def pruning_model(config: Config, amount: Any, fusion: bool, coarse: int) -> tuple[LookWhere, Chosen[Tensor]]:
    """Return a model that prunes, and cells of one picture with 0 or 12 coarse patches."""
    config = replace(config, prune=amount, prune_fusion=fusion)
    return small(config), scene(config, batch=1)._replace(coarse=coarse_of(config, batch=1) if coarse else None)


@pytest.mark.parametrize(("amount", "fusion"), UNFUSED + FUSED)
@pytest.mark.parametrize("coarse", [0, 12])
def test_the_macs_of_cls_are_what_torch_counts(amount: Any, fusion: bool, coarse: int) -> None:
    model, chosen = pruning_model(DEEP, amount, fusion, coarse)
    assert passes.count_image(model.config, GRID, (3, 3), K, coarse).extractor == counted(lambda: model.extract(chosen))


@pytest.mark.parametrize(
    ("amount", "fusion", "coarse"), [*((*one, 0) for one in UNFUSED + FUSED), *((*one, 12) for one in FUSED)]
)
def test_the_macs_of_cells_are_what_torch_counts(amount: Any, fusion: bool, coarse: int) -> None:
    largest, chosen = pruning_model(replace(DEEP, pool="max"), amount, fusion, coarse)
    spent = counted(lambda: largest.extract(chosen))
    assert passes.count_image(largest.config, GRID, (3, 3), K, coarse).extractor == spent
    assert passes.count_dense(largest.config, GRID, (3, 3), K, 24, coarse).extractor == spent
    model, chosen = pruning_model(DENSE, amount, fusion, coarse)
    ours = passes.count_segment(model.config, GRID, (3, 3), K, coarse)
    assert ours.extractor + ours.head == counted(lambda: model.segment(chosen))
    left = model.extract_dense(chosen).cells.shape[1]
    assert ours.spread == (4 if coarse else min(5, left)) * 35 * 8


def test_another_schedule_is_used_from_then_on_or_refused() -> None:
    cropr = Cropr(DEEP, Pruning(3))
    cropr.set_schedule(Pruning(1), tokens=21)
    assert cropr.counts(21) == (19, 18, 17, 16)
    with pytest.raises(ValueError, match="a rate of 9 drops 37 of 21 tokens"):
        cropr.set_schedule(Pruning(9), tokens=21)
    assert cropr.counts(21) == (19, 18, 17, 16)


def test_a_schedule_that_is_impossible_with_the_models_own_k_is_refused() -> None:
    for amount in (9, 0.01, (30, 9, 9, 9), (9, 9)):
        with pytest.raises(ValueError, match=r"rate of 9|share of 0\.01|count of 30|2 counts"):
            LookWhere(replace(DEEP, prune=amount))
