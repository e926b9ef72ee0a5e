"""How many tokens stay after each of Token Cropr's pruning modules (arXiv 2412.00965, schedules and fusion)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

from lookwhere_cli.amounts import DropRate, MacsShare, PruneAmount, RemainingTokens
from lookwhere_cli.macs.blocks import block_macs, read
from lookwhere_cli.models.config import Config

ROUND = 8  # counts that suit the hardware
FALL = 3  # modules over which a share's counts fall: more leave too little to the last blocks, fewer choose too early
ENOUGH = 0.25  # share of the tokens that must be left for a fall by degrees: else it takes the last blocks' tokens
RAMP = 0.5  # share of the training over which the rate rises

Counts = tuple[int, ...]


@dataclass(frozen=True)
class Pruning:
    """A schedule. All counts are of tokens, the prefix included."""

    amount: PruneAmount
    """What is dropped: so many after each block (int; after the first one more); all but so many after each (counts);
    as many as leave a share (float) of the MACs that the blocks have on all tokens, the most over the first modules."""
    fusion: bool = False
    """Whether the dropped tokens come back for the last block, so that each cell has an output."""
    norm: bool = False
    """Whether tokens are normalised before they are scored, as in one of the paper's variants."""

    def __post_init__(self) -> None:
        """Read an amount that was given as plain numbers."""
        object.__setattr__(self, "amount", PruneAmount.parse(self.amount))


def pruning_of(config: Config) -> Pruning | None:
    """The schedule that a config asks for; None for a model without pruning modules."""
    return None if config.prune is None else Pruning(config.prune, config.prune_fusion, config.prune_norm)


def modules(config: Config, fusion: bool) -> int:
    """Pruning modules: one after each block but the last; with fusion, but the last two."""
    return max(0, config.extractor_depth - (2 if fusion else 1))


def check(pruning: Pruning, config: Config, tokens: int) -> None:
    """Raise ValueError with a sentence unless the schedule can be kept to with so many tokens."""
    count = modules(config, pruning.fusion)
    if not count:
        blocks = f"{config.extractor_depth} block" + "s" * (config.extractor_depth > 1)
        more = " and last-layer fusion" if pruning.fusion else ""
        raise ValueError(
            f"a ViT of {blocks} has no place for pruning{more}; it takes at least {3 if more else 2} blocks"
        )
    match pruning.amount:
        case RemainingTokens(counts=counts):
            _check_counts(counts, count, _least(config), tokens)
        case MacsShare(share=share):
            _check_share(share, config, tokens, pruning.fusion)
        case DropRate(tokens=rate):
            _check_rate(rate, count, _least(config), tokens)


@lru_cache
def kept_counts(pruning: Pruning, config: Config, tokens: int) -> Counts:
    """Tokens left after each module, of so many that go in.

    A schedule that `check` accepts is kept to; with fewer tokens (a small picture), each module keeps at least the
    prefix and one cell.
    """
    count, amount = modules(config, pruning.fusion), pruning.amount
    wanted: Counts = ()
    match amount:
        case RemainingTokens(counts=counts):
            wanted = counts
        case MacsShare(share=share):
            wanted = _of_share(share, config, tokens, pruning.fusion)
        case DropRate(tokens=rate):
            wanted = tuple(tokens - bool(rate) - rate * module for module in range(1, count + 1))
    return tuple(min(tokens, max(_least(config), each)) for each in wanted)


def eased(counts: Counts, tokens: int, progress: float) -> Counts:
    """The counts while training has come to `progress` (0..1): over its first half what is dropped rises from nothing.

    The paper's curriculum for dense training; the rate rises linearly, whatever gave the counts.
    """
    share = min(1.0, progress / RAMP)
    return tuple(tokens - round(share * (tokens - count)) for count in counts)


def _least(config: Config) -> int:
    return config.prefix_tokens + 1


def _check_rate(rate: int, count: int, least: int, tokens: int) -> None:
    if rate < 0:
        raise ValueError(f"a rate of {rate} tokens would add some; it must be at least 0")
    dropped = count * rate + 1
    if rate and tokens - dropped < least:
        raise ValueError(
            f"a rate of {rate} drops {dropped} of {tokens} tokens in {count} steps, and {least} must stay; "
            f"it can be at most {max(0, (tokens - least - 1) // count)}"
        )


def _check_counts(counts: Counts, count: int, least: int, tokens: int) -> None:
    if len(counts) != count:
        raise ValueError(f"{len(counts)} counts are given for {count} pruning modules; each needs one")
    for before, after in zip((tokens, *counts), counts, strict=False):
        if after > before:
            raise ValueError(f"a count of {after} tokens follows one of {before}; counts can't grow")
    if counts[-1] < least:
        raise ValueError(f"a count of {counts[-1]} tokens drops too many; {least} must stay, the prefix and one cell")


def _check_share(share: float, config: Config, tokens: int, fusion: bool) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"a share of {share} of the MACs is impossible; it must lie above 0 and up to 1.0")
    fewest = (_least(config),) * modules(config, fusion)
    least = _share(fewest, config, tokens)
    if share < least:
        raise ValueError(
            f"a share of {share} of the MACs can't be met: with {tokens} tokens, the least possible is {least:.3f}"
        )


def _of_share(share: float, config: Config, tokens: int, fusion: bool) -> Counts:
    """The counts that fall over the first modules and then stay, as high as the share allows; else the least there are.

    A share that would leave less than a quarter has them fall over fewer modules, and at last below a round count.
    """
    places, least = modules(config, fusion), _least(config)
    levels = range(_round_up(tokens), _round_up(least) - 1, -ROUND)
    enough = [level for level in levels if level >= ENOUGH * tokens]
    falls = [_falls(enough, steps, places, tokens) for steps in range(min(FALL, places), 1, -1)]
    falls.append(_falls(levels, 1, places, tokens))
    falls.append(_falls([levels[-1], least], 1, places, tokens))
    within = (counts for counts in chain.from_iterable(falls) if _share(counts, config, tokens) <= share)
    return next(within, (least,) * places)


def _falls(levels: Sequence[int], steps: int, places: int, tokens: int) -> Iterator[Counts]:
    """Counts that fall in so many steps to a level, for falling levels.

    Between two levels, the first modules keep to the one above: what a level leaves of a share is theirs.
    """
    for above, below in pairwise(_fall(level, steps, places, tokens) for level in levels):
        yield from (above[:first] + below[first:] for first in range(places, -1, -1))


def _fall(level: int, steps: int, places: int, tokens: int) -> Counts:
    """Counts that fall evenly to the level, rounded on the way."""
    wanted = (_round_up(level + (tokens - level) * (steps - place) / steps) for place in range(1, steps))
    return tuple(min(tokens, count) for count in (*wanted, *[level] * (places - steps + 1)))


def _round_up(count: float) -> int:
    return ROUND * math.ceil(count / ROUND)


def _share(counts: Counts, config: Config, tokens: int) -> float:
    """The blocks' MACs as a share of those on all tokens, counted as in the paper.

    That leaves scoring out, and has the last block return all of its tokens.
    """
    pruned = sum(block_macs(config, each, each) for each in read(config, tokens, counts))
    return pruned / (config.extractor_depth * block_macs(config, tokens, tokens))
