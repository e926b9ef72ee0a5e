"""Graphs of segmentation: a narrow vector for each token, and from these, spread over the grid, to scores."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from lookwhere_cli.export.graphs import HeadGraph, LastBlock, TracedGraph
from lookwhere_cli.export.layers import LEVELS
from lookwhere_cli.export.pruning import Pruned
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.decoder import ConvDecoder, Detail, LinearDecoder
from lookwhere_cli.models.layers import gelu
from lookwhere_cli.models.lookwhere import LookWhere


class PiecesGraph(HeadGraph):
    """The decoder's first layer on each token; spreading is left to NumPy."""

    outputs: tuple[str, ...] = ("pieces", "pooled", "tokens", "remaining")

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


class DetailedPiecesGraph(PiecesGraph):
    """The same and, last, what the decoder sees of the cells' pixels."""

    outputs = (*PiecesGraph.outputs, "detail")

    def __init__(self, model: LookWhere) -> None:
        super().__init__(model)
        assert isinstance(model.decoder, ConvDecoder) and model.decoder.detail is not None
        self.detail = TracedDetail(model.decoder.detail, model.config)

    def forward(self, last: Pruned, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return these, and (batch, k, classes x scale x scale) of detail."""
        pieces, *others = super().forward(last, given)
        return pieces, *others, self.detail(self.last.first(pieces, given["cells"].shape[1]), given["patches"])


class TracedDetail(nn.Module):
    """The decoder's detail, of pixels in 0..255, channels last."""

    def __init__(self, detail: Detail, config: Config) -> None:
        super().__init__()
        self.detail = detail
        self.mean = nn.Parameter(torch.tensor(config.mean), requires_grad=False)
        self.std = nn.Parameter(torch.tensor(config.std), requires_grad=False)

    def forward(
        self, narrow: Float32[Tensor, "batch k channels"], pixels: UInt8[Tensor, "batch k patch patch 3"]
    ) -> Float32[Tensor, "batch k pieces"]:
        """Normalise the patches, and see them."""
        patches = (pixels.float() * (1 / LEVELS) - self.mean) / self.std
        return self.detail(narrow, patches.permute(0, 1, 4, 2, 3))


def pieces_graph(model: LookWhere) -> PiecesGraph:
    """Return the graph of a segmentation model's head."""
    return DetailedPiecesGraph(model) if model.config.decoder_detail else PiecesGraph(model)


class DecoderGraph(TracedGraph):
    """From a vector for every cell to scores on a finer grid."""

    outputs = ("scores",)

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        decoder: ConvDecoder | LinearDecoder = model.decoder
        self.scale = decoder.scale
        self.decoder = decoder if isinstance(decoder, ConvDecoder) else None
        self.inputs = ("spread", "detail") if model.config.decoder_detail else ("spread",)

    def forward(self, given: dict[str, Tensor]) -> tuple[Tensor]:
        """Return scores (batch, classes, fine rows, fine columns) of vectors (batch, rows, columns, channels).

        detail: (batch, rows, columns, pieces), 0 for cells that were not read.
        """
        pieces = given["spread"]
        if self.decoder is not None:
            mixed = self.decoder.mix(pieces.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
            pieces = self.decoder.head(pieces + gelu(mixed))
        if "detail" in given:
            pieces = pieces + given["detail"]
        return (F.pixel_shuffle(pieces.permute(0, 3, 1, 2), self.scale),)
