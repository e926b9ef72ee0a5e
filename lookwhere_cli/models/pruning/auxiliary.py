"""What teaches Token Cropr which tokens matter: a head behind each pruning module that has to solve the task.

Used in training only. Names are those of the authors' files. Nothing here sends a gradient into the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.models.blank import LayerNorm, Linear
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.cropr import EPS, Cropr, PruningModule
from lookwhere_cli.models.vit import FeedForward

HEAD_EPS = 1e-5
RATIO = 4


@dataclass(frozen=True)
class Attending:
    """The paper's variants of the cross-attention; by default none of them is used."""

    heads: int = 1
    projections: str = ""
    """Which of q, k and v go through a linear layer."""
    norm: bool = False
    """Whether tokens are normalised first; the pruning must have `norm`, too."""


class CrossAttention(nn.Module):
    """Learned queries gather what the task needs from all tokens; each then goes through an MLP."""

    def __init__(self, config: Config, queries: int, attending: Attending) -> None:
        super().__init__()
        dim, deviation = config.dim, config.dim**-0.5
        self.heads = attending.heads
        self.queries = nn.Parameter(torch.empty(1, queries, dim))
        nn.init.trunc_normal_(self.queries, std=deviation, a=-2 * deviation, b=2 * deviation)
        self.attn_norm = LayerNorm(dim, EPS) if attending.norm else None
        self.q, self.k, self.v = (
            nn.Linear(dim, dim, bias=False) if part in attending.projections else None for part in "qkv"
        )
        self.proj = Linear(dim, dim) if attending.heads > 1 else None
        self.mlp_norm = LayerNorm(dim, EPS)
        self.mlp = FeedForward(replace(config, feed_forward="gelu", hidden=RATIO * dim))

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch queries dim"]:
        """The queries themselves are not added: what comes out is made of tokens."""
        tokens = self.normed(tokens)
        queries = _through(self.q, self.queries).expand(tokens.shape[0], -1, -1)
        q, k, v = (self._by_head(part) for part in (queries, _through(self.k, tokens), _through(self.v, tokens)))
        gathered = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        gathered = _through(self.proj, gathered)
        return gathered + self.mlp(self.mlp_norm(gathered))

    def normed(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Tokens as they are attended to."""
        return _through(self.attn_norm, tokens)

    @torch.no_grad()
    def summed_query(self) -> Float[Tensor, " dim"]:
        """One query in place of all, over all heads and projections: its scores are theirs but for a constant."""
        query = _through(self.q, self.queries).sum((0, 1))
        if self.k is not None:
            query = query @ self.k.weight
        return query if self.attn_norm is None else query * self.attn_norm.weight

    def _by_head(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch heads tokens head_dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class AuxiliaryHead(nn.Module):
    """From what a query gathered to the classes."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.norm = LayerNorm(dim, HEAD_EPS)
        self.head = Linear(dim, classes)

    def forward(self, gathered: Float[Tensor, "batch queries dim"]) -> Float[Tensor, "batch queries classes"]:
        """Logits."""
        return self.head(self.norm(gathered))


class Auxiliary(nn.Module):
    """One pruning module's teacher."""

    def __init__(self, config: Config, queries: int, classes: int, attending: Attending) -> None:
        super().__init__()
        self.cross_attn = CrossAttention(config, queries, attending)
        self.head = AuxiliaryHead(config.dim, classes)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch queries classes"]:
        """Logits from all tokens that the module has before it prunes, the prefix included."""
        return self.head(self.cross_attn(tokens.detach()))


class Auxiliaries(nn.ModuleList):
    """The teachers of a Cropr's modules.

    queries: 1 for whole pictures; for dense tasks one for each cell of the grid, row by row, whose class it predicts.
    """

    def __init__(self, cropr: Cropr, queries: int, classes: int, attending: Attending | None = None) -> None:
        attending = attending or Attending()
        if attending.norm != cropr.pruning.norm:
            raise ValueError(
                "tokens must be normalised both where they are scored and where that is taught, or nowhere"
            )
        super().__init__(Auxiliary(cropr.config, queries, classes, attending) for _ in cropr)

    def forward(
        self, seen: Sequence[Float[Tensor, "batch tokens dim"]]
    ) -> Float[Tensor, "batch modules queries classes"]:
        """Logits from what `Cropr.watched` collected; each module's loss is the task's own, with weight 1."""
        return torch.stack([teacher(tokens) for teacher, tokens in zip(self, seen, strict=True)], dim=1)

    @torch.no_grad()
    def hand_over(self, cropr: Cropr) -> None:
        """Give each pruning module the sum of its queries as they are now."""
        for module, teacher in zip(cropr, self, strict=True):
            cast(PruningModule, module).query.copy_(cast(Auxiliary, teacher).cross_attn.summed_query())


def _through(layer: nn.Module | None, x: Tensor) -> Tensor:
    return x if layer is None else layer(x)
