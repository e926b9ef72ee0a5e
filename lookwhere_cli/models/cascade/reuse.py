"""What an exit of a DVT reuses of the exit before it (paper, sections on feature and relation reuse)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.constants import RELATION_EXPANSION, REUSE_HIDDEN, REUSED_CHANNELS
from lookwhere_cli.models.layers import Conv2d, LayerNorm, Linear, gelu


class PreviousExit(NamedTuple):
    """What an exit leaves for the next one.

    features: tokens after the last block, without the final norm. relations: each block's attention logits before
    softmax, of all heads.
    """

    grid: Grid
    features: Float[Tensor, "batch tokens dim"]
    relations: tuple[Float[Tensor, "batch heads tokens tokens"], ...]

    def at(self, places: Int64[Tensor, " remaining"]) -> PreviousExit:
        """Keep only the pictures at these places of the batch."""
        return PreviousExit(self.grid, self.features[places], tuple(one[places] for one in self.relations))


class BlockReuse(NamedTuple):
    """What a block reuses.

    features: channels that are appended to its tokens before the second norm. relation: added to its attention logits.
    """

    features: Float[Tensor, "batch tokens reused"]
    relation: Float[Tensor, "#batch #heads #tokens #tokens"]


class NoReuse(nn.Module):
    """The first exit's, which has no exit before it."""

    channels = 0

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, previous: None, tokens: Float[Tensor, "batch tokens dim"], grid: Grid) -> Iterator[BlockReuse]:
        """Yield no channels and a relation of zero for each block."""
        nothing = BlockReuse(tokens[..., :0], tokens.new_zeros(1, 1, 1, 1))
        return (nothing for _ in range(self.depth))


class Reuse(nn.Module):
    """Features and relations of the previous exit, for each block."""

    channels = REUSED_CHANNELS

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.prefix = config.prefix_tokens
        self.features = nn.ModuleList(FeatureReuse(config) for _ in range(config.extractor_depth))
        self.relations = RelationReuse(config)

    def forward(
        self, previous: PreviousExit, tokens: Float[Tensor, "batch tokens dim"], grid: Grid
    ) -> Iterator[BlockReuse]:
        """Yield what each block reuses, computed when it is asked for. Prefix tokens get features of zero."""
        resize = Resize(previous.grid, grid, tokens)
        cells = previous.features[:, self.prefix :]
        relations = self.relations(torch.cat(previous.relations, dim=1))
        for feature, relation in zip(self.features, relations.chunk(len(self.features), dim=1), strict=True):
            features = F.pad(resize.cells(feature(cells)), (0, 0, self.prefix, 0))
            yield BlockReuse(features, resize.both(relation, self.prefix))


class FeatureReuse(nn.Module):
    """A norm and a narrow MLP (erf GELU) on each token of the previous exit."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, eps=config.eps)
        self.fc1 = Linear(config.dim, REUSE_HIDDEN)
        self.fc2 = Linear(REUSE_HIDDEN, REUSED_CHANNELS)

    def forward(self, x: Float[Tensor, "batch cells dim"]) -> Float[Tensor, "batch cells reused"]:
        """Compute each token alone."""
        return self.fc2(gelu(self.fc1(self.norm(x))))


class RelationReuse(nn.Module):
    """An MLP (erf GELU) across blocks and heads, for each pair of tokens alone. Its initial output is zero."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.extractor_depth * config.heads
        self.conv1 = Conv2d(channels, RELATION_EXPANSION * channels, kernel_size=1)
        self.conv2 = Conv2d(RELATION_EXPANSION * channels, channels, kernel_size=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "batch channels tokens tokens"]
    ) -> Float[Tensor, "batch channels tokens tokens"]:
        """Mix channels (block * heads + head)."""
        return self.conv2(gelu(self.conv1(x)))


class Resize:
    """Resizes one grid to another, along each axis: cells are repeated to the smallest multiple, then averaged.

    The same as nearest-neighbour resizing and adaptive average pooling, but by a small matrix for each axis: pooling
    relations, which have four axes, would take as long as the rest of an exit.
    """

    def __init__(self, old: Grid, new: Grid, like: Tensor) -> None:
        """`like` has the dtype and device."""
        self.old = old
        self.rows, self.columns = (_matrix(*counts, like) for counts in zip(old, new, strict=True))

    def cells(self, x: Float[Tensor, "*batch old channels"]) -> Float[Tensor, "*batch new channels"]:
        """Resize cells, row by row, with any number of channels."""
        wide = self.columns @ x.unflatten(-2, self.old)
        tall = self.rows @ wide.flatten(-2)
        return tall.unflatten(-1, (len(self.columns), -1)).flatten(-3, -2)

    def both(self, relation: Float[Tensor, "*batch old old"], prefix: int) -> Float[Tensor, "*batch new new"]:
        """Resize both axes of relations; along each, the first `prefix` tokens are kept as they are."""
        return self._tokens(self._tokens(relation.mT, prefix).mT, prefix)

    def _tokens(self, x: Float[Tensor, "*batch old channels"], prefix: int) -> Float[Tensor, "*batch new channels"]:
        return torch.cat([x[..., :prefix, :], self.cells(x[..., prefix:, :])], dim=-2)


def _matrix(old: int, new: int, like: Tensor) -> Float[Tensor, "new old"]:
    """Return the weight of each of `old` cells in each of `new` ones, along an axis."""
    repeated = torch.eye(old).repeat_interleave(-(-new // old), dim=1)
    return F.adaptive_avg_pool1d(repeated, new).T.to(like)
