"""The extractor: the chosen patches, their cells and the prefix tokens go in. It never sees an image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.models.blank import Linear
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.cropr import Cropr, cropr_of, put_back
from lookwhere_cli.models.vit import ALL, ViT


class Extracted(NamedTuple):
    """The tokens that were asked for, normed; and the cells whose they are, where those of cells were."""

    tokens: Float[Tensor, "batch returned dim"]
    cells: Int[Tensor, "batch left"]
    """Those that were chosen, but for what pruning modules have dropped for good."""


class Extractor(ViT):
    """A deep ViT on k cells, told the gist of the whole by the selector's prefix tokens and, if wanted, coarse ones.

    Where the config says so, pruning modules between its blocks drop some of the cells again, coarse ones alike.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, config.extractor_depth, config.grid)
        self.handover = _handover(config)
        self.cropr = cropr_of(config)

    def forward(  # type: ignore[override]
        self, chosen: Chosen[Tensor], returned: slice = ALL
    ) -> Extracted:
        """Compute the `returned` tokens, normed, out of those of the prefix, the chosen cells and the coarse patches.

        With pruning modules, `returned` must cover either prefix tokens alone or no prefix token. Raises ValueError if
        it covers cells and the modules may have dropped cells and coarse patches for good.
        """
        tokens = self.tokens(chosen)
        if self.cropr is None:
            return Extracted(self.encode(tokens, returned), chosen.cells)
        if returned.stop is not None and returned.stop <= self.own_prefix:
            return Extracted(self.norm(self.cropr(tokens, self.blocks, returned).tokens), chosen.cells)
        return self._left(self.cropr, tokens, chosen.cells, returned)

    def tokens(self, chosen: Chosen[Tensor]) -> Float[Tensor, "batch tokens dim"]:
        """Return the input of the first block: prefix tokens, cells in the order of `chosen.cells`, coarse patches.

        A coarse patch has the position of its place on its own grid.
        """
        cells = self.embed(chosen.patches, chosen.grid, chosen.cells)
        tokens = [self.handover(self.prefix(), chosen.prefix_tokens), cells]
        if chosen.coarse is not None:
            tokens.append(self.embed(chosen.coarse.patches, chosen.coarse.grid))
        return torch.cat(tokens, dim=1)

    def _left(
        self, cropr: Cropr, tokens: Float[Tensor, "batch tokens dim"], cells: Int[Tensor, "batch k"], returned: slice
    ) -> Extracted:
        """The tokens of what is left, in the order in which they went in."""
        k, prefix = cells.shape[1], self.own_prefix
        left, places = cropr(tokens, self.blocks, slice(prefix, None))
        ordered = places.sort(dim=1).values
        dropped = prefix + left.shape[1] < tokens.shape[1]
        if dropped and prefix + k < tokens.shape[1]:
            raise ValueError("tokens of cells can't be told from coarse ones where either are dropped for good")
        asked = slice(0, None if returned.stop is None else returned.stop - prefix)
        return Extracted(self.norm(put_back(left, places))[:, asked], cells.gather(1, ordered[:, :k]))


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
        return own.expand(given.shape[0], -1, -1)


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
