"""Looks that restart and looks that add, whatever the weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.macs import passes
from lookwhere_cli.models.cascade.looks import run_looks
from lookwhere_cli.models.chosen import Chosen, Coarse
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from tests.macs.test_macs import counted
from tests.models.small import ADDING, LABELLED, noise, small, some_cells

GRID, THUMBNAIL, KS = (6, 6), (3, 3), (4, 9, 20)
PUBLISHED = replace(
    ADDING, registers=2, prefix="replace", prefix_positions=False, layer_scale=True, feed_forward="swiglu", hidden=64
)
KINDS = {"restart": LABELLED, "max": replace(LABELLED, pool="max"), "add": ADDING, "published": PUBLISHED}
kinds = pytest.mark.parametrize("kind", KINDS)
adding = pytest.mark.parametrize("kind", ["add", "published"])
coarsely = pytest.mark.parametrize("coarse", [False, True])


def near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def scene(config: Config, batch: int = 3, coarse: bool = False) -> Chosen[Tensor]:
    """The cells of all looks, best first, of pictures of noise."""
    patch = (3, config.patch, config.patch)
    return Chosen(
        noise(batch, KS[-1], *patch),
        some_cells(batch, KS[-1], 36),
        GRID,
        noise(batch, config.prefix_tokens, config.dim, seed=3),
        Coarse(noise(batch, 6, *patch, seed=4), (2, 3)) if coarse else None,
    )


def some(chosen: Chosen[Tensor], start: int, stop: int) -> Chosen[Tensor]:
    return chosen._replace(patches=chosen.patches[:, start:stop], cells=chosen.cells[:, start:stop])


def plain(model: LookWhere, chosen: Chosen[Tensor], k: int) -> Tensor:
    """The model's logits with a fixed k."""
    return model.logits(model.extract(some(chosen, 0, k)))


@pytest.mark.parametrize("kind", ["restart", "max"])
@coarsely
def test_each_look_that_restarts_equals_a_fixed_k(kind: str, coarse: bool) -> None:
    model, chosen = small(KINDS[kind]), scene(KINDS[kind], coarse=coarse)
    answers = run_looks(model, chosen, KS)
    assert len(answers) == len(KS)
    for k, logits in zip(KS, answers, strict=True):
        near(logits, plain(model, chosen, k))


def masked(model: LookWhere, chosen: Chosen[Tensor], ks: tuple[int, ...]) -> list[Tensor]:
    """The logits of looks that add, by one pass of all tokens in which no token attends to those of a later look."""
    extractor, heads = model.extractor, model.config.heads
    first = extractor.handover(extractor.prefix(), chosen.prefix_tokens)
    parts, places = [], []
    for start, stop in zip((0, *ks), ks, strict=False):
        tokens = extractor.embed(chosen.patches[:, start:stop], GRID, chosen.cells[:, start:stop])
        cls = first if start == 0 else first[:, :1] + model.second_look.token  # type: ignore[union-attr]
        also = [] if start or chosen.coarse is None else [extractor.embed(chosen.coarse.patches, chosen.coarse.grid)]
        places.append(sum(part.shape[1] for part in parts))
        parts.append(torch.cat([cls, tokens, *also], dim=1))
    look = torch.cat([torch.full((part.shape[1],), number) for number, part in enumerate(parts)])
    visible = look[:, None] >= look[None]
    x = torch.cat(parts, dim=1)
    for block in extractor.blocks:
        q, k, v = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in block.attn.qkv(block.norm1(x)).chunk(3, -1)  # type: ignore[operator, union-attr]
        )
        logits = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~visible, -math.inf)
        x = x + block.ls1(block.attn.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2)))  # type: ignore
        x = x + block.ls2(block.mlp(block.norm2(x)))  # type: ignore[operator]
    return [model.logits(extractor.norm(x)[:, place]) for place in places]


@adding
@coarsely
def test_stored_keys_and_values_equal_one_pass_behind_a_mask(kind: str, coarse: bool) -> None:
    model, chosen = small(KINDS[kind]), scene(KINDS[kind], coarse=coarse)
    for ours, expected in zip(run_looks(model, chosen, KS), masked(model, chosen, KS), strict=True):
        near(ours, expected)


@adding
@coarsely
def test_the_first_look_of_a_model_that_adds_equals_a_fixed_k(kind: str, coarse: bool) -> None:
    model, chosen = small(KINDS[kind]), scene(KINDS[kind], coarse=coarse)
    near(run_looks(model, chosen, KS)[0], plain(model, chosen, KS[0]))


@adding
def test_pictures_that_are_dropped_between_looks_do_not_change_the_others(kind: str) -> None:
    model, chosen = small(KINDS[kind]), scene(KINDS[kind], batch=4, coarse=True)
    look, remaining = model.second_look, torch.tensor([3, 1])
    assert look is not None
    _, memory = look.first(model.extractor, some(chosen, 0, KS[0]))
    cls, after = look.more(model.extractor, some(chosen, *KS[:2]).at(remaining), memory.at(remaining))
    expected = run_looks(model, chosen, KS)
    near(model.logits(cls), expected[1][remaining])
    last, _ = look.more(model.extractor, some(chosen, *KS[1:]).at(torch.tensor([1])), after.at(torch.tensor([1])))
    near(model.logits(last), expected[2][1:2])


