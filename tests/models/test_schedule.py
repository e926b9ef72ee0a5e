"""Schedules by rate, by counts and by a share of the MACs; and the messages for impossible ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lookwhere_cli.macs.blocks import count_block, count_pruned
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import Pruning, check_schedule, count_modules, ease_counts, remaining_counts

TINY = Config(selector_depth=0, prefix="own")
LARGE = replace(TINY, dim=1024, heads=16, hidden=4096, extractor_depth=24, grid=(32, 32))


def share_of(counts: tuple[int, ...], tokens: int, fusion: bool) -> float:
    """Compute the share of the MACs by the paper's formula."""
    per_block = [tokens, *counts, *[tokens] * fusion]
    assert len(per_block) == TINY.extractor_depth
    return sum(12 * n * 192**2 + 2 * n**2 * 192 for n in per_block) / (
        12 * (12 * tokens * 192**2 + 2 * tokens**2 * 192)
    )


def test_a_rate_drops_one_more_at_first() -> None:
    assert remaining_counts(Pruning(8), TINY, 197) == (188, 180, 172, 164, 156, 148, 140, 132, 124, 116, 108)
    assert remaining_counts(Pruning(8, fusion=True), TINY, 197) == (188, 180, 172, 164, 156, 148, 140, 132, 124, 116)
    assert remaining_counts(Pruning(0), TINY, 197) == (197,) * 11
    dense = remaining_counts(Pruning(40, fusion=True), LARGE, 1025)
    assert dense[:2] == (984, 944) and len(dense) == 22 and all(count % 8 == 0 for count in dense)


def test_counts_are_used_as_they_are() -> None:
    given = (192, 160, 160, 128, 96, 96, 96, 64, 64, 64)
    assert remaining_counts(Pruning(given, fusion=True), TINY, 197) == given


@example(share=0.6672761728261838, fusion=False, tokens=196)
@given(share=st.floats(0.17, 1.0), fusion=st.booleans(), tokens=st.sampled_from([95, 193, 196, 197, 400]))
def test_a_share_is_met_and_nearly_used_up(share: float, fusion: bool, tokens: int) -> None:
    pruning = Pruning(0.1 + 0.9 * share if fusion else share, fusion)
    check_schedule(pruning, TINY, tokens)
    counts = remaining_counts(pruning, TINY, tokens)
    assert share_of(counts, tokens, fusion) <= pruning.amount.share
    # Counts go in steps of 8 for each module; because of attention, the first tokens take up to a third more.
    assert share_of(counts, tokens, fusion) > pruning.amount.share - 1.3 * 8 / tokens / TINY.extractor_depth
    assert all(after <= before for before, after in pairwise((tokens, *counts)))
    assert all(count % 8 == 0 or count == tokens for count in counts)


def test_shares_of_the_macs_give_these_counts() -> None:
    assert remaining_counts(Pruning(1.0), TINY, 196) == (196,) * 11
    half = remaining_counts(Pruning(0.5), TINY, 197)
    assert half == (168, 128, 88, 88, 88, 88, 88, 80, 80, 80, 80)  # most over three modules
    assert 0.495 < share_of(half, 197, fusion=False) <= 0.5
    assert remaining_counts(Pruning(0.12), TINY, 197) == (16,) + (8,) * 10  # too little for several steps
    assert remaining_counts(Pruning(0.09), TINY, 197) == (2,) * 11  # below a multiple of 8


@given(share=st.floats(0.17, 0.5), fusion=st.booleans())
def test_a_small_share_falls_in_one_step(share: float, fusion: bool) -> None:
    counts = remaining_counts(Pruning(max(share, 0.26) if fusion else share, fusion), TINY, 197)
    assert counts[-1] >= 197 / 4 or max(counts) - min(counts) <= 8


def test_macs_of_pruned_blocks_by_hand() -> None:
    counts = (100,) * 11
    blocks = count_block(TINY, 197, 197) + 10 * count_block(TINY, 100, 100) + count_block(TINY, 100, 1)
    assert count_pruned(TINY, 197, counts, 1) == blocks + 197 * 192
    assert count_pruned(TINY, 197, (197,) * 10, 197) == 12 * count_block(TINY, 197, 197)


@given(amount=st.one_of(st.integers(0, 60), st.floats(0.01, 1.0), st.just((192,) * 10)), cells=st.integers(1, 196))
def test_a_small_picture_keeps_at_least_one_cell(amount: int | float | tuple[int, ...], cells: int) -> None:
    counts = remaining_counts(Pruning(amount, fusion=True), TINY, 1 + cells)
    assert all(2 <= after <= before for before, after in pairwise((1 + cells, *counts)))


@pytest.mark.parametrize(
    ("pruning", "sentence"),
    [
        (Pruning(18), "a rate of 18 drops 199 of 197 tokens in 11 steps, and 2 must remain; it can be at most 17"),
        (Pruning(-1), "at least 0"),
        (Pruning((100,) * 10), "10 counts are given for 11 pruning modules"),
        (Pruning((200,) * 11), "a count of 200 tokens follows one of 197; counts can't grow"),
        (Pruning((100,) * 10 + (101,)), "a count of 101 tokens follows one of 100"),
        (Pruning((100,) * 10 + (1,)), "a count of 1 tokens drops too many; 2 must remain"),
        (Pruning(0.05), "can't be met: with 197 tokens, the least possible is 0.09"),
        (Pruning(0.1, fusion=True), "the least possible is 0.17"),
        (Pruning(1.5), "at most 1.0"),
        (Pruning(0.0), "above 0"),
    ],
)
def test_impossible_schedules_are_refused(pruning: Pruning, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_schedule(pruning, TINY, 197)


@pytest.mark.parametrize(("depth", "fusion"), [(1, False), (2, True)])
def test_a_shallow_vit_has_no_place_for_pruning(depth: int, fusion: bool) -> None:
    with pytest.raises(ValueError, match=f"no place for pruning.* at least {depth + 1} blocks"):
        check_schedule(Pruning(1, fusion), replace(TINY, extractor_depth=depth), 197)


@given(rate=st.integers(0, 17))
def test_every_rate_up_to_the_largest_in_the_message_is_possible(rate: int) -> None:
    check_schedule(Pruning(rate), TINY, 197)
    assert remaining_counts(Pruning(rate), TINY, 197) == tuple(197 - (rate > 0) - rate * step for step in range(1, 12))


def test_the_rate_rises_over_the_first_half_of_the_training() -> None:
    counts = remaining_counts(Pruning(8, fusion=True), TINY, 197)
    assert ease_counts(counts, 197, 0.0) == (197,) * count_modules(TINY, fusion=True)
    assert ease_counts(counts, 197, 0.5) == ease_counts(counts, 197, 1.0) == counts
    quarter = ease_counts(counts, 197, 0.25)
    assert all(abs(197 - half - (197 - full) / 2) <= 0.5 for half, full in zip(quarter, counts, strict=True))
    assert all(after <= before for before, after in pairwise((197, *quarter)))
