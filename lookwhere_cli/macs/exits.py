"""Multiply-adds of a cascade over grids (DVT).

Resizing what an exit reuses is counted, too: it is done by matrices, and takes more than the MLPs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from lookwhere_cli.macs.passes import count_full, count_image
from lookwhere_cli.models.cascade.shapes import ExitShape
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.constants import RELATION_EXPANSION, REUSE_HIDDEN, REUSED_CHANNELS


def count_exits(config: Config, shapes: Sequence[ExitShape], grids: Sequence[Grid] | None = None) -> tuple[int, ...]:
    """Count all that a picture takes that leaves at each exit, earlier exits included.

    grids: those of the picture's exits; by default the model's own.
    """
    return tuple(accumulate(count_each_exit(config, shapes, grids)))


def count_each_exit(
    config: Config, shapes: Sequence[ExitShape], grids: Sequence[Grid] | None = None
) -> tuple[int, ...]:
    """Count each exit alone, head and reuse included. The last exit's last block computes CLS only."""
    grids = grids or [shape.grid for shape in shapes]
    alone = [replace(config, patch=shape.patch, selector_depth=0, prefix="own", exits=()) for shape in shapes]
    plain = [count_full(one, grid) for one, grid in zip(alone[:-1], grids, strict=False)]
    cells = grids[-1][0] * grids[-1][1]
    plain.append(count_image(alone[-1], grids[-1], grids[-1], cells).total)
    reuse = [0, *(_count_reuse(config, *pair, last=pair[1] == grids[-1]) for pair in pairwise(grids))]
    return tuple(map(sum, zip(plain, reuse, strict=True)))


def _count_reuse(config: Config, old: Grid, new: Grid, last: bool) -> int:
    """Count what an exit on the grid `new` takes more than a plain ViT, because it reuses an exit on the grid `old`."""
    depth, channels = config.extractor_depth, config.extractor_depth * config.heads
    old_cells = old[0] * old[1]
    old_tokens, new_tokens = config.prefix_tokens + old_cells, config.prefix_tokens + new[0] * new[1]
    mlp = old_cells * REUSE_HIDDEN * (config.dim + REUSED_CHANNELS)
    features = depth * (mlp + _count_resizing(old, new, REUSED_CHANNELS))
    widened = ((depth - 1) * new_tokens + (1 if last else new_tokens)) * REUSED_CHANNELS * config.hidden
    mixed = old_tokens**2 * 2 * RELATION_EXPANSION * channels**2
    relations = channels * (_count_resizing(old, new, old_tokens) + _count_resizing(old, new, new_tokens))
    return features + widened + mixed + relations


def _count_resizing(old: Grid, new: Grid, channels: int) -> int:
    """Count resizing by one matrix for the columns, then one for the rows."""
    return channels * (old[0] * old[1] * new[1] + old[0] * new[0] * new[1])
