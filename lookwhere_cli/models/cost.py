"""Multiply-accumulates of transformer blocks, on all tokens and on ever fewer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from lookwhere_cli.models.config import Config


def block_macs(config: Config, tokens: int, returned: int, kept: int = 0) -> int:
    """One block that reads so many tokens and returns so many of them, which attend to so many `kept` ones as well."""
    dim, hidden = config.dim, config.hidden
    narrow = hidden // 2 if config.feed_forward == "swiglu" else hidden
    keys_and_values = tokens * 2 * dim * dim
    query_and_projection = returned * 2 * dim * dim
    attention = 2 * returned * (tokens + kept) * dim
    return keys_and_values + query_and_projection + attention + returned * dim * (hidden + narrow)


def read(config: Config, tokens: int, counts: Sequence[int]) -> list[int]:
    """Tokens that each block reads, of so many that go in, with `counts` left after each pruning module.

    counts: as `schedule.kept_counts` gives them. Where they are one fewer than without fusion, the last block reads all
    tokens again.
    """
    left = [tokens, *counts]
    return left if len(left) == config.extractor_depth else [*left, tokens]


def pruned_macs(config: Config, tokens: int, counts: Sequence[int], returned: int) -> int:
    """All blocks, the last of which returns so many tokens, and what choosing the tokens costs."""
    *first, last = read(config, tokens, counts)
    scored = sum(before for before, after in pairwise([tokens, *counts]) if after < before)
    blocks = sum(block_macs(config, each, each) for each in first)
    return blocks + block_macs(config, last, returned) + scored * config.dim
