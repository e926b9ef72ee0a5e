"""Token merging on an unchanged ViT: which cells are merged, their tokens, and the multiply-adds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.macs import passes
from lookwhere_cli.macs.blocks import count_merged_blocks, merged_counts
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.tome import Groups, ToMe, match, merge
from lookwhere_cli.models.vit import ALL, CLS
from tests.macs.test_macs import counted
from tests.models.small import LABELLED, SEGMENTING, noise, small
from tests.models.test_cropr import FULL, REGISTERS, tokens_of

CONFIGS = pytest.mark.parametrize("config", [FULL, REGISTERS])


@CONFIGS
@pytest.mark.parametrize("returned", [ALL, CLS, slice(1, None)])
def test_a_rate_of_zero_is_the_plain_vit(config: Config, returned: slice) -> None:
    vit = small(config).extractor
    tokens = tokens_of(vit)
    if returned.start:
        returned = slice(config.prefix_tokens, None)
    merged = ToMe(config, 0)(tokens, vit.blocks, returned)
    torch.testing.assert_close(vit.norm(merged.tokens), vit.encode(tokens, returned), atol=1e-5, rtol=1e-5)
    assert torch.equal(merged.places, torch.arange(36).expand(2, 36))


@CONFIGS
@given(rate=st.integers(0, 40))
def test_each_block_merges_rate_cells_and_sizes_sum_to_the_tokens(config: Config, rate: int) -> None:
    vit = small(config).extractor
    count, prefix = config.prefix_tokens + 36, config.prefix_tokens
    groups = ToMe(config, rate).group(tokens_of(vit), vit.blocks)
    counts = merged_counts(config, count, rate)
    assert len(counts) == 4 and groups.tokens.shape[1] == counts[-1] >= prefix + 1
    assert all(before - after == min(rate, (before - prefix) // 2) for before, after in pairwise((count, *counts)))
    assert torch.equal(groups.sizes.sum(dim=1), torch.full((2,), float(count)))
    for sizes, members in zip(groups.sizes, groups.members, strict=True):
        assert torch.equal(members.bincount(minlength=counts[-1]), sizes.long())
        assert torch.equal(members[:prefix], torch.arange(prefix))  # prefix tokens are not merged
        assert sizes[:prefix].eq(1).all()


@given(cells=st.integers(2, 12), seed=st.integers(0, 99), data=st.data())
def test_the_most_similar_cells_are_merged(cells: int, seed: int, data: st.DataObject) -> None:
    joined = data.draw(st.integers(1, cells // 2))
    keys = noise(1, cells, 5, seed=seed)
    place = match(keys, joined)[0].tolist()
    assert sorted(set(place)) == list(range(cells - joined))
    alike = F.cosine_similarity(keys[0, :, None], keys[0, None], dim=-1)
    best = {
        cell: max(range(1, cells, 2), key=lambda other, cell=cell: alike[cell, other].item())
        for cell in range(0, cells, 2)
    }
    gone = sorted(best, key=lambda cell: -alike[cell, best[cell]].item())[:joined]
    half = (cells + 1) // 2 - joined
    for cell in range(cells):
        if cell % 2:
            assert place[cell] == half + cell // 2
        elif cell in gone:
            assert place[cell] == place[best[cell]]
        else:
            assert place[cell] < half and place.count(place[cell]) == 1


def test_a_group_has_the_mean_of_its_tokens_weighted_by_sizes() -> None:
    tokens = torch.tensor([[[9.0], [1.0], [4.0], [10.0], [20.0]]])  # CLS and four cells
    groups = Groups(tokens, torch.tensor([[1.0, 2.0, 1.0, 1.0, 1.0]]), torch.tensor([[0, 1, 1, 2, 3, 4]]))
    keys = torch.tensor([[[5.0, 5.0], [1.0, 0.1], [1.0, 0.0], [-1.0, 3.0], [0.0, 1.0]]])
    merged = merge(groups, keys, prefix=1, rate=1)
    assert merged.tokens.flatten().tolist() == [9, 10, 2, 20]  # the second and third: (2 * 1 + 4) / 3
    assert merged.sizes.tolist() == [[1, 1, 3, 1]] and merged.members.tolist() == [[0, 2, 2, 2, 1, 3]]
    assert merge(groups, keys, prefix=1, rate=0) is groups


def test_merging_equal_cells_changes_nothing() -> None:
    """A group attends and is attended to as its members would be."""
    vit = small(FULL).extractor
    tokens = tokens_of(vit, batch=1)
    tokens[:, 1:] = tokens[:, 1:2]
    merged = ToMe(FULL, 7)(tokens, vit.blocks, ALL).tokens
    torch.testing.assert_close(vit.norm(merged), vit.encode(tokens), atol=1e-4, rtol=1e-4)


def test_the_members_of_a_group_have_its_token() -> None:
    vit, tome = small(FULL).extractor, ToMe(FULL, 6)
    tokens = tokens_of(vit)
    members = tome.group(tokens, vit.blocks).members
    whole, cells = tome(tokens, vit.blocks, ALL).tokens, tome(tokens, vit.blocks, slice(1, None)).tokens
    torch.testing.assert_close(whole[:, 1:], cells)
    for one, of_group in zip(whole, members, strict=True):
        for group in of_group.unique():
            assert len(one[of_group == group].unique(dim=0)) == 1
        assert len(one.unique(dim=0)) == len(of_group.unique())


@pytest.mark.parametrize("rate", [0, 1, 6, 40])
def test_the_macs_are_what_torch_counts(rate: int) -> None:
    vit, tome = small(FULL).extractor, ToMe(FULL, rate)
    tokens, counts = tokens_of(vit, batch=1), merged_counts(FULL, 37, rate)
    for asked, returned in ((CLS, 1), (slice(1, None), counts[-1] - 1)):
        assert count_merged_blocks(FULL, 37, counts, returned) == counted(
            lambda asked=asked: tome(tokens, vit.blocks, asked)
        )


def test_a_model_that_was_not_trained_for_merging_answers_for_every_cell() -> None:
    config = replace(SEGMENTING, extractor_depth=5, selector_depth=0, prefix="own", k=1.0)
    model = small(config)
    patches, cells = noise(2, 36, 3, 4, 4), torch.arange(36).flip(0).expand(2, 36)
    chosen = Chosen(patches, cells, (6, 6), noise(2, 1, 24))
    plain = model.segment(chosen)
    model.extractor.cropr = ToMe(config, 0)
    torch.testing.assert_close(model.segment(chosen), plain, atol=1e-4, rtol=1e-4)
    model.extractor.cropr = ToMe(config, 6)
    assert model.segment(chosen).shape == plain.shape
    assert torch.equal(model.extract_dense(chosen).cells, cells)
    assert not torch.allclose(model.segment(chosen), plain, atol=1e-3)
    assert model.state_dict().keys() == small(config).state_dict().keys()


@pytest.mark.parametrize("base", [LABELLED, SEGMENTING, replace(SEGMENTING, decoder_channels=0)])
@pytest.mark.parametrize("rate", [0, 6])
def test_the_macs_of_a_model_that_merges_are_what_torch_counts(base: Config, rate: int) -> None:
    config = replace(base, extractor_depth=5, selector_depth=0, prefix="own", k=1.0)
    model = small(config)
    model.extractor.cropr = ToMe(config, rate)
    chosen = Chosen(noise(1, 35, 3, 4, 4), torch.arange(35)[None], (5, 7), noise(1, 1, 24))
    macs = passes.count_merged(config, (5, 7), rate)
    assert macs.extractor + macs.head == counted(lambda: model.answer(chosen))
    channels = {"classify": 0, "segment": config.decoder_channels or 3 * 2**2}[config.task]
    assert (macs.selector, macs.spread) == (0, 5 * 35 * channels)


def test_a_rate_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="a rate of -1 cells is impossible"):
        ToMe(FULL, -1)
