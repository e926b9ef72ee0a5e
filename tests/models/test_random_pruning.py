"""Pruning at random: it follows the schedule, never drops the prefix, and drops every cell with equal probability."""

from __future__ import annotations

from dataclasses import replace

import torch

from lookwhere_cli.macs.blocks import count_blocks
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.pruning.cropr import restore_order
from lookwhere_cli.models.pruning.random import random_cropr
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.models.vit import CLS
from tests.macs.test_macs import counted
from tests.models.small import LABELLED, noise, small
from tests.models.test_cropr import FULL, FUSIONS, REGISTERS, identities, tokens_of


@FUSIONS
def test_the_schedule_is_followed_and_the_prefix_remains(fusion: bool) -> None:
    cropr = random_cropr(REGISTERS, Pruning(5, fusion), seed=0)
    tokens = noise(4, 39, REGISTERS.dim)
    with cropr.record_inputs() as seen:
        cropped = cropr(tokens, identities(REGISTERS))
    assert [one.shape[1] for one in seen] == [39, *cropr.counts(39)[:-1]]
    assert torch.equal(cropped.tokens[:, :3], tokens[:, :3])
    assert torch.equal(cropped.tokens[:, 3:], tokens[:, 3:].take_along_dim(cropped.places[..., None], 1))
    if fusion:
        assert torch.equal(restore_order(cropped.tokens[:, 3:], cropped.places), tokens[:, 3:])


def remaining(seed: int, batch: int = 600) -> torch.Tensor:
    """Return (batch, cells): 1 if a cell remains after the last module."""
    places = random_cropr(FULL, Pruning(4), seed)(noise(1, 37, FULL.dim).expand(batch, -1, -1), identities(FULL)).places
    return torch.zeros(batch, 36).scatter(1, places, 1.0)


def test_every_cell_remains_with_equal_probability_and_pictures_differ() -> None:
    share = remaining(seed=0)
    assert share.sum(dim=1).eq(19).all()
    assert (share.mean(dim=0) - 19 / 36).abs().max() < 0.09  # four standard deviations
    assert len(share.unique(dim=0)) == 600


def test_a_seed_repeats_its_cells_and_another_seed_does_not() -> None:
    assert torch.equal(remaining(1, batch=3), remaining(1, batch=3))
    assert not torch.equal(remaining(1, batch=3), remaining(2, batch=3))


@FUSIONS
def test_the_macs_are_what_torch_counts(fusion: bool) -> None:
    vit, cropr = small(FULL).extractor, random_cropr(FULL, Pruning(4, fusion), seed=0)
    tokens = tokens_of(vit, batch=1)
    assert count_blocks(FULL, 37, cropr.counts(37), 1) == counted(lambda: cropr(tokens, vit.blocks, CLS))


def test_a_model_that_was_not_trained_for_pruning_answers() -> None:
    config = replace(LABELLED, extractor_depth=5, k=20)
    model = small(config)
    chosen = Chosen(noise(2, 20, 3, 4, 4), torch.arange(20).expand(2, 20), (6, 6), noise(2, 1, 24))
    plain = model.extract(chosen)
    model.extractor.cropr = random_cropr(config, Pruning(3), seed=0)
    assert not torch.allclose(model.extract(chosen), plain, atol=1e-3)
    assert model.extract_dense(chosen).cells.shape == (2, 7)
    assert model.state_dict().keys() == small(config).state_dict().keys()
