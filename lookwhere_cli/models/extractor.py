"""The extractor: a deep ViT on the chosen patches. It never sees an image."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import Linear
from lookwhere_cli.models.pruning.cropr import Cropped, cropr_of, restore_order
from lookwhere_cli.models.vit import ALL, ViT


class Extracted(NamedTuple):
    """Tokens after the final norm.

    cells: the chosen cells, without those that pruning modules dropped permanently if cells' tokens were asked for.
    """

    tokens: Float[Tensor, "batch returned dim"]
    cells: Int[Tensor, "batch remaining"]


class Extractor(ViT):
    """A deep ViT on k cells, the selector's prefix tokens and, if there are any, coarse patches.

    cropr: pruning modules that drop cells and coarse patches between the blocks; None for a model without them.
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
        it covers cells and the modules may have dropped cells and coarse patches permanently.
        """
        tokens = self.tokens(chosen)
        if self.cropr is None:
            return Extracted(self.encode(tokens, returned), chosen.cells)
        if returned.stop is not None and returned.stop <= self.own_prefix:
            return Extracted(self.norm(self.cropr(tokens, self.blocks, returned).tokens), chosen.cells)
        return self._extract_remaining(self.cropr, tokens, chosen.cells, returned)

    def tokens(self, chosen: Chosen[Tensor]) -> Float[Tensor, "batch tokens dim"]:
        """Return the input of the first block: prefix tokens, cells in the order of `chosen.cells`, coarse patches.

        A coarse patch has the position of its place on its own grid.
        """
        cells = self.embed(chosen.patches, chosen.grid, chosen.cells)
        tokens = [self.handover(self.prefix(), chosen.prefix_tokens), cells]
        if chosen.coarse is not None:
            tokens.append(self.embed(*chosen.coarse))
        return torch.cat(tokens, dim=1)

    def _extract_remaining(
        self,
        cropr: Callable[..., Cropped],
        tokens: Float[Tensor, "batch tokens dim"],
        cells: Int[Tensor, "batch k"],
        returned: slice,
    ) -> Extracted:
        """Return the remaining tokens in the order in which they went in."""
        k, prefix = cells.shape[1], self.own_prefix
        remaining, places = cropr(tokens, self.blocks, slice(prefix, None))
        ordered = places.sort(dim=1).values
        drops = prefix + remaining.shape[1] < tokens.shape[1]
        if drops and prefix + k < tokens.shape[1]:
            raise ValueError(
                "the model drops tokens permanently, so those of cells can't be told from those of coarse patches; "
                "read no coarse patches"
            )
        some = slice(0, None if returned.stop is None else returned.stop - prefix)
        return Extracted(self.norm(restore_order(remaining, places))[:, some], cells.gather(1, ordered[:, :k]))


def _handover(config: Config) -> nn.Module:
    if config.prefix == "add":
        return AddPrefix(config.dim)
    return ReplacePrefix() if config.prefix == "replace" else OwnPrefix()


class OwnPrefix(nn.Module):
    """For a full ViT, which has no selector: uses the extractor's own prefix tokens."""

    def forward(
        self, own: Float[Tensor, "1 prefix dim"], selected: Float[Tensor, "batch prefix dim"]
    ) -> Float[Tensor, "batch prefix dim"]:
        """Return the extractor's own prefix tokens for each picture."""
        return own.expand(selected.shape[0], -1, -1)


class ReplacePrefix(nn.Module):
    """As published: uses the selector's prefix tokens instead of the extractor's own."""

    def forward(
        self, own: Float[Tensor, "1 prefix dim"], selected: Float[Tensor, "batch prefix dim"]
    ) -> Float[Tensor, "batch prefix dim"]:
        """Return the selector's prefix tokens."""
        return selected


class AddPrefix(nn.Module):
    """Adds a linear layer of the selector's prefix tokens, zero at first, to the extractor's own."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = Linear(dim, dim)
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)

    def forward(
        self, own: Float[Tensor, "1 prefix dim"], selected: Float[Tensor, "batch prefix dim"]
    ) -> Float[Tensor, "batch prefix dim"]:
        """Return the sum for each picture."""
        return own + self.proj(selected)
