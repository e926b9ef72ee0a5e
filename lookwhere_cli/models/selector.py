"""The selector: from a thumbnail to a map of scores for the cells (paper, section on the selector)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import Linear, gelu
from lookwhere_cli.models.spacing import chessboard
from lookwhere_cli.models.vit import ViT, cut


class MapHead(nn.Module):
    """Predicts a map_scale x map_scale piece of the map from each thumbnail token."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.w1 = Linear(config.dim, 4 * config.dim)
        self.w2 = Linear(4 * config.dim, config.map_scale**2)

    def forward(self, tokens: Float[Tensor, "batch patches dim"]) -> Float[Tensor, "batch patches pieces"]:
        """Return each token's piece, row by row."""
        return self.w2(gelu(self.w1(tokens)))


class Selector(nn.Module):
    """The first blocks of a ViT on the thumbnail, and the map's head."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = ViT(config, config.selector_depth, config.thumbnail_grid)
        self.head = MapHead(config)

    def forward(self, thumbnails: Float[Tensor, "batch 3 height width"], grid: Grid) -> Selection[Tensor]:
        """Score the cells of `grid`, any grid, from normalised thumbnails of any shape in whole patches."""
        patch, prefix = self.config.patch, self.config.prefix_tokens
        shape = (thumbnails.shape[-2] // patch, thumbnails.shape[-1] // patch)
        tokens = self.backbone(cut(thumbnails, patch), shape)
        return Selection(self._assemble(self.head(tokens[:, prefix:]), shape, grid), tokens[:, :prefix])

    def _assemble(
        self, pieces: Float[Tensor, "batch patches pieces"], shape: Grid, grid: Grid
    ) -> Float32[Tensor, "batch cells"]:
        """Join the pieces of the thumbnail's patches and resize the map to `grid`."""
        scale = self.config.map_scale
        fine = pieces.float().unflatten(1, shape).unflatten(-1, (scale, scale)).transpose(2, 3)
        fine = fine.flatten(3, 4).flatten(1, 2)[:, None]  # (batch, 1, rows * scale, columns * scale)
        return F.interpolate(fine, size=grid, mode="bilinear", align_corners=False, antialias=False).flatten(1)


class NoSelector(nn.Module):
    """Takes the selector's place in a model that reads all cells: every score is 0."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config

    def forward(self, thumbnails: Float[Tensor, "batch 3 height width"], grid: Grid) -> Selection[Tensor]:
        """Return a map and prefix tokens of zeros."""
        batch = thumbnails.shape[0]
        return Selection(
            torch.zeros(batch, grid[0] * grid[1], device=thumbnails.device),
            thumbnails.new_zeros(batch, self.config.prefix_tokens, self.config.dim),
        )


def selector_of(config: Config) -> Selector | NoSelector:
    """Make the selector of a config; a NoSelector for a model that has none."""
    return Selector(config) if config.has_selector else NoSelector(config)


def spaced(map: Float[Tensor, "batch cells"], grid: Grid, spacing: float) -> Float32[Tensor, "batch cells"]:
    """Return the scores that decide which cells are read: the map's, and `spacing` more for every other cell."""
    return map.float() + spacing * torch.tensor(chessboard(grid), device=map.device)


def choose(map: Float[Tensor, "batch cells"], k: int) -> Int64[Tensor, "batch {k}"]:
    """Return the k cells with the highest scores, best first; scores are compared in float32."""
    return torch.topk(map.float(), k, dim=1).indices
