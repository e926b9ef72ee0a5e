"""From the tokens of the chosen cells to class scores everywhere, several per cell in each direction (paper, dense
prediction)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.constants import DECODER_KERNEL
from lookwhere_cli.models.layers import Conv2d, Linear, gelu
from lookwhere_cli.models.spread_torch import overlay, spread_tensor


class LinearDecoder(nn.Module):
    """As published: a linear layer on each token, spread to the cells that were not read."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.scale = config.decoder_scale
        self.head = Linear(config.dim, len(config.labels) * self.scale**2)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        coarse_grid: Grid | None = None,
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Return scores `scale` times finer than `grid`. The head goes first: fewer channels are spread."""
        return _to_fine_grid(_to_grid(self.head(tokens), cells, grid, coarse_grid), grid, self.scale)


class ConvDecoder(nn.Module):
    """A layer that narrows each token, spread; then a convolution, through which cells see their neighbours."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, self.scale = config.decoder_channels, config.decoder_scale
        self.narrow = Linear(config.dim, channels)
        self.mix = Conv2d(channels, channels, kernel_size=DECODER_KERNEL, padding=DECODER_KERNEL // 2)
        self.head = Linear(channels, len(config.labels) * self.scale**2)

    def forward(
        self,
        tokens: Float[Tensor, "batch tokens dim"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        coarse_grid: Grid | None = None,
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Return scores `scale` times finer than `grid`."""
        blended = _to_grid(self.narrow(tokens), cells, grid, coarse_grid)
        mixed = self.mix(blended.mT.unflatten(-1, grid)).flatten(2).mT
        return _to_fine_grid(self.head(blended + gelu(mixed)), grid, self.scale)


def decoder_of(config: Config) -> LinearDecoder | ConvDecoder:
    """Make the decoder of a config."""
    return ConvDecoder(config) if config.decoder_channels else LinearDecoder(config)


def _to_grid(
    tokens: Float[Tensor, "batch tokens channels"],
    cells: Int[Tensor, "batch k"],
    grid: Grid,
    coarse_grid: Grid | None,
) -> Float[Tensor, "batch cells channels"]:
    """Return a token for every cell. tokens: those of `cells`, in that order, then those of the coarse grid."""
    if coarse_grid is None:
        return spread_tensor(tokens, cells, grid)
    k = cells.shape[1]
    return overlay(tokens[:, :k], cells, grid, tokens[:, k:], coarse_grid)


def _to_fine_grid(
    pieces: Float[Tensor, "batch cells pieces"], grid: Grid, scale: int
) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
    """Arrange each cell's (classes, scale, scale) numbers in the cell's place."""
    return F.pixel_shuffle(pieces.mT.unflatten(-1, grid), scale)
