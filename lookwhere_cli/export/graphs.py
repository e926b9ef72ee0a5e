"""The parts of a model as modules that can be traced: pixels in 0..255 and whole numbers go in, tensors come out.

What lies between them (resizing the map, choosing, cutting, spreading) is done in NumPy by whoever runs the graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor, nn

from lookwhere_cli.export.layers import TracedBlock, TracedPatches
from lookwhere_cli.export.positions import Positions
from lookwhere_cli.export.pruning import Pruned, PrunedBlocks, in_order
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import Selector
from lookwhere_cli.models.vit import ALL, CLS, ViT


class TracedGraph(nn.Module):
    """A module to trace: it takes a dictionary, and returns a tuple.

    inputs, outputs: names, in order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class SelectorGraph(TracedGraph):
    """From thumbnails to the map before it is resized to a picture's grid, and the prefix tokens."""

    inputs = ("thumbnails",)
    outputs = ("map", "prefix")

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        assert isinstance(model.selector, Selector)
        self.config, self.head, backbone = model.config, model.selector.head, model.selector.backbone
        self.embed, self.positions = TracedPatches(backbone.patch_embed, model.config), Positions(backbone)
        self.own = own_prefix(backbone)
        self.blocks, self.norm = nn.Sequential(*map(TracedBlock, backbone.blocks)), backbone.norm

    def forward(
        self, given: dict[str, Tensor]
    ) -> tuple[Float32[Tensor, "batch fine_rows fine_columns"], Float32[Tensor, "batch prefix dim"]]:
        """Compute both from `thumbnails`, (batch, height, width, 3) RGB in 0..255, in whole patches."""
        thumbnails = given["thumbnails"]
        batch, height, width, _ = thumbnails.shape
        patch, scale, prefix = self.config.patch, self.config.map_scale, self.config.prefix_tokens
        rows, columns = height // patch, width // patch
        cut = thumbnails.reshape(batch, rows, patch, columns, 3 * patch).transpose(2, 3)
        tokens = self.embed(cut.reshape(batch, rows * columns, patch, patch, 3)) + self.positions.whole(rows, columns)
        encoded = self.norm(self.blocks(torch.cat([self.own.expand(batch, -1, -1), tokens], dim=1)))
        pieces = self.head(encoded[:, prefix:]).reshape(batch, rows, columns, scale, scale)
        fine = pieces.permute(0, 1, 3, 2, 4).reshape(batch, rows * scale, columns * scale)
        return fine, encoded[:, :prefix]


class HeadGraph(nn.Module):
    """A module that turns the last block's input, and the inputs of the extractor, into a tuple of outputs.

    outputs: their names. With "hidden" and "places" among them, a DenseGraph computes the cells' tokens.
    """

    outputs: tuple[str, ...]


class Body(nn.Module):
    """The extractor up to its last block: the tokens of the prefix, the cells and, if there are any, coarse patches."""

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        config, extractor = model.config, model.extractor
        self.own, self.handover = own_prefix(extractor), extractor.handover
        self.embed, self.positions = TracedPatches(extractor.patch_embed, config), Positions(extractor)
        self.blocks = nn.Sequential(*map(TracedBlock, extractor.blocks[:-1]))
        self.pruned = None if extractor.cropr is None else PrunedBlocks(self.blocks, extractor.cropr)
        inputs = ["patches", "cells", "grid"]
        inputs += ["prefix"] if config.has_selector else []
        inputs += ["coarse", "coarse_grid"] if config.coarse_size else []
        inputs += ["coarse_cells"] if config.coarse_size and config.coarse_patches == "unread" else []
        self.inputs = (*inputs, *(self.pruned.inputs if self.pruned else ()))

    def forward(self, given: Mapping[str, Tensor]) -> Pruned:
        """Return the last block's input, of inputs by name; places count all cells and coarse patches if none drop."""
        tokens = self.tokens(given)
        if self.pruned is not None:
            return self.pruned(tokens, given)
        tokens = self.blocks(tokens)
        places = torch.arange(tokens.shape[1] - self.own.shape[1]).expand(tokens.shape[0], -1)
        return Pruned(tokens, places, places)

    def tokens(self, given: Mapping[str, Tensor]) -> Float32[Tensor, "batch tokens dim"]:
        """Return the first block's input."""
        patches, cells, grid = given["patches"], given["cells"], given["grid"]
        if "prefix" in given:
            first = self.handover(self.own, given["prefix"])
        else:
            first = self.own.expand(patches.shape[0], -1, -1)
        parts = [first, self.embed(patches) + self.positions.at(cells, grid)]
        if "coarse" in given:
            coarse = given["coarse"]
            places = given.get("coarse_cells", torch.arange(coarse.shape[1]))
            parts.append(self.embed(coarse) + self.positions.at(places, given["coarse_grid"]))
        return torch.cat(parts, dim=1)


