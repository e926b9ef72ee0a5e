"""A cascade in k: looks that restart and looks that add, whatever the weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.cascade.looks import Seen, Whole, looks_of
from lookwhere_cli.models.cascade.stages import confidence, decide, every
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


def seen(config: Config, batch: int = 8, coarse: bool = False) -> Seen:
    patch = (3, config.patch, config.patch)
    return Seen(
        Whole(noise(batch, 36, *patch)),
        GRID,
        some_cells(batch, 36, 36),
        noise(batch, config.prefix_tokens, config.dim, seed=3),
        Coarse(noise(batch, 6, *patch, seed=4), (2, 3)) if coarse else None,
    )


def plain(model: LookWhere, state: Seen, k: int) -> Tensor:
    """What the model says at a fixed k."""
    cells = state.order[:, :k]
    chosen = Chosen(state.source.patches(cells), cells, GRID, state.prefix_tokens, state.coarse)
    return model.logits(model.extract(chosen))


def mixed(model: LookWhere, state: Seen) -> tuple[float, ...]:
    """Thresholds that half of the pictures which are left reach at each look, and none just so."""
    thresholds, going = [], torch.arange(len(state.order))
    for logits in every(looks_of(model, KS), state)[:-1]:
        sure = confidence(logits)
        half = len(going) // 2
        thresholds.append(sure[going].sort().values[half - 1 : half + 1].mean().item())
        going = going[sure[going] < thresholds[-1]]
    return tuple(thresholds)


@kinds
@coarsely
def test_a_batch_with_mixed_exits_equals_one_by_one_and_all_looks(kind: str, coarse: bool) -> None:
    model, state = small(KINDS[kind]), seen(KINDS[kind], coarse=coarse)
    looks, thresholds = looks_of(model, KS), mixed(model, state)
    together, all_looks = decide(looks, state, thresholds), every(looks, state)
    assert set(together.exits.tolist()) == {0, 1, 2}
    for picture in range(8):
        alone = decide(looks, state.at(torch.tensor([picture])), thresholds)
        exit_ = together.exits[picture]
        assert alone.exits[0] == exit_
        near(alone.logits[0], together.logits[picture])
        near(together.logits[picture], all_looks[exit_][picture])


@kinds
def test_zero_gives_the_first_look_and_more_than_one_the_last(kind: str) -> None:
    model, state = small(KINDS[kind]), seen(KINDS[kind])
    looks = looks_of(model, KS)
    near(decide(looks, state, (0.0, 0.0)).logits, plain(model, state, KS[0]))
    near(decide(looks, state, (2.0, 2.0)).logits, every(looks, state)[-1])


@pytest.mark.parametrize("kind", ["restart", "max"])
@coarsely
def test_each_look_that_restarts_equals_a_fixed_k(kind: str, coarse: bool) -> None:
    model, state = small(KINDS[kind]), seen(KINDS[kind], coarse=coarse)
    for k, logits in zip(KS, every(looks_of(model, KS), state), strict=True):
        near(logits, plain(model, state, k))


def masked(model: LookWhere, state: Seen, ks: tuple[int, ...]) -> list[Tensor]:
    """The logits of looks that add, by one pass of all tokens in which none attends to a later look's."""
    extractor, heads = model.extractor, model.config.heads
    first = extractor.handover(extractor.prefix(), state.prefix_tokens)
    parts, places = [], []
    for start, stop in zip((0, *ks), ks, strict=False):
        cells = state.order[:, start:stop]
        tokens = extractor.embed(state.source.patches(cells), GRID, cells)
        cls = first if start == 0 else first[:, :1] + model.second_look.token  # type: ignore[union-attr]
        also = [] if start or state.coarse is None else [extractor.embed(state.coarse.patches, state.coarse.grid)]
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
def test_kept_keys_and_values_equal_one_pass_behind_a_mask(kind: str, coarse: bool) -> None:
    model, state = small(KINDS[kind]), seen(KINDS[kind], batch=2, coarse=coarse)
    for ours, theirs in zip(every(looks_of(model, KS), state), masked(model, state, KS), strict=True):
        near(ours, theirs)


@adding
@coarsely
def test_the_first_look_that_can_add_is_that_of_a_plain_model(kind: str, coarse: bool) -> None:
    model, state = small(KINDS[kind]), seen(KINDS[kind], coarse=coarse)
    near(every(looks_of(model, KS), state)[0], plain(model, state, KS[0]))


