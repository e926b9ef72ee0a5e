"""Multiply-accumulates of a DVT, exit by exit; of resizing, those of relations and features, done by matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.cascade.dvt import ExitShape
from lookwhere_cli.models.cascade.reuse import EXPANSION, HIDDEN, REUSED
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config


def costs(config: Config, shapes: Sequence[ExitShape], grids: Sequence[Grid] | None = None) -> tuple[int, ...]:
    """What a picture that leaves at each exit has cost by then: that exit and all before it."""
    return tuple(accumulate(count(config, shapes, grids)))


def count(config: Config, shapes: Sequence[ExitShape], grids: Sequence[Grid] | None = None) -> tuple[int, ...]:
    """What each exit costs by itself, head and reuse included; of the last exit's last block, CLS alone."""
    grids = grids or [shape.grid for shape in shapes]
    patches = [replace(config, patch=shape.patch, selector_depth=0, prefix="own", exits=()) for shape in shapes]
    plain = [macs.full(one, grid) for one, grid in zip(patches[:-1], grids, strict=False)]
    cells = grids[-1][0] * grids[-1][1]
    plain.append(macs.count(patches[-1], grids[-1], grids[-1], cells).total)
    reuse = [0, *(_reuse(config, *pair, last=pair[1] == grids[-1]) for pair in pairwise(grids))]
    return tuple(map(sum, zip(plain, reuse, strict=True)))


def _reuse(config: Config, old: Grid, new: Grid, last: bool) -> int:
    """What an exit on the grid `new` costs more than a plain ViT, by reusing one on `old`."""
    depth, channels = config.extractor_depth, config.extractor_depth * config.heads
    old_cells = old[0] * old[1]
    old_tokens, new_tokens = config.prefix_tokens + old_cells, config.prefix_tokens + new[0] * new[1]
    features = depth * (old_cells * HIDDEN * (config.dim + REUSED) + _resize(old, new, REUSED))
    widened = ((depth - 1) * new_tokens + (1 if last else new_tokens)) * REUSED * config.hidden
    mixed = old_tokens**2 * 2 * EXPANSION * channels**2
    relations = channels * (_resize(old, new, old_tokens) + _resize(old, new, new_tokens))
    return features + widened + mixed + relations


def _resize(old: Grid, new: Grid, channels: int) -> int:
    """Columns first, then rows."""
    return channels * (old[0] * old[1] * new[1] + old[0] * new[0] * new[1])
