"""A Vision Transformer that can run on chosen cells and whose last block can compute some of the tokens only.

Parameter names are timm's, so that timm's weights load unchanged. Tokens are ordered prefix (CLS, registers), cells.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import Conv2d, LayerNorm, Linear, gelu
from lookwhere_cli.models.positions import positions_at

ALL = slice(None)
CLS = slice(0, 1)
"""Tokens that a block returns."""


class Attention(nn.Module):
    """Fused multi-head self-attention, with queries of the returned tokens only."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, x: Float[Tensor, "batch tokens dim"], returned: slice) -> Float[Tensor, "batch returned dim"]:
        """Return the `returned` tokens, which attend to all tokens."""
        return self.attend(*self.queries_keys_values(x, returned))

    def attend(
        self,
        q: Float[Tensor, "batch heads returned head_dim"],
        k: Float[Tensor, "batch heads tokens head_dim"],
        v: Float[Tensor, "batch heads tokens head_dim"],
    ) -> Float[Tensor, "batch returned dim"]:
        """Return each query's weighted mean of the values, heads joined and projected."""
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def queries_keys_values(
        self, x: Float[Tensor, "batch tokens dim"], returned: slice
    ) -> tuple[
        Float[Tensor, "batch heads returned head_dim"],
        Float[Tensor, "batch heads tokens head_dim"],
        Float[Tensor, "batch heads tokens head_dim"],
    ]:
        """Return by head the queries of the `returned` tokens, not scaled, and the keys and values of all tokens."""
        dim = x.shape[-1]
        if returned == ALL:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        else:
            weight, bias = self.qkv.weight, self.qkv.bias
            q = F.linear(x[:, returned], weight[:dim], bias[:dim])
            k, v = F.linear(x, weight[dim:], bias[dim:]).chunk(2, dim=-1)
        return self._by_head(q), self._by_head(k), self._by_head(v)

    def _by_head(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch heads tokens head_dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FeedForward(nn.Module):
    """The block's MLP: with exact (erf) GELU, or with packed SwiGLU, silu(first half) * second half."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gated = config.feed_forward == "swiglu"
        self.fc1 = Linear(config.dim, config.hidden)
        self.fc2 = Linear(config.hidden // 2 if self.gated else config.hidden, config.dim)

    def forward(self, x: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch dim"]:
        """Compute each token alone."""
        hidden = self.fc1(x)
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            return self.fc2(F.silu(gate) * value)
        return self.fc2(gelu(hidden))


class LayerScale(nn.Module):
    """A learned factor per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Multiply each channel."""
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm1 = LayerNorm(config.dim, eps=config.eps)
        self.attn = Attention(config.dim, config.heads)
        self.ls1 = LayerScale(config.dim) if config.layer_scale else nn.Identity()
        self.norm2 = LayerNorm(config.dim, eps=config.eps)
        self.mlp = FeedForward(config)
        self.ls2 = LayerScale(config.dim) if config.layer_scale else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch tokens dim"], returned: slice = ALL
    ) -> Float[Tensor, "batch returned dim"]:
        """Return the `returned` tokens; of the others only keys and values are computed."""
        x = x[:, returned] + self.ls1(self.attn(self.norm1(x), returned))
        return x + self.ls2(self.mlp(self.norm2(x)))


class PatchEmbed(nn.Module):
    """Turns patches into tokens. The weight has timm's shape, (dim, 3, patch, patch)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.proj = Conv2d(3, config.dim, kernel_size=config.patch, stride=config.patch)

    def forward(
        self, patches: Float[Tensor, "batch cells 3 patch patch"]
    ) -> Float[Tensor, "batch cells {self.proj.out_channels}"]:
        """Compute what a strided convolution of the whole picture gives at these cells, by one matrix product."""
        return F.linear(patches.flatten(2), self.proj.weight.flatten(1), self.proj.bias)


class ViT(nn.Module):
    """Patch embedding, positions, prefix tokens, blocks and final norm; each can be called alone.

    grid: of the stored positions. block: makes each block.
    """

    def __init__(self, config: Config, depth: int, grid: Grid, block: Callable[[Config], Block] = Block) -> None:
        super().__init__()
        self.grid = grid
        self.own_prefix = config.prefix_tokens
        self.prefix_positions = config.prefix_tokens if config.prefix_positions else 0
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))
        self.reg_token = nn.Parameter(torch.zeros(1, config.registers, config.dim)) if config.registers else None
        self.pos_embed = nn.Parameter(torch.zeros(1, self.prefix_positions + grid[0] * grid[1], config.dim))
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(block(config) for _ in range(depth))
        self.norm = LayerNorm(config.dim, eps=config.eps)

    def prefix(self) -> Float[Tensor, "1 prefix dim"]:
        """Return CLS and registers as stored, with their positions if they have any."""
        tokens = self.cls_token if self.reg_token is None else torch.cat([self.cls_token, self.reg_token], dim=1)
        return tokens + self.pos_embed[:, : self.prefix_positions] if self.prefix_positions else tokens

    def positions_at(self, cells: Int[Tensor, "*cells"], grid: Grid) -> Float[Tensor, "*cells dim"]:
        """Return the positions of cells (row * columns + column) of any grid; see `positions.positions_at`."""
        return positions_at(self.pos_embed[0, self.prefix_positions :], self.grid, cells, grid)

    def positions(self, grid: Grid) -> Float[Tensor, "cells dim"]:
        """Return the positions of all cells of a grid, row by row."""
        if grid == self.grid:
            return self.pos_embed[0, self.prefix_positions :]
        return self.positions_at(torch.arange(grid[0] * grid[1], device=self.pos_embed.device), grid)

    def positions_for(self, grid: Grid) -> Float[Tensor, "1 positions dim"]:
        """Return the whole table, prefix rows included, as a model with that grid would store it."""
        return torch.cat([self.pos_embed[:, : self.prefix_positions], self.positions(grid)[None]], dim=1)

    def embed(
        self,
        patches: Float[Tensor, "batch cells 3 patch patch"],
        grid: Grid,
        cells: Int[Tensor, "batch cells"] | None = None,
    ) -> Float[Tensor, "batch cells dim"]:
        """Return the patches' tokens with the positions of their cells.

        Without `cells` the patches are those of the whole grid, row by row.
        """
        positions = self.positions(grid) if cells is None else self.positions_at(cells, grid)
        return self.patch_embed(patches) + positions

    def encode(
        self, tokens: Float[Tensor, "batch tokens dim"], returned: slice = ALL
    ) -> Float[Tensor, "batch returned dim"]:
        """Run all blocks and the final norm; the last block computes the `returned` tokens only."""
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        return self.norm(self.blocks[-1](tokens, returned))

    def forward(
        self, patches: Float[Tensor, "batch cells 3 patch patch"], grid: Grid, returned: slice = ALL
    ) -> Float[Tensor, "batch returned dim"]:
        """Run the plain ViT on a whole grid, patches row by row."""
        tokens = self.embed(patches, grid)
        return self.encode(torch.cat([self.prefix().expand(tokens.shape[0], -1, -1), tokens], dim=1), returned)


def cut(pictures: Shaped[Tensor, "batch 3 height width"], patch: int) -> Shaped[Tensor, "batch cells 3 patch patch"]:
    """Cut whole pictures of any dtype into patches, row by row. Height and width must be multiples of `patch`."""
    rows, columns = pictures.shape[-2] // patch, pictures.shape[-1] // patch
    split = pictures.unflatten(-1, (columns, patch)).unflatten(-3, (rows, patch))
    return split.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
