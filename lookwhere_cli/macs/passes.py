"""Multiply-adds of a picture's pass through a model. Norms, softmax and resizing are left out, as is usual.

Counts are of multiply-accumulates: one is a multiplication and an addition. `grid` is the picture's (rows, columns) of
cells, `thumbnail_grid` the thumbnail's of patches, `k` the chosen cells, `coarse` the coarse patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from lookwhere_cli.macs.blocks import count_block, count_merged_blocks, count_pruned, merged_counts
from lookwhere_cli.models.candidates import MASK_PLACES, MASK_SIDE, MASK_TERMS
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.constants import DECODER_KERNEL, DETAIL_KERNEL, NEAREST
from lookwhere_cli.models.pruning.schedule import Counts, pruning_of, remaining_counts

CORNERS = 4
"""Coarse tokens that bilinear interpolation blends into the token of a cell."""


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one picture, by part."""

    selector: int
    extractor: int
    head: int = 0
    spread: int = 0

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.selector + self.extractor + self.head + self.spread


def count_image(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int = 0) -> Macs:
    """Count a pass to the answer for the picture as a whole. The last block computes only what is pooled."""
    returned = _returned(config, k, coarse) if config.pool == "max" else 1
    return Macs(count_selector(config, thumbnail_grid), _extractor(config, k + coarse, returned), _head(config))


def count_dense(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, channels: int, coarse: int = 0) -> Macs:
    """Count a pass to a token for every cell, of `channels` numbers, spread from the cells that pruning leaves."""
    cells = grid[0] * grid[1]
    return Macs(
        count_selector(config, thumbnail_grid),
        _extractor(config, k + coarse, _returned(config, k, coarse)),
        spread=min(NEAREST, _remaining(config, k)) * cells * channels,
    )


def count_segment(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int = 0) -> Macs:
    """Count a pass of a segmentation model, whose decoder answers for every cell."""
    cells, remaining = grid[0] * grid[1], _remaining(config, k)
    return Macs(
        count_selector(config, thumbnail_grid),
        _extractor(config, k + coarse, remaining + coarse),
        head=_decoder(config, cells, remaining + coarse) + _detail(config, k),
        spread=(CORNERS if coarse else min(NEAREST, remaining)) * cells * _spread_channels(config),
    )


def count_detect(config: Config, grid: Grid, thumbnail_grid: Grid, k: int, coarse: int = 0) -> Macs:
    """Count a pass of a detection model, which asks each cell that pruning leaves for boxes."""
    return Macs(
        count_selector(config, thumbnail_grid),
        _extractor(config, k + coarse, _returned(config, k, coarse)),
        head=_detector(config, _remaining(config, k)),
    )


def count_masks(config: Config, boxes: int) -> int:
    """Count what the masks of boxes that were kept take, beside the pass: the sum of channels at each of their places.

    A place takes its values from the nearest ones, which is resizing, and not counted.
    """
    return boxes * MASK_SIDE**2 * (config.detect_mask_channels + MASK_TERMS)


def count_merged(config: Config, grid: Grid, rate: int) -> Macs:
    """Count a pass of a full ViT that merges `rate` cells in each block. The last block computes only what is used."""
    cells = grid[0] * grid[1]
    tokens = config.prefix_tokens + cells
    counts = merged_counts(config, tokens, rate)
    is_dense = config.has_decoder or config.has_boxes
    returned = [tokens, *counts][-1] - config.prefix_tokens if is_dense else 1
    return Macs(
        0,
        _embedding(config, cells) + count_merged_blocks(config, tokens, counts, returned),
        head=_full_head(config, cells),
        spread=NEAREST * cells * _spread_channels(config) if config.has_decoder else 0,
    )


def count_looks(
    config: Config, grid: Grid, thumbnail_grid: Grid, ks: Sequence[int], coarse: Sequence[int] = ()
) -> tuple[int, ...]:
    """Count all that a picture takes that leaves at each look of `-k auto`, earlier looks included.

    ks: cells that have been read after each look. coarse: the coarse patches that a look reads beside so many cells;
    looks that restart read theirs again, those that add keep the first's. Empty: none.
    """
    coarse = coarse or (0,) * len(ks)
    if config.second_look == "restart":
        passes = [count_image(config, grid, thumbnail_grid, *counts) for counts in zip(ks, coarse, strict=True)]
        return tuple(accumulate(one.total - (one.selector if number else 0) for number, one in enumerate(passes)))
    first = count_image(config, grid, thumbnail_grid, ks[0], coarse[0]).total
    # and the cells of all earlier looks, and a CLS for each look but the first
    stored = config.prefix_tokens + coarse[0]
    further = [_further_look(config, more - k, stored + k + number) for number, (k, more) in enumerate(pairwise(ks))]
    return tuple(accumulate([first, *further]))


