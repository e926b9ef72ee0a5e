"""From the tokens of the chosen cells to logits for every cell, several in each direction (paper, dense prediction)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.models.blank import Conv2d, Linear
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.spread_torch import overlay, spread_tensor

REACH = 3  # cells across the convolution


class LinearDecoder(nn.Module):
    """As published: a linear layer on each token, spread to the cells that were not read."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.scale = config.decoder_scale
        self.head = Linear(config.dim, len(config.labels) * self.scale**2)

    def forward(
        self,
        tokens: Float[Tensor, "batch k+coarse dim"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        coarse_grid: Grid | None = None,
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Logits, `scale` times finer than `grid`. The head goes first: fewer channels are spread."""
        return _fine(_on_grid(self.head(tokens), cells, grid, coarse_grid), grid, self.scale)


class ConvDecoder(nn.Module):
    """A narrow layer on each token, spread; then a convolution, so that cells know of their neighbours."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, self.scale = config.decoder_channels, config.decoder_scale
        self.narrow = Linear(config.dim, channels)
        self.mix = Conv2d(channels, channels, kernel_size=REACH, padding=REACH // 2)
        self.head = Linear(channels, len(config.labels) * self.scale**2)

    def forward(
        self,
        tokens: Float[Tensor, "batch k+coarse dim"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        coarse_grid: Grid | None = None,
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Logits, `scale` times finer than `grid`."""
        blended = _on_grid(self.narrow(tokens), cells, grid, coarse_grid)
        mixed = self.mix(blended.mT.unflatten(-1, grid)).flatten(2).mT
        return _fine(self.head(blended + F.gelu(mixed)), grid, self.scale)


def decoder_of(config: Config) -> LinearDecoder | ConvDecoder:
    """The decoder that a config asks for."""
    return ConvDecoder(config) if config.decoder_channels else LinearDecoder(config)


def _on_grid(
    tokens: Float[Tensor, "batch k+coarse channels"],
    cells: Int[Tensor, "batch k"],
    grid: Grid,
    coarse_grid: Grid | None,
) -> Float[Tensor, "batch cells channels"]:
    """A token for every cell: from those of the cells, in the order of `cells`, and after them the coarse grid's."""
    if coarse_grid is None:
        return spread_tensor(tokens, cells, grid)
    k = cells.shape[1]
    return overlay(tokens[:, :k], cells, grid, tokens[:, k:], coarse_grid)


def _fine(
    pieces: Float[Tensor, "batch cells pieces"], grid: Grid, scale: int
) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
    """Each cell's (classes, scale, scale) numbers laid out beside those of its neighbours."""
    return F.pixel_shuffle(pieces.mT.unflatten(-1, grid), scale)
