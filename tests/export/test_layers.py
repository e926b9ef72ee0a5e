"""Layers in the form that is traced equal those that they stand for."""

from dataclasses import replace

import pytest
import torch

from lookwhere_cli.export.layers import TracedBlock, TracedPatches
from lookwhere_cli.export.positions import Positions, StoredAxis
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.vit import ALL, CLS
from tests.models.small import GATED, LABELLED, PUBLISHED, noise, small


@pytest.mark.parametrize("config", [LABELLED, PUBLISHED, GATED], ids=["plain", "layer scale", "packed SwiGLU"])
@pytest.mark.parametrize("returned", [ALL, CLS], ids=["all", "cls"])
@torch.no_grad()
def test_a_traced_block_equals_the_block(config, returned):
    block, tokens = small(config).extractor.blocks[0], noise(2, 7, config.dim)
    torch.testing.assert_close(TracedBlock(block)(tokens, returned), block(tokens, returned), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_traced_patches_normalise_the_pixels_of_each_channel_alone():
    config = replace(LABELLED, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    embed = small(config).extractor.patch_embed
    pixels = torch.randint(0, 256, (2, 5, config.patch, config.patch, 3), dtype=torch.uint8)
    expected = embed(Normaliser(config)(pixels.movedim(-1, 2)))
    torch.testing.assert_close(TracedPatches(embed, config)(pixels), expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_traced_layers_leave_the_model_as_it_was():
    model = small(PUBLISHED)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    TracedBlock(model.extractor.blocks[0])
    TracedPatches(model.extractor.patch_embed, PUBLISHED)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("grid", [(6, 6), (1, 1), (2, 3), (7, 12), (31, 5), (200, 170)])
@torch.no_grad()
def test_traced_positions_equal_those_of_the_model(grid):
    vit = small(LABELLED).extractor
    positions, cells = Positions(vit), torch.arange(grid[0] * grid[1])
    expected = vit.positions_at(cells, grid)
    chosen = cells.flip(0)[: 2 * (len(cells) // 2)].reshape(2, -1)
    torch.testing.assert_close(positions.whole(*grid), expected, atol=2e-5, rtol=1e-5)
    found = positions.at(chosen, torch.tensor(grid))
    torch.testing.assert_close(found, expected[chosen], atol=2e-5, rtol=1e-5)


def test_stored_positions_are_copied_exactly():
    assert torch.equal(StoredAxis(6)(torch.arange(6), 6), torch.eye(6))


def test_weights_of_an_axis_add_up_to_one():
    weights = StoredAxis(5)(torch.arange(37), 37)
    torch.testing.assert_close(weights.sum(1), torch.ones(37))
    assert weights.shape == (37, 5)