class ExtractorGraph(TracedGraph):
    """The extractor and that part of the model's head which needs no neighbours on the grid."""

    def __init__(self, model: LookWhere, head: HeadGraph) -> None:
        super().__init__()
        self.body, self.head = Body(model), head
        self.inputs = self.body.inputs
        self.prunes = self.body.pruned is not None
        self.outputs = (*head.outputs, "survivors") if self.prunes else tuple(filter(_is_needed, head.outputs))

    def forward(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the outputs, in order, of inputs by name."""
        last = self.body(given)
        outputs: tuple[Tensor, ...] = self.head(last, given)
        if self.prunes:
            return (*outputs, last.survivors)
        return tuple(one for name, one in zip(self.head.outputs, outputs, strict=True) if _is_needed(name))


def own_prefix(vit: ViT) -> nn.Parameter:
    """Return CLS and registers as stored, with their positions if they have any, (1, prefix, dim)."""
    return nn.Parameter(vit.prefix().detach(), requires_grad=False)


class DenseGraph(TracedGraph):
    """From the last block's input to a token for each of the cells that remain."""

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.last = LastBlock(model)
        self.inputs = ("hidden", "cells", "places") if self.last.prunes else ("hidden", "cells")
        self.outputs = ("tokens", "remaining") if self.last.prunes else ("tokens",)

    def forward(self, given: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the tokens after the final norm, in the order of `cells`, and which cells these are, from 0."""
        places = given.get("places", given["cells"])
        cells = self.last.cells(Pruned(given["hidden"], places, places), given["cells"].shape[1])
        return (cells.tokens, cells.places) if self.last.prunes else (cells.tokens,)


class LastBlock(nn.Module):
    """The last block and the final norm."""

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.block, self.norm = TracedBlock(model.extractor.blocks[-1]), model.extractor.norm
        self.prefix, self.prunes = model.config.prefix_tokens, model.extractor.cropr is not None
        self.drops = model.config.drops

    def cls(self, last: Pruned) -> Float32[Tensor, "batch dim"]:
        """Return the CLS token."""
        return self.norm(self.block(last.tokens, CLS))[:, 0]

    def all(self, last: Pruned) -> LastTokens:
        """Return the CLS token, and the tokens of cells and coarse patches in the order in which they went in."""
        tokens = self.norm(self.block(last.tokens, ALL))
        rest, places = tokens[:, self.prefix :], last.places
        return LastTokens(tokens[:, 0], *(in_order(rest, places) if self.prunes else (rest, places)))

    def cells(self, last: Pruned, k: int) -> LastTokens:
        """Return the same without coarse patches, which come after the k cells."""
        cls, tokens, places = self.all(last)
        return LastTokens(cls, self.first(tokens, k), self.first(places, k))

    def first(
        self, values: Shaped[Tensor, "batch remaining *channels"], k: int
    ) -> Shaped[Tensor, "batch cells *channels"]:
        """Leave out what belongs to coarse patches. A model that drops tokens has none of them here.

        A slice would tie the number of tokens to the k of the example.
        """
        return values if self.drops else values.index_select(1, torch.arange(k))


class LastTokens(NamedTuple):
    """Tokens after the final norm. places: of the cells and coarse patches that remain, from 0, ascending."""

    cls: Float32[Tensor, "batch dim"]
    tokens: Float32[Tensor, "batch remaining dim"]
    places: Int64[Tensor, "batch remaining"]


def _is_needed(output: str) -> bool:
    """Return False for outputs that tell something of pruned models only."""
    return output not in ("places", "remaining")
