"""From the tokens of the chosen cells to class scores everywhere, several per cell in each direction (paper, dense
prediction)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.constants import DECODER_KERNEL, DETAIL_KERNEL
from lookwhere_cli.models.layers import Conv2d, Linear, gelu
from lookwhere_cli.models.spread_torch import overlay, spread_tensor


class LinearDecoder(nn.Module):
    """As published: a linear layer on each token, spread to the cells that were not read."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.scale = config.decoder_scale
        self.head = Linear(config.dim, len(config.labels) * self.scale**2)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], chosen: Chosen[Tensor]
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Return scores `scale` times finer than the grid. The head goes first: fewer channels are spread.

        chosen: the cells of the tokens, in their order; tokens of coarse patches come after those of cells.
        """
        return _to_fine_grid(_to_grid(self.head(tokens), chosen), chosen.grid, self.scale)


class ConvDecoder(nn.Module):
    """A layer that narrows each token, spread; then a convolution, through which cells see their neighbours."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels, self.scale = config.decoder_channels, config.decoder_scale
        self.narrow = Linear(config.dim, channels)
        self.mix = Conv2d(channels, channels, kernel_size=DECODER_KERNEL, padding=DECODER_KERNEL // 2)
        self.head = Linear(channels, len(config.labels) * self.scale**2)
        self.detail = Detail(config) if config.decoder_detail else None

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], chosen: Chosen[Tensor]
    ) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
        """Return scores `scale` times finer than the grid. chosen: as for LinearDecoder."""
        narrow = self.narrow(tokens)
        blended = _to_grid(narrow, chosen)
        mixed = self.mix(blended.mT.unflatten(-1, chosen.grid)).flatten(2).mT
        pieces = self.head(blended + gelu(mixed))
        if self.detail is not None:
            added = self.detail(narrow[:, : chosen.cells.shape[1]], chosen.patches)
            pieces = pieces.scatter_add(1, chosen.cells[..., None].expand_as(added), added.to(pieces.dtype))
        return _to_fine_grid(pieces, chosen.grid, self.scale)


class Detail(nn.Module):
    """Adds to the scores of a cell's pieces what its pixels say: where in it a thin pole stands, or an edge runs.

    A token says little about places within its cell. Here each piece sees its own pixels and those of a ring of pieces
    around it (repeated at the patch's border), together with the cell's narrowed token.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.scale, self.ring = config.decoder_scale, config.patch // config.decoder_scale
        side = DETAIL_KERNEL * self.ring
        self.pixels = Conv2d(3, config.decoder_detail, kernel_size=side, stride=self.ring)
        self.context = Linear(config.decoder_channels, self.scale**2 * config.decoder_detail)
        self.head = Linear(config.decoder_detail, len(config.labels))

    def forward(
        self, narrow: Float[Tensor, "batch k channels"], patches: Float[Tensor, "batch k 3 patch patch"]
    ) -> Float[Tensor, "batch k pieces"]:
        """Return what is added to the scores, (classes, scale, scale) of each cell in one row; patches normalised."""
        padded = F.pad(patches.flatten(0, 1), (self.ring,) * 4, mode="replicate")
        # One matrix product: a convolution would be compiled for each number of cells, and kept.
        seen = F.unfold(padded, self.pixels.kernel_size, stride=self.ring).mT
        seen = F.linear(seen, self.pixels.weight.flatten(1), self.pixels.bias).unflatten(0, narrow.shape[:2])
        hidden = gelu(seen + self.context(narrow).unflatten(-1, seen.shape[-2:]))
        return self.head(hidden).mT.flatten(2)


def decoder_of(config: Config) -> LinearDecoder | ConvDecoder:
    """Make the decoder of a config."""
    return ConvDecoder(config) if config.decoder_channels else LinearDecoder(config)


def _to_grid(
    tokens: Float[Tensor, "batch tokens channels"], chosen: Chosen[Tensor]
) -> Float[Tensor, "batch cells channels"]:
    """Return a token for every cell. tokens: those of the chosen cells, then those of the coarse patches."""
    cells, grid = chosen.cells, chosen.grid
    if chosen.coarse is None:
        return spread_tensor(tokens, cells, grid)
    k = cells.shape[1]
    return overlay(tokens[:, :k], cells, grid, tokens[:, k:], chosen.coarse.grid)


def _to_fine_grid(
    pieces: Float[Tensor, "batch cells pieces"], grid: Grid, scale: int
) -> Float[Tensor, "batch classes fine_rows fine_columns"]:
    """Arrange each cell's (classes, scale, scale) numbers in the cell's place."""
    return F.pixel_shuffle(pieces.mT.unflatten(-1, grid), scale)
