"""How many tokens remain after each of Token Cropr's pruning modules (arXiv 2412.00965, schedules and fusion).

All counts are of tokens, the prefix included. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

from lookwhere_cli.amounts import DropRate, MacsShare, PruneAmount, RemainingTokens
from lookwhere_cli.macs.blocks import count_block, tokens_per_block
from lookwhere_cli.models.config import Config

ROUND = 8
"""Counts of a share are multiples of this, which suits the hardware."""
STEPS = 3
"""Modules over which the counts of a share fall: with more, too few tokens reach the last blocks; with fewer, tokens
are chosen too early."""
ENOUGH = 0.25
"""Share of the tokens that must remain for counts to fall in several steps."""
RAMP = 0.5
"""Share of the training over which the number of dropped tokens rises."""

Counts = tuple[int, ...]


@dataclass(frozen=True)
class Pruning:
    """A schedule.

    amount: a number of tokens to drop after each block (int; after the first one more), the number that remains after
    each module (a tuple), or the share of the blocks' MACs on all tokens that may be used (float): the first modules
    then drop the most.
    fusion: True if dropped tokens return for the last block, so that each cell has an output.
    norm: True if tokens are normalised before they are scored, a variant of the paper.
    """

    amount: PruneAmount
    fusion: bool = False
    norm: bool = False

    def __post_init__(self) -> None:
        """Read an amount that was given as plain numbers."""
        object.__setattr__(self, "amount", PruneAmount.parse(self.amount))


def pruning_of(config: Config) -> Pruning | None:
    """Return the schedule of a config; None for a model without pruning modules."""
    return None if config.prune is None else Pruning(config.prune, config.prune_fusion, config.prune_norm)


def count_modules(config: Config, fusion: bool) -> int:
    """Return the number of pruning modules: one after each block but the last or, with fusion, but the last two."""
    return max(0, config.extractor_depth - (2 if fusion else 1))


def check_schedule(pruning: Pruning, config: Config, tokens: int) -> None:
    """Raise ValueError if the schedule is impossible with `tokens` tokens."""
    modules = count_modules(config, pruning.fusion)
    if not modules:
        blocks = f"{config.extractor_depth} block" + "s" * (config.extractor_depth > 1)
        with_fusion = " and last-layer fusion" if pruning.fusion else ""
        raise ValueError(
            f"a ViT of {blocks} has no place for pruning{with_fusion}; it takes at least {3 if with_fusion else 2} "
            "blocks"
        )
    match pruning.amount:
        case RemainingTokens(counts=counts):
            _check_counts(counts, modules, _least(config), tokens)
        case MacsShare(share=share):
            _check_share(share, config, tokens, pruning.fusion)
        case DropRate(tokens=rate):
            _check_rate(rate, modules, _least(config), tokens)


def check_own_schedule(config: Config, pruning: Pruning | None) -> None:
    """Raise ValueError if the schedule is impossible with the model's own grid and k."""
    if pruning is not None:
        check_schedule(pruning, config, config.prefix_tokens + config.k.resolve(config.cells))


@lru_cache
def remaining_counts(pruning: Pruning, config: Config, tokens: int) -> Counts:
    """Return the number of tokens after each module, of `tokens` before the first.

    With fewer tokens than `check_schedule` accepts (a small picture), the prefix and one cell remain after each module.
    """
    modules = count_modules(config, pruning.fusion)
    scheduled: Counts = ()
    match pruning.amount:
        case RemainingTokens(counts=counts):
            scheduled = counts
        case MacsShare(share=share):
            scheduled = _counts_of_share(share, config, tokens, pruning.fusion)
        case DropRate(tokens=rate):
            scheduled = tuple(tokens - bool(rate) - rate * module for module in range(1, modules + 1))
    return tuple(min(tokens, max(_least(config), count)) for count in scheduled)


