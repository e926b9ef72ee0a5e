"""The extractor: the chosen patches, their cells and the prefix tokens go in. It never sees an image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.models.blank import Linear
from lookwhere_cli.models.config import Config, Grid
from lookwhere_cli.models.vit import ALL, ViT


class Coarse(NamedTuple):
    """All of a picture, coarsely: the normalised patches of a thumbnail, row by row, and its grid (rows, columns)."""

    patches: Float[Tensor, "batch coarse 3 patch patch"]
    grid: Grid


class Extractor(ViT):
    """A deep ViT on k cells, told the gist of the whole by the selector's prefix tokens and, if wanted, coarse ones."""

    def __init__(self, config: Config) -> None:
        super().__init__(config, config.extractor_depth, config.grid)
        self.handover = _handover(config)

    def forward(  # type: ignore[override]
        self,
        patches: Float[Tensor, "batch k 3 patch patch"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        prefix_tokens: Float[Tensor, "batch prefix dim"],
        returned: slice = ALL,
        coarse: Coarse | None = None,
    ) -> Float[Tensor, "batch returned dim"]:
        """Normalised patches in any order, their cells (row * columns + column); the `returned` tokens, normed.

        Tokens are ordered prefix, cells, coarse. A coarse patch has the position of its place on its own grid.
        """
        return self.encode(self.tokens(patches, cells, grid, prefix_tokens, coarse), returned)

    def tokens(
        self,
        patches: Float[Tensor, "batch k 3 patch patch"],
        cells: Int[Tensor, "batch k"],
        grid: Grid,
        prefix_tokens: Float[Tensor, "batch prefix dim"],
        coarse: Coarse | None = None,
    ) -> Float[Tensor, "batch tokens dim"]:
        """What goes into the first block, of the same."""
        tokens = [self.handover(self.prefix(), prefix_tokens), self.embed(patches, grid, cells)]
        if coarse is not None:
            tokens.append(self.embed(coarse.patches, coarse.grid))
        return torch.cat(tokens, dim=1)


def _handover(config: Config) -> nn.Module:
    if config.prefix == "add":
        return AddPrefix(config.dim)
    return ReplacePrefix() if config.prefix == "replace" else OwnPrefix()


class OwnPrefix(nn.Module):
    """The plain ViT: there is no selector whose prefix tokens could be handed over."""

    def forward(
        self, own: Float[Tensor, "1 prefix dim"], given: Float[Tensor, "batch prefix dim"]
    ) -> Float[Tensor, "batch prefix dim"]:
        """The extractor's own ones, one for each picture."""
        return own.expand(len(given), -1, -1)


class ReplacePrefix(nn.Module):
    """As published: the selector's prefix tokens stand in place of the extractor's own, which are never used."""

    def forward(
        self, own: Float[Tensor, "1 prefix dim"], given: Float[Tensor, "batch prefix dim"]
    ) -> Float[Tensor, "batch prefix dim"]:
        """The given ones as they are."""
        return given


class AddPrefix(nn.Module):
    """The extractor's own prefix tokens plus a linear layer of the selector's, zero at first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = Linear(dim, dim)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(
        self, own: Float[Tensor, "1 prefix dim"], given: Float[Tensor, "batch prefix dim"]
    ) -> Float[Tensor, "batch prefix dim"]:
        """The sum, one per picture."""
        return own + self.proj(given)
