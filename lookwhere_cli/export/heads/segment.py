"""Graphs of segmentation: a narrow vector for each token, and from these, spread over the grid, to scores."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.export.graphs import HeadGraph, LastBlock, TracedGraph
from lookwhere_cli.export.pruning import Pruned
from lookwhere_cli.models.decoder import ConvDecoder, LinearDecoder
from lookwhere_cli.models.layers import gelu
from lookwhere_cli.models.lookwhere import LookWhere


class PiecesGraph(HeadGraph):
    """The decoder's first layer on each token; spreading is left to NumPy."""

    outputs = ("pieces", "pooled", "tokens", "remaining")

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        decoder: ConvDecoder | LinearDecoder = model.decoder
        self.last, self.pools_cells = LastBlock(model), model.config.pool == "max"
        self.first = decoder.narrow if isinstance(decoder, ConvDecoder) else decoder.head

    def forward(self, last: Pruned, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the pieces of cells and coarse patches, what is pooled, the cells' tokens, and all tokens' places."""
        cls, tokens, places = self.last.all(last)
        cells = self.last.first(tokens, given["cells"].shape[1])
        return self.first(tokens), cells.amax(dim=1) if self.pools_cells else cls, cells, places


class DecoderGraph(TracedGraph):
    """From a vector for every cell to scores on a finer grid."""

    inputs = ("spread",)
    outputs = ("scores",)

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        decoder: ConvDecoder | LinearDecoder = model.decoder
        self.scale = decoder.scale
        self.decoder = decoder if isinstance(decoder, ConvDecoder) else None

    def forward(self, given: dict[str, Tensor]) -> tuple[Tensor]:
        """Return scores (batch, classes, fine rows, fine columns) of vectors (batch, rows, columns, channels)."""
        pieces = given["spread"]
        if self.decoder is not None:
            mixed = self.decoder.mix(pieces.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            pieces = self.decoder.head(pieces + gelu(mixed))
        return (F.pixel_shuffle(pieces.permute(0, 3, 1, 2), self.scale),)
