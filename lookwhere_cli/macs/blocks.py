"""Multiply-accumulates of transformer blocks, on all tokens and on ever fewer, dropped or merged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lookwhere_cli.models.config import Config


def block_macs(config: Config, tokens: int, returned: int, kept: int = 0) -> int:
    """One block that reads so many tokens and returns so many of them, which attend to so many `kept` ones as well."""
    return attention_macs(config, tokens, returned, kept) + feed_forward_macs(config, returned)


def attention_macs(config: Config, tokens: int, returned: int, kept: int = 0) -> int:
    """A block's attention, its linear maps included, likewise."""
    dim = config.dim
    return 2 * (tokens + returned) * dim**2 + 2 * returned * (tokens + kept) * dim


def feed_forward_macs(config: Config, tokens: int) -> int:
    """A block's feed-forward on so many tokens."""
    narrow = config.hidden // 2 if config.feed_forward == "swiglu" else config.hidden
    return tokens * config.dim * (config.hidden + narrow)


def read(config: Config, tokens: int, counts: Sequence[int]) -> list[int]:
    """Tokens that each block reads, of so many that go in, with `counts` left after each pruning module.

    counts: as `schedule.kept_counts` gives them. Where they are one fewer than without fusion, the last block reads all
    tokens again.
    """
    left = [tokens, *counts]
    return left if len(left) == config.extractor_depth else [*left, tokens]


def pruned_macs(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """All blocks, the last of which returns so many tokens, and what choosing the tokens costs."""
    scored = sum(before for before, after in pairwise([tokens, *counts]) if after < before)
    return blocks_macs(config, tokens, counts, returned) + scored * config.dim


def blocks_macs(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """The same where nothing is computed to choose the tokens."""
    *first, last = read(config, tokens, counts)
    return sum(block_macs(config, each, each) for each in first) + block_macs(config, last, returned)


def merges(cells: int, rate: int) -> int:
    """Of so many cells, those that join others in a block, where `rate` are to: half of them at most."""
    return min(rate, cells // 2)


def merged_counts(config: Config, tokens: int, rate: int) -> tuple[int, ...]:
    """Tokens left after each block but the last, of so many that go in, where `rate` cells are merged in each."""
    counts = [tokens]
    for _ in range(config.extractor_depth - 1):
        counts.append(counts[-1] - merges(counts[-1] - config.prefix_tokens, rate))
    return tuple(counts[1:])


def merged_macs(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """All blocks, the last of which returns so many groups, and the matching; counts: of `merged_counts`."""
    steps = list(pairwise([tokens, *counts]))
    blocks = sum(attention_macs(config, each, each) + feed_forward_macs(config, after) for each, after in steps)
    compared = sum(_pairs(each - config.prefix_tokens) for each, after in steps if after < each)
    last = block_macs(config, [tokens, *counts][-1], returned)
    return blocks + compared * (config.dim // config.heads) + last


def _pairs(cells: int) -> int:
    """Of every second cell with all others."""
    return (cells - cells // 2) * (cells // 2)
