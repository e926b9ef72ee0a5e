"""What the student must predict: the teacher's CLS, patch tokens, map and logits, of the whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from lookwhere_cli.errors import UsageError
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.training.timm_models import Source

Queries = Literal["cls", "patches", "registers"]


@dataclass(frozen=True)
class MapRecipe:
    """Which attention makes the teacher's map (the paper's ablations vary these)."""

    queries: Queries = "cls"
    layers: int = 1
    """How many of the last blocks are averaged; 0 means all."""
    softmax: bool = False
    """Attention after softmax instead of its logits."""


class Targets(NamedTuple):
    """The teacher's word on a batch, at its own grid; `map` holds log-probabilities up to a constant."""

    cls: Float[Tensor, "batch dim"]
    patches: Float[Tensor, "batch cells dim"]
    map: Float32[Tensor, "batch cells"]
    logits: Float[Tensor, "batch classes"]


class Teacher(nn.Module):
    """A frozen timm ViT that also tells where it attends. Raises UsageError where it has no such map."""

    mean: Tensor
    std: Tensor

    def __init__(self, source: Source, recipe: MapRecipe) -> None:
        super().__init__()
        self.vit = source.vit
        self.recipe = recipe
        self.register_buffer("mean", torch.tensor(source.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(source.std).view(3, 1, 1), persistent=False)
        self._seen: dict[int, Tensor] = {}
        depth = len(self.vit.blocks)
        if recipe.layers > depth:
            raise UsageError(f"a map of the last {recipe.layers} blocks can't be had of a teacher with {depth}.")
        if recipe.queries == "registers" and not self.vit.num_reg_tokens:
            raise UsageError("the teacher has no registers to ask for a map; take the queries cls or patches.")
        self.mapped = range(depth - (recipe.layers or depth), depth)
        for index in self.mapped:
            self.vit.blocks[index].attn.register_forward_pre_hook(self._remember(index))

    @property
    def grid(self) -> Grid:
        """Rows and columns of the teacher's patches."""
        rows, columns = self.vit.patch_embed.grid_size
        return rows, columns

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures that it takes."""
        height, width = self.vit.patch_embed.img_size
        return height, width

    @torch.no_grad()
    def forward(self, pictures: Float[Tensor, "batch 3 height width"]) -> Targets:
        """Pictures in 0..1, of any size; they are resized (bicubic, antialiased) to the teacher's own."""
        tokens = self.vit.forward_features((self.fit(pictures) - self.mean) / self.std)
        prefix = self.vit.num_prefix_tokens
        logits = self.vit.forward_head(tokens)
        maps = [self._map(self.vit.blocks[index].attn, self._seen.pop(index)) for index in self.mapped]
        return Targets(tokens[:, 0], tokens[:, prefix:], torch.stack(maps).mean(0), logits)

    def fit(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 rows columns"]:
        """The pictures at the teacher's size."""
        if pictures.shape[-2:] == self.size:
            return pictures
        return F.interpolate(pictures, size=self.size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

    def _remember(self, index: int) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self._seen[index] = inputs[0]

        return hook

    def _map(self, attention: Any, x: Float[Tensor, "batch tokens dim"]) -> Float32[Tensor, "batch cells"]:
        """Mean over heads and queries; before softmax that mean may be taken over the queries first."""
        prefix = self.vit.num_prefix_tokens
        asking = {"cls": slice(0, 1), "registers": slice(1, prefix), "patches": slice(prefix, None)}[
            self.recipe.queries
        ]
        qkv = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = attention.q_norm(qkv[0]), attention.k_norm(qkv[1])
        q = q[:, :, asking].float() * attention.scale
        if not self.recipe.softmax:
            return (q.mean(2, keepdim=True) @ k.float().mT)[:, :, 0, prefix:].mean(1)
        return (q @ k.float().mT).softmax(-1).mean((1, 2))[:, prefix:].clamp_min(1e-9).log()


def resized(scores: Float[Tensor, "batch channels cells"], grid: Grid, to: Grid) -> Float[Tensor, "batch channels new"]:
    """Values on one grid, bilinearly on another."""
    if grid == to:
        return scores
    square = scores.unflatten(-1, grid)
    return F.interpolate(square, size=to, mode="bilinear", align_corners=False).flatten(2)