@adding
def test_a_second_look_sees_the_cells_of_both_and_the_first_only_its_own(kind: str) -> None:
    model, chosen = small(KINDS[kind]), scene(KINDS[kind], batch=1)
    before = run_looks(model, chosen, KS[:2])
    for place, changes in ((0, (True, True)), (KS[0], (False, True)), (KS[1], (False, False))):
        patches = chosen.patches.clone()
        patches[0, place] += 1
        after = run_looks(model, chosen._replace(patches=patches), KS[:2])
        assert tuple(not a.equal(b) for a, b in zip(before, after, strict=True)) == changes


@kinds
@coarsely
@pytest.mark.parametrize("ks", [KS, (4, 4, 20)])
def test_the_macs_are_what_torch_counts(kind: str, coarse: bool, ks: tuple[int, ...]) -> None:
    config = KINDS[kind]
    model, chosen = small(config), scene(config, batch=1, coarse=coarse)
    macs = passes.count_looks(config, GRID, THUMBNAIL, ks, [6 if coarse else 0] * len(ks))
    selector = counted(lambda: model.select(noise(1, 3, 12, 12), GRID))
    for number in range(3):
        assert macs[number] == selector + counted(lambda n=number: run_looks(model, chosen, ks[: n + 1]))


def test_coarse_patches_are_counted_again_by_looks_that_restart_and_attended_to_by_looks_that_add() -> None:
    """By hand, from the formulas of attention and MLP, so that an error in both ways of counting would show."""
    dim, hidden, depth, patch, labels = 24, 48, 3, 4, 3
    for config, coarse in ((LABELLED, 0), (LABELLED, 6), (ADDING, 0), (ADDING, 6)):
        macs = passes.count_looks(config, GRID, THUMBNAIL, (4, 9), (coarse, coarse))
        read = 1 + (9 + coarse if config is LABELLED else 5)  # by the second look, CLS included
        seen = read if config is LABELLED else read + 1 + 4 + coarse
        block = 4 * read * dim**2 + 2 * read * seen * dim + 2 * read * dim * hidden
        last = 2 * (read + 1) * dim**2 + 2 * seen * dim + 2 * dim * hidden
        embedding, handover = (read - 1) * 3 * patch**2 * dim, dim**2 if config is LABELLED else 0
        assert macs[1] - macs[0] == embedding + handover + (depth - 1) * block + last + dim * labels


def test_a_second_look_that_adds_takes_less_than_one_that_restarts() -> None:
    add, restart = (passes.count_looks(config, GRID, THUMBNAIL, KS[:2]) for config in (ADDING, LABELLED))
    assert add[0] == restart[0] == passes.count_image(LABELLED, GRID, THUMBNAIL, KS[0]).total
    assert add[1] < restart[1]


@kinds
def test_a_look_may_add_no_cells(kind: str) -> None:
    """Of a picture with few cells, two shares may be the same number of cells."""
    model, chosen = small(KINDS[kind]), scene(KINDS[kind])
    first, second = run_looks(model, chosen, (4, 4))
    assert second.isfinite().all()
    if model.second_look is None:
        near(first, second)


def test_a_new_second_look_has_one_more_vector_of_zeros() -> None:
    torch.manual_seed(0)
    model = LookWhere(ADDING)
    more = model.state_dict().keys() - LookWhere(LABELLED).state_dict().keys()
    assert more == {"second_look.token"} and not model.state_dict()["second_look.token"].any()


def test_gradients_of_the_second_look_reach_the_patches_of_the_first() -> None:
    model, chosen = small(ADDING).requires_grad_(True), scene(ADDING, batch=2)
    logits = run_looks(model, chosen, KS[:2])
    F.cross_entropy(logits[1], torch.tensor([0, 2])).backward()
    assert model.second_look is not None and model.second_look.token.grad.any()  # type: ignore[union-attr]
    patches = chosen.patches.clone().requires_grad_(True)
    run_looks(model, chosen._replace(patches=patches), KS[:2])[1].sum().backward()
    assert patches.grad is not None
    reached = patches.grad.flatten(2).any(-1)
    assert reached[:, : KS[1]].all() and not reached[:, KS[1] :].any()


def test_looks_run_in_half_precision() -> None:
    chosen = scene(ADDING)
    half = chosen._replace(patches=chosen.patches.bfloat16(), prefix_tokens=chosen.prefix_tokens.bfloat16())
    for logits in run_looks(small(ADDING).bfloat16(), half, KS):
        assert logits.dtype == torch.bfloat16 and logits.isfinite().all()