def ease_counts(counts: Counts, tokens: int, progress: float) -> Counts:
    """Return the counts at some point of the training, `progress` (0..1).

    Over the first half the number of dropped tokens rises linearly from 0: the paper's curriculum for dense tasks.
    """
    share = min(1.0, progress / RAMP)
    return tuple(tokens - round(share * (tokens - count)) for count in counts)


def _least(config: Config) -> int:
    return config.prefix_tokens + 1


def _check_rate(rate: int, modules: int, least: int, tokens: int) -> None:
    if rate < 0:
        raise ValueError(f"a rate of {rate} tokens is impossible; it must be at least 0")
    dropped = modules * rate + 1
    if rate and tokens - dropped < least:
        raise ValueError(
            f"a rate of {rate} drops {dropped} of {tokens} tokens in {modules} steps, and {least} must remain; "
            f"it can be at most {max(0, (tokens - least - 1) // modules)}"
        )


def _check_counts(counts: Counts, modules: int, least: int, tokens: int) -> None:
    if len(counts) != modules:
        raise ValueError(f"{len(counts)} counts are given for {modules} pruning modules; each needs one")
    for before, after in zip((tokens, *counts), counts, strict=False):
        if after > before:
            raise ValueError(f"a count of {after} tokens follows one of {before}; counts can't grow")
    if counts[-1] < least:
        raise ValueError(f"a count of {counts[-1]} tokens drops too many; {least} must remain, the prefix and one cell")


def _check_share(share: float, config: Config, tokens: int, fusion: bool) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} of the MACs is impossible; it must be above 0 and at most 1.0")
    fewest = (_least(config),) * count_modules(config, fusion)
    least = _macs_share(fewest, config, tokens)
    if share < least:
        raise ValueError(
            f"a share of {share} of the MACs can't be met: with {tokens} tokens, the least possible is {least:.3f}"
        )


def _counts_of_share(share: float, config: Config, tokens: int, fusion: bool) -> Counts:
    """Return the highest counts within the share that fall over the first modules and then stay.

    If less than a quarter of the tokens would remain, counts fall over fewer modules, at last below a multiple of
    ROUND. If no counts are within the share, return the least possible.
    """
    modules, least = count_modules(config, fusion), _least(config)
    levels = range(_round_up(tokens), _round_up(least) - 1, -ROUND)
    enough = [level for level in levels if level >= ENOUGH * tokens]
    falls = [_falls(enough, steps, modules, tokens) for steps in range(min(STEPS, modules), 1, -1)]
    falls.append(_falls(levels, 1, modules, tokens))
    falls.append(_falls([levels[-1], least], 1, modules, tokens))
    within = (counts for counts in chain.from_iterable(falls) if _macs_share(counts, config, tokens) <= share)
    return next(within, (least,) * modules)


def _falls(levels: Sequence[int], steps: int, modules: int, tokens: int) -> Iterator[Counts]:
    """Yield counts that fall in `steps` steps to each level, for falling levels.

    Between two levels, the first modules keep to the higher one, as many as the share allows.
    """
    for above, below in pairwise(_fall(level, steps, modules, tokens) for level in levels):
        yield from (above[:first] + below[first:] for first in range(modules, -1, -1))


def _fall(level: int, steps: int, modules: int, tokens: int) -> Counts:
    """Return counts that fall evenly to the level, rounded up on the way."""
    between = (_round_up(level + (tokens - level) * (steps - step) / steps) for step in range(1, steps))
    return tuple(min(tokens, count) for count in (*between, *[level] * (modules - steps + 1)))


def _round_up(count: float) -> int:
    return ROUND * math.ceil(count / ROUND)


def _macs_share(counts: Counts, config: Config, tokens: int) -> float:
    """Return the blocks' MACs as a share of those on all tokens.

    As in the paper, scoring is left out and the last block returns all of its tokens.
    """
    pruned = sum(count_block(config, each, each) for each in tokens_per_block(config, tokens, counts))
    return pruned / (config.extractor_depth * count_block(config, tokens, tokens))