def count_full(config: Config, grid: Grid) -> int:
    """Count the extractor's ViT as timm runs it: all cells of `grid`, all tokens in all blocks, and the head."""
    cells = grid[0] * grid[1]
    tokens = config.prefix_tokens + cells
    blocks = config.extractor_depth * count_block(config, tokens, tokens)
    return _embedding(config, cells) + blocks + _full_head(config, cells)


def _full_head(config: Config, cells: int) -> int:
    if config.has_boxes:
        return _detector(config, cells)
    return _decoder(config, cells, cells) + _detail(config, cells) if config.has_decoder else _head(config)


def count_selector(config: Config, thumbnail_grid: Grid) -> int:
    """Count the selector's pass."""
    if not config.selector_depth:
        return 0
    patches = thumbnail_grid[0] * thumbnail_grid[1]
    tokens = config.prefix_tokens + patches
    head = patches * 4 * config.dim * (config.dim + config.map_scale**2)
    return _embedding(config, patches) + config.selector_depth * count_block(config, tokens, tokens) + head


def _extractor(config: Config, patches: int, returned: int) -> int:
    """Count the extractor on `patches`, those of cells and coarse ones."""
    tokens = config.prefix_tokens + patches
    handover = config.prefix_tokens * config.dim**2 if config.prefix == "add" else 0
    return _embedding(config, patches) + handover + count_pruned(config, tokens, _counts(config, tokens), returned)


def _counts(config: Config, tokens: int) -> Counts:
    """Return the number of tokens after each pruning module or, without modules, after each block but the last."""
    pruning = pruning_of(config)
    return remaining_counts(pruning, config, tokens) if pruning else (tokens,) * (config.extractor_depth - 1)


def _remaining(config: Config, k: int) -> int:
    """Return how many of k cells have a token after the last block."""
    return _counts(config, config.prefix_tokens + k)[-1] - config.prefix_tokens if config.drops else k


def _returned(config: Config, k: int, coarse: int) -> int:
    """Return how many tokens the last block computes if the cells' tokens are used.

    Pruning reorders tokens, so that coarse ones can't be left out.
    """
    return _remaining(config, k) + (0 if config.prune is None else coarse)


def _further_look(config: Config, cells: int, stored: int) -> int:
    """Count a look at `cells` more, with its own CLS, that attends to `stored` tokens of earlier looks."""
    tokens = 1 + cells
    blocks = (config.extractor_depth - 1) * count_block(config, tokens, tokens, stored)
    return _embedding(config, cells) + blocks + count_block(config, tokens, 1, stored) + _head(config)


def _embedding(config: Config, patches: int) -> int:
    return patches * 3 * config.patch**2 * config.dim


def _head(config: Config) -> int:
    return config.dim * len(config.labels)


def _detector(config: Config, cells: int) -> int:
    points, channels, mask_channels = config.detect_points**2, config.detect_channels, config.detect_mask_channels
    numbers, hidden = points * (len(config.labels) + 4), 2
    if config.has_masks:
        numbers += points * (mask_channels + MASK_TERMS) + MASK_PLACES**2 * mask_channels
        hidden = 4
    return cells * channels * (config.dim + hidden * channels + numbers)


def _decoder(config: Config, cells: int, tokens: int) -> int:
    pieces, channels = len(config.labels) * config.decoder_scale**2, config.decoder_channels
    if not channels:
        return tokens * config.dim * pieces
    return tokens * config.dim * channels + cells * channels * (channels * DECODER_KERNEL**2 + pieces)


def _detail(config: Config, k: int) -> int:
    """Count what the decoder sees of the pixels of k cells."""
    detail, scale, classes = config.decoder_detail, config.decoder_scale, len(config.labels)
    seen = 3 * (DETAIL_KERNEL * (config.patch // scale)) ** 2
    return k * scale**2 * detail * (seen + config.decoder_channels + classes)


def _spread_channels(config: Config) -> int:
    return config.decoder_channels or len(config.labels) * config.decoder_scale**2
