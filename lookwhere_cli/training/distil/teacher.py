"""A frozen teacher: its CLS, patch tokens, map and logits of whole pictures are the student's targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from lookwhere_cli.errors import UsageError
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.training.timm_models import TimmViT

Queries = Literal["cls", "patches", "registers"]


@dataclass(frozen=True)
class MapRecipe:
    """Which attention becomes the teacher's map (the paper's ablations vary these)."""

    queries: Queries = "cls"
    layers: int = 1
    """Number of last blocks whose attention is averaged; 0 for all."""
    softmax: bool = False
    """True for attention after softmax, False for its logits."""
    sinks: bool = True
    """True to keep the scores of sinks, False to replace them: see `without_sinks`."""


class TeacherOutput(NamedTuple):
    """A teacher's output for a batch, on its own grid. `map` holds log-probabilities, up to a constant."""

    cls: Float[Tensor, "batch dim"]
    patches: Float[Tensor, "batch cells dim"]
    map: Float32[Tensor, "batch cells"]
    logits: Float[Tensor, "batch classes"]


class Teacher(nn.Module):
    """A frozen timm ViT that also returns its attention map. Raises UsageError for a map that it can't compute."""

    mean: Tensor
    std: Tensor

    def __init__(self, vit: TimmViT, recipe: MapRecipe) -> None:
        super().__init__()
        self.vit = vit.vit
        self.recipe = recipe
        self.register_buffer("mean", torch.tensor(vit.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(vit.std).view(3, 1, 1), persistent=False)
        self._inputs: dict[int, Tensor] = {}
        depth = len(self.vit.blocks)
        if recipe.layers > depth:
            raise UsageError(
                f"The map takes the last {recipe.layers} blocks, but the teacher has {depth}; lower --map-layers."
            )
        if recipe.queries == "registers" and not self.vit.num_reg_tokens:
            raise UsageError("The teacher has no registers for --map-queries; use cls or patches.")
        self._mapped_blocks = range(depth - (recipe.layers or depth), depth)
        for index in self._mapped_blocks:
            self.vit.blocks[index].attn.register_forward_pre_hook(self._remember(index))

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the teacher's patches."""
        rows, columns = self.vit.patch_embed.grid_size
        return rows, columns

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures that the ViT reads, in pixels."""
        height, width = self.vit.patch_embed.img_size
        return height, width

    @torch.no_grad()
    def forward(self, pictures: Float[Tensor, "batch 3 height width"]) -> TeacherOutput:
        """Compute the output for pictures in 0..1 of any size, resized (bicubic, antialiased) to the teacher's own."""
        tokens = self.vit.forward_features((self.resize(pictures) - self.mean) / self.std)
        prefix = self.vit.num_prefix_tokens
        logits = self.vit.forward_head(tokens)
        maps = [self._map(self.vit.blocks[index].attn, self._inputs.pop(index)) for index in self._mapped_blocks]
        map, patches = torch.stack(maps).mean(0), tokens[:, prefix:]
        return TeacherOutput(
            tokens[:, 0], patches, map if self.recipe.sinks else without_sinks(map, patches, self.grid), logits
        )

    def resize(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 rows columns"]:
        """Resize the pictures to the teacher's size."""
        if pictures.shape[-2:] == self.size:
            return pictures
        return F.interpolate(pictures, size=self.size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)

    def _remember(self, index: int) -> Any:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            """Remember the block's input, (batch, tokens, dim)."""
            self._inputs[index] = inputs[0]

        return hook

    def _map(self, attention: Any, x: Float[Tensor, "batch tokens dim"]) -> Float32[Tensor, "batch cells"]:
        """Average the attention over heads and queries; logits are averaged over the queries before the product."""
        prefix = self.vit.num_prefix_tokens
        queries = {"cls": slice(0, 1), "registers": slice(1, prefix), "patches": slice(prefix, None)}[
            self.recipe.queries
        ]
        qkv = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = attention.q_norm(qkv[0]), attention.k_norm(qkv[1])
        with torch.autocast(x.device.type, enabled=False):  # products in bfloat16 would make many scores equal
            q = q[:, :, queries].float() * attention.scale
            if not self.recipe.softmax:
                return (q.mean(2, keepdim=True) @ k.float().mT)[:, :, 0, prefix:].mean(1)
            return (q @ k.float().mT).softmax(-1).mean((1, 2))[:, prefix:].clamp_min(1e-9).log()


def without_sinks(
    map: Float[Tensor, "batch cells"], patches: Float[Tensor, "batch cells dim"], grid: Grid
) -> Float[Tensor, "batch cells"]:
    """Replace the scores of sinks by the mean of their neighbours' that are none, or of all others.

    A sink is a cell in whose token a ViT keeps notes of the whole picture, so its attention says nothing of the cell.
    Its norm tells it: less than half of the picture's median, or more than twice.
    """
    norms = patches.float().norm(dim=-1)
    median = norms.median(1, keepdim=True).values
    kept = ((norms > median / 2) & (norms < 2 * median)).to(map.dtype)
    summed, count = (_around(values, grid) for values in (map * kept, kept))
    mean = (map * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
    return torch.where(kept > 0, map, torch.where(count > 0, summed / count.clamp_min(1), mean))


def _around(values: Float[Tensor, "batch cells"], grid: Grid) -> Float[Tensor, "batch cells"]:
    """Sum the values of each cell's neighbourhood, 3 x 3 cells."""
    square = values.unflatten(1, grid)[:, None]
    # Not a convolution, which autocast would compute in bfloat16.
    return 9 * F.avg_pool2d(square, 3, stride=1, padding=1).flatten(1)


def resize_grid(
    values: Float[Tensor, "batch channels cells"], grid: Grid, to: Grid
) -> Float[Tensor, "batch channels new"]:
    """Resize values on one grid to another one, bilinearly."""
    if grid == to:
        return values
    square = values.unflatten(-1, grid)
    return F.interpolate(square, size=to, mode="bilinear", align_corners=False).flatten(2)
