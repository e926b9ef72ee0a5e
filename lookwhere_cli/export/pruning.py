"""Token Cropr's modules as part of a graph: how many tokens remain after each is known only when the graph runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.pruning.cropr import Cropr, PruningModule


class Pruned(NamedTuple):
    """The last block's input, and where its cells come from.

    places: of each token after the prefix, among the cells and coarse patches that went in. survivors: the places of
    those that no module dropped, best first.
    """

    tokens: Float[Tensor, "batch tokens dim"]
    places: Int64[Tensor, "batch remaining"]
    survivors: Int64[Tensor, "batch survivors"]


class PrunedBlocks(nn.Module):
    """All blocks but the last, which are given, and the pruning modules between them.

    The number of tokens that remain after module i is the length of the input `keep_i`, which counts from 0; with
    fusion, `drop_i` counts on to the number of tokens before it.
    """

    def __init__(self, blocks: nn.Sequential, cropr: Cropr) -> None:
        super().__init__()
        self.blocks, self.cropr = blocks, cropr
        self.prefix, self.fusion = cropr.config.prefix_tokens, cropr.pruning.fusion

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that the modules need."""
        numbers = range(1, len(self.cropr) + 1)
        keep = tuple(f"keep_{number}" for number in numbers)
        return keep + tuple(f"drop_{number}" for number in numbers) if self.fusion else keep

    def forward(self, tokens: Float[Tensor, "batch tokens dim"], lengths: Mapping[str, Tensor]) -> Pruned:
        """Run the blocks. lengths: the inputs, by name."""
        batch, count = tokens.shape[:2]
        places = torch.arange(count).expand(batch, count)
        dropped: list[tuple[Tensor, Tensor]] = []
        for number, (block, module) in enumerate(zip(self.blocks, self.cropr, strict=False), 1):
            tokens = block(tokens)
            order = self._order(module, tokens)
            if self.fusion:
                rest = order.index_select(1, lengths[f"drop_{number}"])
                dropped.append((_take(tokens, rest), places.gather(1, rest)))
            best = order.index_select(1, lengths[f"keep_{number}"])
            tokens, places = _take(tokens, best), places.gather(1, best)
        tokens = self.blocks[len(self.cropr) :](tokens)
        survivors = places[:, self.prefix :] - self.prefix
        tokens = torch.cat([tokens, *(part for part, _ in dropped)], dim=1)
        places = torch.cat([places, *(part for _, part in dropped)], dim=1)
        return Pruned(tokens, places[:, self.prefix :] - self.prefix, survivors)

    def _order(self, module: nn.Module, tokens: Float[Tensor, "batch tokens dim"]) -> Int64[Tensor, "batch tokens"]:
        """Order the tokens: the prefix, then the others by score, best first."""
        assert isinstance(module, PruningModule)
        scores = module.scores(tokens)[:, self.prefix :]
        cells = scores.topk(scores.shape[1], dim=1).indices + self.prefix
        return torch.cat([torch.arange(self.prefix).expand(tokens.shape[0], -1), cells], dim=1)


def in_order(
    tokens: Float[Tensor, "batch remaining dim"], places: Int64[Tensor, "batch remaining"]
) -> tuple[Float[Tensor, "batch remaining dim"], Int64[Tensor, "batch remaining"]]:
    """Sort tokens by their places, into the order in which the cells went in; return both, sorted."""
    found = places.topk(places.shape[1], dim=1, largest=False)
    return _take(tokens, found.indices), found.values


def _take(
    tokens: Float[Tensor, "batch tokens dim"], places: Int64[Tensor, "batch taken"]
) -> Float[Tensor, "batch taken dim"]:
    batch, count = tokens.shape[:2]
    return F.embedding(count * torch.arange(batch)[:, None] + places, tokens.flatten(0, 1))
