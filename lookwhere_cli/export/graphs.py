"""The parts of a model as modules that can be traced: pixels in 0..255 and whole numbers go in, tensors come out.

What lies between them (resizing the map, choosing, cutting, spreading) is done in NumPy by whoever runs the graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float32, Int64, Shaped, UInt8
from torch import Tensor, nn

from lookwhere_cli.export.positions import interpolate_positions
from lookwhere_cli.export.pruning import Pruned, PrunedBlocks, in_order
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import Selector
from lookwhere_cli.models.vit import ALL, CLS, ViT


class TracedGraph(nn.Module):
    """A module to trace: it takes a dictionary, and returns a tuple.

    inputs, outputs: names, in order.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class NormalisedPixels(nn.Module):
    """Normalises pixels, channels last."""

    scale: Tensor
    shift: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)

    def forward(self, pixels: UInt8[Tensor, "*batch 3"] | Float32[Tensor, "*batch 3"]) -> Float32[Tensor, "*batch 3"]:
        """Return (pixels / 255 - mean) / std."""
        return pixels.float() * self.scale + self.shift


class SelectorGraph(TracedGraph):
    """From thumbnails to the map before it is resized to a picture's grid, and the prefix tokens."""

    inputs = ("thumbnails",)
    outputs = ("map", "prefix")

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        assert isinstance(model.selector, Selector)
        self.config, self.selector = model.config, model.selector
        self.normalise = NormalisedPixels(model.config)

    def forward(
        self, given: dict[str, Tensor]
    ) -> tuple[Float32[Tensor, "batch fine_rows fine_columns"], Float32[Tensor, "batch prefix dim"]]:
        """Compute both from `thumbnails`, (batch, height, width, 3) RGB in 0..255, in whole patches."""
        thumbnails = given["thumbnails"]
        batch, height, width, _ = thumbnails.shape
        patch, backbone = self.config.patch, self.selector.backbone
        rows, columns = height // patch, width // patch
        cut = self.normalise(thumbnails).reshape(batch, rows, patch, columns, patch, 3).permute(0, 1, 3, 5, 2, 4)
        patches = backbone.patch_embed(cut.reshape(batch, rows * columns, 3, patch, patch))
        tokens = patches + whole_positions(backbone, (rows, columns))
        tokens = torch.cat([backbone.prefix().expand(batch, -1, -1), tokens], dim=1)
        encoded, prefix = backbone.encode(tokens), self.config.prefix_tokens
        scale = self.config.map_scale
        pieces = self.selector.head(encoded[:, prefix:]).reshape(batch, rows, columns, scale, scale)
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
        config, self.extractor = model.config, model.extractor
        self.normalise = NormalisedPixels(config)
        cropr = model.extractor.cropr
        self.pruned = None if cropr is None else PrunedBlocks(model.extractor.blocks, cropr)
        inputs = ["patches", "cells", "grid"]
        inputs += ["prefix"] if config.has_selector else []
        inputs += ["coarse", "coarse_grid"] if config.coarse_size else []
        self.inputs = (*inputs, *(self.pruned.inputs if self.pruned else ()))

    def forward(self, given: Mapping[str, Tensor]) -> Pruned:
        """Return the last block's input, of inputs by name; places count all cells and coarse patches if none drop."""
        tokens = self.tokens(given)
        if self.pruned is not None:
            return self.pruned(tokens, given)
        for block in self.extractor.blocks[:-1]:
            tokens = block(tokens)
        places = torch.arange(tokens.shape[1] - self.extractor.own_prefix).expand(tokens.shape[0], -1)
        return Pruned(tokens, places, places)

    def tokens(self, given: Mapping[str, Tensor]) -> Float32[Tensor, "batch tokens dim"]:
        """Return the first block's input."""
        own, patches, cells, grid = self.extractor.prefix(), given["patches"], given["cells"], given["grid"]
        if "prefix" in given:
            first = self.extractor.handover(own, given["prefix"])
        else:
            first = own.expand(patches.shape[0], -1, -1)
        parts = [first, self._embed(patches, cells, grid)]
        if "coarse" in given:
            coarse = given["coarse"]
            parts.append(self._embed(coarse, torch.arange(coarse.shape[1]), given["coarse_grid"]))
        return torch.cat(parts, dim=1)

    def _embed(
        self,
        patches: Shaped[Tensor, "batch cells patch patch 3"],
        cells: Int64[Tensor, "*batch cells"],
        grid: Int64[Tensor, " 2"],
    ) -> Float32[Tensor, "batch cells dim"]:
        extractor = self.extractor
        rows = cells // grid[1]
        table = extractor.pos_embed[0, extractor.prefix_positions :]
        places = (rows, cells - rows * grid[1])
        positions = interpolate_positions(table, extractor.grid, *places, (grid[0], grid[1]))
        return extractor.patch_embed(self.normalise(patches).permute(0, 1, 4, 2, 3)) + positions


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


def whole_positions(vit: ViT, grid: tuple[int, int]) -> Float32[Tensor, "cells dim"]:
    """Return the positions of all cells of a grid, row by row."""
    rows = torch.arange(grid[0])[:, None].expand(grid).reshape(-1)
    columns = torch.arange(grid[1]).expand(grid).reshape(-1)
    table = vit.pos_embed[0, vit.prefix_positions :]
    return interpolate_positions(table, vit.grid, rows, columns, grid)


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
        self.block, self.norm = model.extractor.blocks[-1], model.extractor.norm
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
