"""Graphs of heads that answer for the picture as a whole, and of models without a head."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lookwhere_cli.export.graphs import HeadGraph, LastBlock
from lookwhere_cli.export.pruning import Pruned
from lookwhere_cli.models.lookwhere import LookWhere


class ClsGraph(HeadGraph):
    """Logits of CLS: the last block computes nothing else. A model without a head has no logits."""

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.last, self.head = LastBlock(model), model.head if model.config.labels else None
        self.outputs = (*_logits(self.head), "pooled", "hidden", "places")

    def forward(self, last: Pruned, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return logits, CLS, the last block's input, and where its cells come from."""
        cls = self.last.cls(last)
        rest = (cls, last.tokens, last.places)
        return rest if self.head is None else (self.head(cls), *rest)


class MaxGraph(HeadGraph):
    """Logits of each channel's maximum over the cells."""

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.last, self.head = LastBlock(model), model.head if model.config.labels else None
        self.outputs = (*_logits(self.head), "pooled", "tokens", "remaining")

    def forward(self, last: Pruned, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return logits, the maxima, the cells' tokens, and which cells these are."""
        _, tokens, places = self.last.cells(last, given["cells"].shape[1])
        pooled = tokens.amax(dim=1)
        rest = (pooled, tokens, places)
        return rest if self.head is None else (self.head(pooled), *rest)


def _logits(head: nn.Module | None) -> tuple[str, ...]:
    return () if head is None else ("logits",)


def whole_graph(model: LookWhere) -> HeadGraph:
    """Return the graph of the model's head."""
    return MaxGraph(model) if model.config.pool == "max" else ClsGraph(model)
