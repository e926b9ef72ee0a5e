"""Graphs of heads that answer for the picture as a whole, and of models without a head."""

from __future__ import annotations

from torch import Tensor, nn

from lookwhere_cli.export.graphs import LastBlock
from lookwhere_cli.export.pruning import Pruned
from lookwhere_cli.models.lookwhere import LookWhere


class ClsGraph(nn.Module):
    """Logits of CLS: the last block computes nothing else."""

    outputs = ("logits", "pooled", "hidden", "places")

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.last, self.head = LastBlock(model), model.head

    def forward(self, last: Pruned, k: int) -> tuple[Tensor, ...]:
        """Return logits, CLS, and the last block's input. Without a head the logits are CLS."""
        cls = self.last.cls(last)
        return self.head(cls), cls, last.tokens, last.places


class MaxGraph(nn.Module):
    """Logits of each channel's maximum over the cells."""

    outputs = ("logits", "pooled", "tokens", "remaining")

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.last, self.head = LastBlock(model), model.head

    def forward(self, last: Pruned, k: int) -> tuple[Tensor, ...]:
        """Return logits, the maxima, the cells' tokens, and which cells these are."""
        _, tokens, places = self.last.cells(last, k)
        pooled = tokens.amax(dim=1)
        return self.head(pooled), pooled, tokens, places


def whole_graph(model: LookWhere) -> ClsGraph | MaxGraph:
    """Return the graph of the model's head."""
    return MaxGraph(model) if model.config.pool == "max" else ClsGraph(model)
