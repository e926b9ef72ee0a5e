"""Multiply-accumulates, by part. Norms, softmax and resizing are left out, as is usual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from lookwhere_cli.macs.blocks import block_macs, merged_counts, merged_macs, pruned_macs
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.decoder import REACH
from lookwhere_cli.models.pruning.schedule import Counts, kept_counts, pruning_of
from lookwhere_cli.models.spread import NEAREST

CORNERS = 4  # coarse tokens around a cell, of which it is a blend


@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates of one picture's pass, by part."""

    selector: int
    extractor: int
    head: int = 0
    spread: int = 0

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.selector + self.extractor + self.head + self.spread


def count(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int = 0) -> Macs:
    """An image-level pass with k chosen cells of `grid` and so many coarse patches.

    The last block computes what is pooled only.
    """
    returned = _returned(config, k, coarse) if config.pool == "max" else 1
    return Macs(_selector(config, thumbnail_grid), _extractor(config, k + coarse, returned), _head(config))


def count_dense(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, channels: int, coarse: int = 0) -> Macs:
    """A dense pass: tokens of the k cells, as far as they are left, spread over the grid as `channels` numbers each."""
    cells = grid[0] * grid[1]
    return Macs(
        _selector(config, thumbnail_grid),
        _extractor(config, k + coarse, _returned(config, k, coarse)),
        spread=min(NEAREST, _left(config, k)) * cells * channels,
    )


def count_segment(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int = 0) -> Macs:
    """A pass of a model that segments: k cells of `grid` are read, the decoder answers for all."""
    cells, left = grid[0] * grid[1], _left(config, k)
    return Macs(
        _selector(config, thumbnail_grid),
        _extractor(config, k + coarse, left + coarse),
        head=_decoder(config, cells, left + coarse),
        spread=(CORNERS if coarse else min(NEAREST, left)) * cells * _spread_channels(config),
    )


def count_merged(config: Config, grid: Grid, rate: int) -> Macs:
    """A full ViT's pass in which `rate` cells are merged in each block; the last block computes what is asked for."""
    cells = grid[0] * grid[1]
    tokens = config.prefix_tokens + cells
    counts = merged_counts(config, tokens, rate)
    segments = config.task == "segment"
    returned = [tokens, *counts][-1] - config.prefix_tokens if segments else 1
    return Macs(
        0,
        _embed(config, cells) + merged_macs(config, tokens, counts, returned),
        head=_decoder(config, cells, cells) if segments else _head(config),
        spread=NEAREST * cells * _spread_channels(config) if segments else 0,
    )


def count_looks(
    config: Config, grid: Grid, thumbnail_grid: Grid, ks: Sequence[int], coarse: int = 0
) -> tuple[int, ...]:
    """What a picture that leaves at each look of a cascade in k has cost by then, all passes before included.

    ks: the cells that have been read after each. Coarse patches are read anew by looks that restart.
    """
    if config.second_look == "restart":
        passes = [count(config, grid, thumbnail_grid, k, coarse) for k in ks]
        return tuple(accumulate(one.total - (one.selector if number else 0) for number, one in enumerate(passes)))
    first = count(config, grid, thumbnail_grid, ks[0], coarse).total
    seen = config.prefix_tokens + coarse  # and, of each look that came before, its cells and the CLS of its own
    added = [_added(config, more - k, seen + k + number) for number, (k, more) in enumerate(pairwise(ks))]
    return tuple(accumulate([first, *added]))


def full(config: Config, grid: Grid) -> int:
    """The extractor's ViT as timm runs it: all cells of `grid`, all tokens in all blocks, and the model's head."""
    cells = grid[0] * grid[1]
    tokens = config.prefix_tokens + cells
    head = _decoder(config, cells, cells) if config.task == "segment" else _head(config)
    return _embed(config, cells) + config.extractor_depth * block_macs(config, tokens, tokens) + head


def _selector(config: Config, thumbnail_grid: Grid) -> int:
    if not config.selector_depth:
        return 0
    patches = thumbnail_grid[0] * thumbnail_grid[1]
    tokens = config.prefix_tokens + patches
    head = patches * 4 * config.dim * (config.dim + config.map_scale**2)
    return _embed(config, patches) + config.selector_depth * block_macs(config, tokens, tokens) + head


def _extractor(config: Config, read: int, returned: int) -> int:
    """`read`: patches, of cells and coarse ones."""
    tokens = config.prefix_tokens + read
    handover = config.prefix_tokens * config.dim**2 if config.prefix == "add" else 0
    return _embed(config, read) + handover + pruned_macs(config, tokens, _counts(config, tokens), returned)


def _counts(config: Config, tokens: int) -> Counts:
    """Tokens left after each block but the last, or but the last two; as many as go in where nothing is dropped."""
    pruning = pruning_of(config)
    return kept_counts(pruning, config, tokens) if pruning else (tokens,) * (config.extractor_depth - 1)


def _left(config: Config, k: int) -> int:
    """Of k cells, those that have a token in the end."""
    return _counts(config, config.prefix_tokens + k)[-1] - config.prefix_tokens if config.drops else k


def _returned(config: Config, k: int, coarse: int) -> int:
    """Tokens that the last block computes where those of the cells are asked for."""
    return _left(config, k) + (0 if config.prune is None else coarse)


def _added(config: Config, cells: int, kept: int) -> int:
    """A look at so many further cells, with a CLS of its own, that attends to what is kept of so many tokens."""
    tokens = 1 + cells
    blocks = (config.extractor_depth - 1) * block_macs(config, tokens, tokens, kept)
    return _embed(config, cells) + blocks + block_macs(config, tokens, 1, kept) + _head(config)


def _embed(config: Config, patches: int) -> int:
    return patches * 3 * config.patch**2 * config.dim


def _head(config: Config) -> int:
    return config.dim * len(config.labels)


def _decoder(config: Config, cells: int, read: int) -> int:
    pieces, channels = len(config.labels) * config.decoder_scale**2, config.decoder_channels
    if not channels:
        return read * config.dim * pieces
    return read * config.dim * channels + cells * channels * (channels * REACH**2 + pieces)


def _spread_channels(config: Config) -> int:
    return config.decoder_channels or len(config.labels) * config.decoder_scale**2
