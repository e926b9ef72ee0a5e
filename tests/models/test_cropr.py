"""Pruning modules: what they drop, how they are trained, and their multiply-adds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lookwhere_cli.macs.blocks import count_pruned
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.extractor import Extractor
from lookwhere_cli.models.pruning.auxiliary import AttentionVariant, Auxiliaries
from lookwhere_cli.models.pruning.cropr import Cropr, PruningModule, restore_order
from lookwhere_cli.models.pruning.schedule import Pruning
from lookwhere_cli.models.vit import ALL, CLS
from tests.macs.test_macs import counted
from tests.models.small import PUBLISHED, SMALL, noise, small, some_cells

FULL = replace(SMALL, extractor_depth=5, selector_depth=0, prefix="own", k=1.0)
REGISTERS = replace(FULL, registers=2)
FUSIONS = pytest.mark.parametrize("fusion", [False, True])


class Identity(nn.Module):
    """A block that returns its tokens unchanged."""

    def forward(self, tokens: Tensor, returned: slice = ALL) -> Tensor:
        return tokens[:, returned]


def cropr_of(config: Config, pruning: Pruning, seed: int = 3) -> Cropr:
    cropr = Cropr(config, pruning)
    for index, module in enumerate(cropr):
        module.query.copy_(noise(config.dim, seed=seed + index))
    return cropr


def identities(config: Config) -> nn.ModuleList:
    return nn.ModuleList(Identity() for _ in range(config.extractor_depth))


def tokens_of(vit: Extractor, batch: int = 2, seed: int = 1) -> Tensor:
    """Return the tokens of a whole grid, prefix first."""
    cells = vit.grid[0] * vit.grid[1]
    patch = vit.patch_embed.proj.kernel_size[0]
    tokens = vit.embed(noise(batch, cells, 3, patch, patch, seed=seed), vit.grid)
    return torch.cat([vit.prefix().expand(batch, -1, -1), tokens], dim=1)


@FUSIONS
@pytest.mark.parametrize("returned", [ALL, CLS])
def test_a_rate_of_zero_is_the_plain_vit(fusion: bool, returned: slice) -> None:
    vit = small(REGISTERS).extractor
    tokens = tokens_of(vit)
    cropped = cropr_of(REGISTERS, Pruning(0, fusion))(tokens, vit.blocks, returned)
    assert torch.equal(vit.norm(cropped.tokens), vit.encode(tokens, returned))
    assert torch.equal(cropped.places, torch.arange(36).expand(2, 36))


@FUSIONS
@given(rate=st.integers(1, 7), seed=st.integers(0, 1000))
def test_the_best_cells_remain_in_the_order_of_their_scores_behind_the_prefix(
    fusion: bool, rate: int, seed: int
) -> None:
    cropr = cropr_of(REGISTERS, Pruning(rate, fusion), seed)
    tokens = noise(2, 39, REGISTERS.dim, seed=seed)
    with cropr.record_inputs() as seen:
        cropped = cropr(tokens, identities(REGISTERS))
    counts = cropr.counts(39)
    assert [each.shape[1] for each in seen] == [39, *counts[:-1]]
    assert torch.equal(cropped.tokens[:, :3], tokens[:, :3])
    places = cropped.places
    assert torch.equal(cropped.tokens[:, 3:], tokens[:, 3:].take_along_dim(places[..., None], 1))
    last, left = cropr[-1], counts[-1] - 3
    scores = last.scores(tokens[:, 3:]).gather(1, places)
    assert (scores[:, :left].diff(dim=1) <= 0).all()
    assert (
        scores[:, left - 1 : left] >= last.scores(seen[-1][:, 3:]).sort(dim=1, descending=True).values[:, left:]
    ).all()
    if fusion:
        assert torch.equal(places.sort(dim=1).values, torch.arange(36).expand(2, 36))
        assert torch.equal(restore_order(cropped.tokens[:, 3:], places), tokens[:, 3:])
        first = cropr[0].scores(tokens[:, 3:]).gather(1, places[:, left : left + rate + 1])
        assert (first.diff(dim=1) <= 0).all()
    else:
        assert places.shape[1] == left
        given = places.sort(dim=1).values
        back = restore_order(cropped.tokens[:, 3:], places)
        assert torch.equal(back, tokens[:, 3:].take_along_dim(given[..., None], 1))


def test_the_prefix_is_never_dropped() -> None:
    cropr = Cropr(REGISTERS, Pruning((5, 4, 4, 4)))
    for module in cropr:
        module.query.fill_(1.0)
    tokens = noise(2, 39, REGISTERS.dim)
    tokens[:, :3] -= 100
    assert torch.equal(cropr(tokens, identities(REGISTERS), slice(0, 3)).tokens, tokens[:, :3])


def test_equal_scores_keep_their_order() -> None:
    cropped = Cropr(FULL, Pruning(3))(noise(1, 37, FULL.dim), identities(FULL))  # all queries are zero
    assert cropped.places.tolist() == [list(range(23))]


def test_a_permutation_of_the_cells_permutes_the_dense_output() -> None:
    vit = small(REGISTERS).extractor
    cropr = cropr_of(REGISTERS, Pruning(5, fusion=True))
    tokens = tokens_of(vit, batch=1)
    order = some_cells(1, 36, 36)[0]
    cells = slice(3, None)
    ours = restore_order(*cropr(tokens, vit.blocks, cells))
    theirs = restore_order(*cropr(torch.cat([tokens[:, :3], tokens[:, 3:][:, order]], dim=1), vit.blocks, cells))
    torch.testing.assert_close(theirs, ours[:, order], atol=1e-5, rtol=1e-5)


@FUSIONS
def test_places_tell_which_cells_the_tokens_belong_to(fusion: bool) -> None:
    config = replace(PUBLISHED, extractor_depth=4, k=18)
    vit = small(config).extractor
    cells, prefix = some_cells(2, 18, 36), noise(2, 3, config.dim)
    patches = noise(2, 18, 3, config.patch, config.patch)
    cropr = cropr_of(config, Pruning(0.75, fusion))

    def run(order: Tensor) -> dict[int, Tensor]:
        tokens = torch.cat([prefix, vit.embed(patches[:, order], (6, 6), cells[:, order])], dim=1)
        cropped = cropr(tokens, vit.blocks, slice(3, None))
        left = cells[:, order].gather(1, cropped.places)
        assert left.shape[1] == (18 if fusion else cropr.counts(21)[-1] - 3)
        return dict(zip(left[0].tolist(), cropped.tokens[0], strict=True))

    ours, theirs = run(torch.arange(18)), run(some_cells(1, 18, 18)[0])
    assert ours.keys() == theirs.keys() <= set(cells[0].tolist())
    for cell, token in ours.items():
        torch.testing.assert_close(token, theirs[cell], atol=1e-5, rtol=1e-5)


@FUSIONS
def test_auxiliary_losses_reach_the_queries_but_not_the_backbone(fusion: bool) -> None:
    vit = small(FULL).extractor.requires_grad_(True)
    cropr = cropr_of(FULL, Pruning(4, fusion))
    auxiliaries = Auxiliaries(cropr, 36, 3)
    with cropr.record_inputs() as seen:
        main = cropr(tokens_of(vit), vit.blocks, CLS).tokens
    logits = auxiliaries(seen)
    assert logits.shape == (2, len(cropr), 36, 3)
    F.cross_entropy(logits.flatten(0, 2), torch.zeros(logits.shape[:3], dtype=torch.long).flatten()).backward()
    assert all(parameter.grad is not None for parameter in auxiliaries.parameters())
    assert all(parameter.grad is None for parameter in [*vit.parameters(), *cropr.parameters()])
    main.sum().backward()
    assert all(block.attn.qkv.weight.grad.abs().max() > 0 for block in vit.blocks)
    assert vit.patch_embed.proj.weight.grad.abs().max() > 0


@FUSIONS
def test_training_and_evaluation_give_the_same_output(fusion: bool) -> None:
    vit = small(FULL).extractor
    cropr = cropr_of(FULL, Pruning(4, fusion))
    evaluated = cropr(tokens_of(vit), vit.blocks)
    vit.train()
    with cropr.train().record_inputs():
        trained = cropr(tokens_of(vit), vit.blocks)
    assert torch.equal(trained.tokens, evaluated.tokens) and torch.equal(trained.places, evaluated.places)


def test_the_curriculum_applies_only_while_inputs_are_recorded() -> None:
    cropr = cropr_of(FULL, Pruning(4))
    with cropr.record_inputs(progress=0.0) as seen:
        cropr(noise(1, 37, FULL.dim), identities(FULL))
    assert [each.shape[1] for each in seen] == [37] * 4
    with pytest.raises(RuntimeError), cropr.record_inputs(progress=0.25):
        assert cropr.counts(37) != (32, 28, 24, 20)
        raise RuntimeError
    assert cropr.counts(37) == (32, 28, 24, 20)
    cropr(noise(1, 37, FULL.dim), identities(FULL))
    assert len(seen) == 4


def test_one_query_for_each_module_is_saved() -> None:
    cropr = cropr_of(FULL, Pruning(4, fusion=True, norm=True))
    auxiliaries = Auxiliaries(cropr, 36, 3, AttentionVariant(norm=True))
    auxiliaries.copy_queries(cropr)
    saved = cropr.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in saved.items()} == {f"{n}.query": (24,) for n in range(3)}
    for query, auxiliary in zip(saved.values(), auxiliaries, strict=True):
        torch.testing.assert_close(query, auxiliary.cross_attn.queries.sum((0, 1)))  # a fresh norm's weight is one


@pytest.mark.parametrize(
    "variant",
    [
        AttentionVariant(),
        AttentionVariant(heads=3),
        AttentionVariant(heads=3, projections="qkv"),
        AttentionVariant(projections="k", norm=True),
    ],
)
def test_the_summed_query_orders_tokens_as_all_queries_do(variant: AttentionVariant) -> None:
    cropr = Cropr(FULL, Pruning(4, norm=variant.norm))
    torch.manual_seed(0)
    auxiliaries = Auxiliaries(cropr, 36, 3, variant)
    for parameter in auxiliaries.parameters():
        nn.init.normal_(parameter)
    auxiliaries.copy_queries(cropr)
    tokens, attention = noise(2, 36, FULL.dim), auxiliaries[0].cross_attn
    keys = tokens if attention.attn_norm is None else attention.attn_norm(tokens)
    keys = keys if attention.k is None else attention.k(keys)
    queries = attention.queries if attention.q is None else attention.q(attention.queries)
    split = (part.unflatten(-1, (variant.heads, -1)).transpose(1, 2) for part in (queries.expand(2, -1, -1), keys))
    q, k = split
    scores = (q @ k.mT).sum((1, 2))
    ours = scores.gather(1, cropr[0](tokens, 0))
    torch.testing.assert_close(ours, scores.sort(dim=1, descending=True).values, atol=1e-3, rtol=1e-4)


def test_auxiliary_heads_compute_the_papers_formula() -> None:
    torch.manual_seed(0)
    auxiliaries = Auxiliaries(Cropr(FULL, Pruning(4)), 5, 3)
    one, tokens = auxiliaries[0], noise(2, 37, FULL.dim)
    queries = one.cross_attn.queries
    a = torch.softmax(queries @ tokens.mT * FULL.dim**-0.5, dim=-1) @ tokens
    hidden = F.gelu(one.cross_attn.mlp.fc1(F.layer_norm(a, (24,), eps=1e-6)))
    a = a + one.cross_attn.mlp.fc2(hidden)
    torch.testing.assert_close(one(tokens), one.head.head(F.layer_norm(a, (24,), eps=1e-5)))
    assert one.cross_attn.mlp.fc1.out_features == 4 * FULL.dim  # the backbone has 2


def test_norms_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="norm is True for the auxiliary heads and False"):
        Auxiliaries(Cropr(FULL, Pruning(4)), 1, 3, AttentionVariant(norm=True))


@pytest.mark.parametrize("pruning", [Pruning(9), Pruning((38,) * 4), Pruning(0.1)])
def test_an_impossible_schedule_is_refused_at_once(pruning: Pruning) -> None:
    with pytest.raises(ValueError, match="tokens"):
        Cropr(FULL, pruning)


def test_scores_are_compared_in_float32() -> None:
    module = PruningModule(FULL, norm=False).bfloat16()
    assert module.scores(noise(1, 4, FULL.dim).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("pruning", [Pruning(4), Pruning(4, True), Pruning((37, 37, 20, 8)), Pruning(0.5), Pruning(0)])
@pytest.mark.parametrize("returned", [1, 36])
def test_the_macs_are_what_torch_counts(pruning: Pruning, returned: int) -> None:
    vit, cropr = small(FULL).extractor, cropr_of(FULL, pruning)
    tokens = tokens_of(vit, batch=1)
    counts = cropr.counts(37)
    asked = CLS if returned == 1 else slice(1, None)
    if returned > 1 and not pruning.fusion:
        returned = counts[-1] - 1
    assert count_pruned(FULL, 37, counts, returned) == counted(lambda: cropr(tokens, vit.blocks, asked))
