"""The selector: a thumbnail goes in, a map of where to look comes out (paper, section on the selector)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from lookwhere_cli.models.blank import Linear
from lookwhere_cli.models.chosen import Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.vit import ViT, cut


class MapHead(nn.Module):
    """Each thumbnail token predicts a map_scale x map_scale piece of the map."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.w1 = Linear(config.dim, 4 * config.dim)
        self.w2 = Linear(4 * config.dim, config.map_scale**2)

    def forward(self, tokens: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch patches pieces"]:
        """A token's piece, row by row."""
        return self.w2(F.gelu(self.w1(tokens)))


class Selector(nn.Module):
    """The first blocks of a ViT on the thumbnail, and the map's head."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = ViT(config, config.selector_depth, config.thumbnail_grid)
        self.head = MapHead(config)

    def forward(self, thumbnails: Float[Tensor, "batch 3 height width"], grid: Grid) -> Selection[Tensor]:
        """Normalised thumbnails of any shape in whole patches; the map is for `grid`, whatever that is."""
        patch, prefix = self.config.patch, self.config.prefix_tokens
        shape = (thumbnails.shape[-2] // patch, thumbnails.shape[-1] // patch)
        tokens = self.backbone(cut(thumbnails, patch), shape)
        return Selection(self._assemble(self.head(tokens[:, prefix:]), shape, grid), tokens[:, :prefix])

    def _assemble(
        self, pieces: Float[Tensor, "batch patches pieces"], shape: Grid, grid: Grid
    ) -> Float32[Tensor, "batch cells"]:
        scale = self.config.map_scale
        fine = pieces.float().unflatten(1, shape).unflatten(-1, (scale, scale)).transpose(2, 3)
        fine = fine.flatten(3, 4).flatten(1, 2)[:, None]  # (batch, 1, rows * scale, columns * scale)
        return F.interpolate(fine, size=grid, mode="bilinear", align_corners=False, antialias=False).flatten(1)


class NoSelector(nn.Module):
    """In the selector's place where all cells are read: every cell counts alike, and there is no gist."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def forward(self, thumbnails: Float[Tensor, "batch 3 height width"], grid: Grid) -> Selection[Tensor]:
        """A map of zeros for `grid`."""
        batch = thumbnails.shape[0]
        return Selection(
            torch.zeros(batch, grid[0] * grid[1], device=thumbnails.device),
            thumbnails.new_zeros(batch, self.config.prefix_tokens, self.config.dim),
        )


def selector_of(config: Config) -> Selector:
    """The selector that a config asks for, or what answers in its place."""
    return Selector(config) if config.selector_depth else cast(Selector, NoSelector(config))


def choose(map: Float[Tensor, "batch cells"], k: int) -> Int64[Tensor, "batch {k}"]:
    """The k cells of the highest scores, best first; compared in float32 whatever the model's dtype."""
    return torch.topk(map.float(), k, dim=1).indices