@adding
def test_a_second_look_sees_the_cells_of_both_and_the_first_its_own_only(kind: str) -> None:
    model, state = small(KINDS[kind]), seen(KINDS[kind], batch=1)
    before = every(looks_of(model, KS[:2]), state)
    for place, moved in ((0, (True, True)), (KS[0], (False, True)), (KS[1], (False, False))):
        pixels = state.source.cut.clone()  # type: ignore[attr-defined]
        pixels[0, state.order[0, place]] += 1
        after = every(looks_of(model, KS[:2]), state._replace(source=Whole(pixels)))
        assert tuple(not a.equal(b) for a, b in zip(before, after, strict=True)) == moved


@kinds
@coarsely
def test_the_costs_are_what_torch_counts(kind: str, coarse: bool) -> None:
    config = KINDS[kind]
    model, state = small(config), seen(config, coarse=coarse)
    costs = macs.count_looks(config, GRID, THUMBNAIL, KS, 6 if coarse else 0)
    selector = counted(lambda: model.select(noise(1, 3, 12, 12), GRID))
    one, looks, thresholds = state.at(torch.tensor([0])), looks_of(model, KS), mixed(model, state)
    for number in range(3):
        ran = looks[: number + 1]
        assert costs[number] == selector + counted(lambda ran=ran: every(ran, one))
    exits = decide(looks, state, thresholds).exits
    assert torch.tensor(costs)[exits].sum() == 8 * selector + counted(lambda: decide(looks, state, thresholds))


def test_a_second_look_that_adds_costs_less_than_one_that_restarts() -> None:
    add, restart = (macs.count_looks(config, GRID, THUMBNAIL, KS[:2]) for config in (ADDING, LABELLED))
    assert add[0] == restart[0] == macs.count(LABELLED, GRID, THUMBNAIL, KS[0]).total
    assert add[1] < restart[1]


@kinds
def test_a_look_without_new_cells_is_one_all_the_same(kind: str) -> None:
    """Of a picture of few cells, two shares may be the same number of them."""
    model, state = small(KINDS[kind]), seen(KINDS[kind])
    first, second = every(looks_of(model, (4, 4)), state)
    assert second.isfinite().all()
    if model.second_look is None:
        near(first, second)


def test_patches_are_read_once_and_of_those_who_look_again_only() -> None:
    asked: list[tuple[int, ...]] = []

    class Told(Whole):
        def patches(self, cells: Tensor) -> Tensor:
            asked.append(tuple(cells.shape))
            return super().patches(cells)

        def at(self, places: Tensor) -> Whole:
            return Told(*super().at(places))

    model, state = small(LABELLED), seen(LABELLED)
    thresholds = mixed(model, state)
    exits = decide(looks_of(model, KS), state._replace(source=Told(*state.source)), thresholds).exits  # type: ignore
    left = [int((exits >= number).sum()) for number in range(3)]
    assert asked == [(left[0], 4), (left[1], 5), (left[2], 11)] and 8 > left[1] > left[2] > 0


def test_a_new_second_look_has_one_vector_more_which_counts_nothing() -> None:
    torch.manual_seed(0)
    model = LookWhere(ADDING)
    more = model.state_dict().keys() - LookWhere(LABELLED).state_dict().keys()
    assert more == {"second_look.token"} and not model.state_dict()["second_look.token"].any()


def test_gradients_of_the_second_look_reach_what_the_first_kept() -> None:
    model, state = small(ADDING).requires_grad_(True), seen(ADDING, batch=2)
    logits = every(looks_of(model, KS[:2]), state)
    F.cross_entropy(logits[1], torch.tensor([0, 2])).backward()
    assert model.second_look is not None and model.second_look.token.grad.any()  # type: ignore[union-attr]
    pixels = state.source.cut.clone().requires_grad_(True)  # type: ignore[attr-defined]
    every(looks_of(model, KS[:2]), state._replace(source=Whole(pixels)))[1].sum().backward()
    reached = pixels.grad[0].flatten(1).any(1)  # type: ignore[index]
    assert set(reached.nonzero()[:, 0].tolist()) == set(state.order[0, : KS[1]].tolist())


def test_it_runs_in_half_precision() -> None:
    model, state = small(ADDING).bfloat16(), seen(ADDING)
    half = state._replace(source=Whole(state.source.cut.bfloat16()), prefix_tokens=state.prefix_tokens.bfloat16())  # type: ignore
    decided = decide(looks_of(model, KS), half, (0.5, 0.5))
    assert decided.logits.isfinite().all()
