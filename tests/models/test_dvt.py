"""The cascade over grids, whatever the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lookwhere_cli.macs.exits import count_each_exit, count_exits
from lookwhere_cli.models.cascade.dvt import DVT, ExitState, GridExit, resize
from lookwhere_cli.models.cascade.reuse import NoReuse, Resize
from lookwhere_cli.models.cascade.shapes import ExitShape, check_growth
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import uninitialised
from lookwhere_cli.models.vit import ViT
from tests.macs.test_macs import counted
from tests.models.small import LABELLED, filled, noise

GRIDS = ((2, 3), (3, 5), (5, 7))


def exit_shapes(grids: Sequence[tuple[int, int]]) -> tuple[ExitShape, ...]:
    return tuple(ExitShape(grid, 4) for grid in grids)


KINDS = {
    "plain": (LABELLED, exit_shapes(GRIDS)),
    "published": (LABELLED, (ExitShape((3, 3), 8), ExitShape((4, 4), 7, padding=2), ExitShape((6, 6), 4))),
    "registers, gated": (
        replace(LABELLED, registers=2, prefix_positions=False, layer_scale=True, feed_forward="swiglu", hidden=64),
        exit_shapes(GRIDS),
    ),
    "two": (replace(LABELLED, extractor_depth=1), exit_shapes(((1, 1), (1, 2)))),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def near(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def cascade(kind: str = "plain", seed: int = 0) -> DVT:
    """Draw every parameter at random, also those that start at zero."""
    config, shapes = KINDS[kind]
    model = DVT(config, shapes)
    filled(model, seed)
    return model


@kinds
def test_exits_one_after_another_give_the_same_for_pictures_that_leave_and_for_those_that_stay(kind: str) -> None:
    model, pictures = cascade(kind), noise(6, 3, 24, 24)
    every, remaining = model(pictures), torch.arange(6)
    state = model.begin(pictures)
    for exit_, expected in zip(model.exits, every, strict=True):
        logits, state = exit_(state)
        near(logits, expected[remaining])
        some = torch.arange(len(remaining)).flip(0)[: max(1, len(remaining) - 2)]
        remaining, state = remaining[some], state.at(some)


@kinds
def test_the_macs_are_what_torch_counts(kind: str) -> None:
    model = cascade(kind)
    state = model.begin(noise(1, 3, 24, 24))
    each = count_each_exit(model.config, model.shapes)
    for ours, exit_ in zip(each, model.exits, strict=True):
        after: list[ExitState] = []
        assert ours == counted(lambda exit_=exit_, state=state, after=after: after.append(exit_(state)[1]))
        state = after[0]
    assert count_exits(model.config, model.shapes) == tuple(accumulate(each))


def test_the_macs_follow_other_grids() -> None:
    model, grids = cascade(), ((3, 2), (5, 3), (8, 5))
    macs = count_exits(model.config, model.shapes, grids)
    assert macs[-1] == counted(lambda: model(noise(1, 3, 32, 20), grids))


@kinds
def test_without_reuse_an_exit_equals_a_plain_vit(kind: str) -> None:
    config, shapes = KINDS[kind]
    for shape in shapes:
        alone = GridExit(config, shape, NoReuse(config.extractor_depth))
        filled(alone)
        plain = ViT(replace(config, patch=shape.patch), config.extractor_depth, shape.grid).eval()
        plain.load_state_dict(
            {name: value for name, value in alone.state_dict().items() if not name.startswith("head")}
        )
        pictures = noise(2, 3, *shape.size(shape.grid))
        proj = plain.patch_embed.proj
        cells = F.conv2d(pictures, proj.weight, proj.bias, stride=shape.patch, padding=shape.padding).flatten(2).mT
        tokens = torch.cat([plain.prefix().expand(2, -1, -1), cells + plain.positions(shape.grid)], dim=1)
        near(alone(ExitState(pictures, (shape.grid,)))[0], alone.head(plain.encode(tokens)[:, 0]))


@torch.no_grad()
def test_new_reuse_changes_nothing_but_the_norm() -> None:
    model = DVT(*KINDS["plain"]).eval()
    later = model.exits[1]
    relations = later.reuse.relations(noise(2, 9, 7, 7))
    assert relations.equal(torch.zeros_like(relations))
    dim = LABELLED.dim
    for block in later.blocks:
        assert not block.mlp.fc1.weight[:, dim:].any() and block.mlp.fc1.weight[:, :dim].any()
        assert block.norm2.weight.equal(torch.ones(dim + 48)) and not block.norm2.bias.any()


def test_it_starts_from_a_plain_vit_with_positions_resized() -> None:
    vit = ViT(LABELLED, LABELLED.extractor_depth, (6, 6))
    filled(vit)
    config, shapes = KINDS["plain"]
    model = DVT(config, (*shapes, ExitShape((6, 9), 5)))
    heads = [exit_.head.weight.clone() for exit_ in model.exits]
    model.start_from(vit)
    pictures = noise(2, 3, 8, 12)
    first = model.exits[0]
    near(model(pictures)[0], first.head(vit(torch.stack([cut_by_hand(one) for one in pictures]), (2, 3))[:, 0]))
    for exit_, head in zip(model.exits, heads, strict=True):
        assert exit_.head.weight.equal(head)
        assert exit_.blocks[2].attn.qkv.weight.equal(vit.blocks[2].attn.qkv.weight)
        assert exit_.blocks[2].mlp.fc1.weight[:, : config.dim].equal(vit.blocks[2].mlp.fc1.weight)
        assert not exit_.blocks[2].mlp.fc1.weight[:, config.dim :].any()
        near(exit_.pos_embed, vit.positions_for(exit_.shape.grid))
    assert model.exits[2].patch_embed.proj.weight.equal(vit.patch_embed.proj.weight)
    with pytest.raises(ValueError, match="3 blocks with 24 channels can't become exits of 3 with 48"):
        DVT(replace(config, dim=48), shapes).start_from(vit)


def cut_by_hand(picture: Tensor) -> Tensor:
    """Cut (3, 8, 12) into six patches of 4 x 4."""
    return torch.stack([picture[:, y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4, 8)])


def test_gradients_of_the_last_exit_reach_the_first_through_both_kinds_of_reuse() -> None:
    model = cascade().requires_grad_(True)
    logits = model(noise(2, 3, 20, 28))
    F.cross_entropy(logits[-1], torch.tensor([0, 2])).backward()
    assert not any(parameter.grad is None for name, parameter in model.named_parameters() if "exits.2" in name)
    first, last = model.exits[0], model.exits[-1]
    assert first.head.weight.grad is None
    for parameter in (first.patch_embed.proj.weight, first.blocks[-1].mlp.fc2.weight):
        assert parameter.grad is not None and parameter.grad.any()

    model.zero_grad()
    last.reuse.relations.conv2.weight.requires_grad_(False).zero_()  # features alone, then relations alone
    middle = model.exits[1].blocks
    F.cross_entropy(model(noise(2, 3, 20, 28))[-1], torch.tensor([0, 2])).backward()
    assert middle[-1].mlp.fc2.weight.grad.any()
    relations = cascade().requires_grad_(True)
    for block in relations.exits[-1].blocks:
        block.mlp.fc1.weight.data[:, LABELLED.dim :] = 0
        block.norm2.weight.data[LABELLED.dim :] = 0
    F.cross_entropy(relations(noise(2, 3, 20, 28))[-1], torch.tensor([0, 2])).backward()
    assert relations.exits[1].blocks[-1].attn.qkv.weight.grad.any()


grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


@settings(deadline=None, max_examples=40)
@given(old=grids, more=st.tuples(st.integers(0, 12), st.integers(0, 12)), prefix=st.integers(1, 3))
def test_resizing_is_nearest_and_adaptive_average(old: tuple[int, int], more: tuple[int, int], prefix: int) -> None:
    new = (old[0] + more[0], old[1] + more[1])
    multiple = tuple(count * -(-wanted // count) for count, wanted in zip(old, new, strict=True))

    def pooled(x: Tensor) -> Tensor:  # (channels, old cells) -> (channels, new cells)
        repeated = F.interpolate(x.unflatten(-1, old)[None], size=multiple, mode="nearest")
        return F.adaptive_avg_pool2d(repeated, new)[0].flatten(1)

    resize = Resize(old, new, torch.empty(0))
    cells = noise(old[0] * old[1], 4)
    near(resize.cells(cells), pooled(cells.mT).mT)

    relation = noise(prefix + old[0] * old[1], prefix + old[0] * old[1])
    by_key = torch.cat([relation[:, :prefix], pooled(relation[:, prefix:])], dim=1).mT
    wanted = torch.cat([by_key[:, :prefix], pooled(by_key[:, prefix:])], dim=1).mT
    near(resize.both(relation, prefix), wanted)


def test_each_exit_resizes_the_original_pictures() -> None:
    model, large = cascade(), noise(2, 3, 40, 56)
    small = resize(large, (8, 12))
    near(small, F.interpolate(large, size=(8, 12), mode="bicubic", antialias=True))
    near(model(large)[0], model(small)[0])
    assert resize(large, (40, 56)) is large


def test_pictures_of_another_shape_have_other_grids() -> None:
    logits = cascade()(noise(2, 3, 32, 20), ((3, 2), (5, 3), (8, 5)))
    assert [one.shape for one in logits] == [(2, 3)] * 3 and torch.stack(logits).isfinite().all()


def test_it_runs_in_half_precision_and_can_be_created_without_weights() -> None:
    logits = cascade().to(torch.bfloat16)(noise(2, 3, 24, 24).bfloat16())
    near(logits[-1].float().softmax(-1).sum(-1), torch.ones(2))
    with uninitialised():
        names = DVT(*KINDS["plain"]).state_dict().keys()
    assert names == cascade().state_dict().keys()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([(2, 3), (2, 3)], "2 x 3 cells can't be followed by one of 2 x 3"),
        ([(2, 3), (5, 7), (4, 9)], "5 x 7 cells can't be followed by one of 4 x 9"),
        ([(2, 3)], "a cascade needs two grids or more; 1 given"),
        ([], "a cascade needs two grids or more; 0 given"),
    ],
)
def test_grids_that_do_not_grow_are_refused(wrong: list[tuple[int, int]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_growth(wrong)
    with pytest.raises(ValueError, match=words):
        DVT(LABELLED, exit_shapes(wrong))
    with pytest.raises(ValueError, match=words):
        cascade()(noise(1, 3, 24, 24), wrong)


def test_each_exit_needs_a_grid() -> None:
    with pytest.raises(ValueError, match="2 grids for 3 exits"):
        cascade()(noise(1, 3, 24, 24), GRIDS[:2])


@pytest.mark.parametrize("changes", [{"labels": ()}, {"multi_label": True}, {"pool": "max"}, {"task": "segment"}])
def test_a_config_of_another_task_is_refused(changes: dict[str, object]) -> None:
    config: Config = replace(LABELLED, **changes)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a cascade must classify pictures with one label each"):
        DVT(config, exit_shapes(GRIDS))
