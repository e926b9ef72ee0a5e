"""Multiply-adds of transformer blocks: on all tokens, on fewer tokens after each block, on merged tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lookwhere_cli.models.config import Config


def count_block(config: Config, tokens: int, returned: int, stored: int = 0) -> int:
    """Count one block that reads `tokens`, which also attend to `stored` keys and values, and computes `returned`."""
    return count_attention(config, tokens, returned, stored) + count_feed_forward(config, returned)


def count_attention(config: Config, tokens: int, returned: int, stored: int = 0) -> int:
    """Count a block's attention with its linear layers; arguments as for `count_block`."""
    dim = config.dim
    return 2 * (tokens + returned) * dim**2 + 2 * returned * (tokens + stored) * dim


def count_feed_forward(config: Config, tokens: int) -> int:
    """Count a block's feed-forward layers."""
    gated = config.hidden // 2 if config.feed_forward == "swiglu" else config.hidden
    return tokens * config.dim * (config.hidden + gated)


def tokens_per_block(config: Config, tokens: int, counts: Sequence[int]) -> list[int]:
    """Return the number of tokens that each block reads.

    counts: tokens after each pruning module, as `schedule.remaining_counts` returns them. With last-layer fusion there
    is one count fewer, and the last block reads all tokens again.
    """
    per_block = [tokens, *counts]
    return per_block if len(per_block) == config.extractor_depth else [*per_block, tokens]


def count_pruned(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """Count all blocks and the pruning modules' scores; the last block computes `returned` tokens."""
    scored = sum(before for before, after in pairwise([tokens, *counts]) if after < before)
    return count_blocks(config, tokens, counts, returned) + scored * config.dim


def count_blocks(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """Count all blocks without the pruning modules' scores, as for pruning at random."""
    *first, last = tokens_per_block(config, tokens, counts)
    return sum(count_block(config, each, each) for each in first) + count_block(config, last, returned)


def merges(cells: int, rate: int) -> int:
    """Return how many of the cells a block merges into others: `rate`, but at most half of them."""
    return min(rate, cells // 2)


def merged_counts(config: Config, tokens: int, rate: int) -> tuple[int, ...]:
    """Return the number of tokens after each block but the last, each of which merges `rate` cells."""
    counts = [tokens]
    for _ in range(config.extractor_depth - 1):
        counts.append(counts[-1] - merges(counts[-1] - config.prefix_tokens, rate))
    return tuple(counts[1:])


def count_merged_blocks(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """Count all blocks and the matching of cells; the last block computes `returned` groups.

    counts: as `merged_counts` returns them.
    """
    steps = list(pairwise([tokens, *counts]))
    blocks = sum(count_attention(config, each, each) + count_feed_forward(config, after) for each, after in steps)
    compared = sum(_pairs(each - config.prefix_tokens) for each, after in steps if after < each)
    last = count_block(config, [tokens, *counts][-1], returned)
    return blocks + compared * (config.dim // config.heads) + last


def _pairs(cells: int) -> int:
    """Return the number of pairs of an even and an odd cell."""
    return (cells - cells // 2) * (cells // 2)
