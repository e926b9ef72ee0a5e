"""What trains Token Cropr's queries: a head after each pruning module that solves the task from the module's tokens.

Used in training only. Parameter names are those of the authors' files. No gradient reaches the backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import LayerNorm, Linear
from lookwhere_cli.models.pruning.cropr import EPS, Cropr, PruningModule
from lookwhere_cli.models.vit import FeedForward

HEAD_EPS = 1e-5
RATIO = 4
"""Hidden channels of the cross-attention's MLP, as a multiple of its input channels."""


@dataclass(frozen=True)
class AttentionVariant:
    """The paper's variants of the cross-attention; the default is none of them.

    heads: attention heads. projections: which of q, k and v go through a linear layer, as in "qk". norm: True if tokens
    are normalised first; the schedule's `norm` must be the same.
    """

    heads: int = 1
    projections: str = ""
    norm: bool = False


class CrossAttention(nn.Module):
    """Learned queries attend to all tokens; an MLP follows."""

    def __init__(self, config: Config, queries: int, variant: AttentionVariant) -> None:
        super().__init__()
        dim, deviation = config.dim, config.dim**-0.5
        self.heads = variant.heads
        self.queries = nn.Parameter(torch.empty(1, queries, dim))
        nn.init.trunc_normal_(self.queries, std=deviation, a=-2 * deviation, b=2 * deviation)
        self.attn_norm = LayerNorm(dim, EPS) if variant.norm else None
        self.q, self.k, self.v = (
            nn.Linear(dim, dim, bias=False) if part in variant.projections else None for part in "qkv"
        )
        self.proj = Linear(dim, dim) if variant.heads > 1 else None
        self.mlp_norm = LayerNorm(dim, EPS)
        self.mlp = FeedForward(replace(config, feed_forward="gelu", hidden=RATIO * dim))

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch queries dim"]:
        """Compute what each query attends to. The query itself is not added: the output is made of tokens only."""
        tokens = self.normed(tokens)
        queries = _apply(self.q, self.queries).expand(tokens.shape[0], -1, -1)
        q, k, v = (self._by_head(part) for part in (queries, _apply(self.k, tokens), _apply(self.v, tokens)))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        attended = _apply(self.proj, attended)
        return attended + self.mlp(self.mlp_norm(attended))

    def normed(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
        """Return the tokens as the queries see them."""
        return _apply(self.attn_norm, tokens)

    @torch.no_grad()
    def summed_query(self) -> Float[Tensor, " dim"]:
        """Return one query for all: its score is the sum of all queries' scores, over heads, but for a constant."""
        query = _apply(self.q, self.queries).sum((0, 1))
        if self.k is not None:
            query = query @ self.k.weight
        return query if self.attn_norm is None else query * self.attn_norm.weight

    def _by_head(self, x: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch heads tokens head_dim"]:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class AuxiliaryHead(nn.Module):
    """A norm and a linear layer, from a query's output to the classes."""

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.norm = LayerNorm(dim, HEAD_EPS)
        self.head = Linear(dim, classes)

    def forward(self, attended: Float[Tensor, "batch queries dim"]) -> Float[Tensor, "batch queries classes"]:
        """Compute the logits."""
        return self.head(self.norm(attended))


class Auxiliary(nn.Module):
    """Cross-attention and head for one pruning module."""

    def __init__(self, config: Config, queries: int, classes: int, variant: AttentionVariant) -> None:
        super().__init__()
        self.cross_attn = CrossAttention(config, queries, variant)
        self.head = AuxiliaryHead(config.dim, classes)

    def forward(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch queries classes"]:
        """Compute the logits from all tokens that the module scores, the prefix included."""
        return self.head(self.cross_attn(tokens.detach()))


class Auxiliaries(nn.ModuleList):
    """One Auxiliary for each module of a Cropr.

    queries: 1 for whole pictures; for dense tasks one for each cell of the grid, row by row, which predicts the cell's
    class. Raises ValueError for a variant whose `norm` is not that of the pruning modules.
    """

    def __init__(self, cropr: Cropr, queries: int, classes: int, variant: AttentionVariant | None = None) -> None:
        variant = variant or AttentionVariant()
        if variant.norm != cropr.pruning.norm:
            raise ValueError(
                f"norm is {variant.norm} for the auxiliary heads and {cropr.pruning.norm} for the pruning modules; "
                "both must be the same"
            )
        super().__init__(Auxiliary(cropr.config, queries, classes, variant) for _ in cropr)

    def forward(self, inputs: Sequence[Float[Tensor, "batch _ dim"]]) -> Float[Tensor, "batch modules queries classes"]:
        """Compute the logits of each module from what `Cropr.record_inputs` collected.

        Each module's loss is the task's own, with weight 1.
        """
        return torch.stack([auxiliary(tokens) for auxiliary, tokens in zip(self, inputs, strict=True)], dim=1)

    @torch.no_grad()
    def copy_queries(self, cropr: Cropr) -> None:
        """Copy the sum of each auxiliary's queries, as they are now, to its pruning module."""
        for module, auxiliary in zip(cropr, self, strict=True):
            cast(PruningModule, module).query.copy_(cast(Auxiliary, auxiliary).cross_attn.summed_query())


def _apply(layer: nn.Module | None, x: Tensor) -> Tensor:
    return x if layer is None else layer(x)
