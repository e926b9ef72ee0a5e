"""What an exit of a DVT makes of what the one before it computed (paper, sections on feature and relation reuse)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.blank import Conv2d, LayerNorm, Linear
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config

HIDDEN, REUSED = 128, 48
"""Channels inside of the features' MLP, and those that come out of it."""
EXPANSION = 3
"""Times as many channels inside of the relations' MLP."""


class Former(NamedTuple):
    """What an exit leaves to the next one. `relations`: each block's attention logits, all heads', before softmax."""

    grid: Grid
    features: Float[Tensor, "batch tokens dim"]
    relations: tuple[Float[Tensor, "batch heads tokens tokens"], ...]

    def at(self, places: Int64[Tensor, " left"]) -> Former:
        """The same of some pictures of the batch."""
        return Former(self.grid, self.features[places], tuple(one[places] for one in self.relations))


class Reused(NamedTuple):
    """What a block is given: channels beside its tokens, and summands of its attention logits."""

    features: Float[Tensor, "batch tokens reused"]
    relation: Float[Tensor, "batch heads tokens tokens"]


class NoReuse(nn.Module):
    """In the first exit, which has none before it."""

    channels = 0

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, former: None, tokens: Float[Tensor, "batch tokens dim"], grid: Grid) -> Iterator[Reused]:
        """Nothing for each block."""
        nothing = Reused(tokens[..., :0], tokens.new_zeros(1, 1, 1, 1))
        return (nothing for _ in range(self.depth))


class Reuse(nn.Module):
    """Features and relations of the exit before, for each block of this one."""

    channels = REUSED

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.prefix = config.prefix_tokens
        self.features = nn.ModuleList(FeatureReuse(config) for _ in range(config.extractor_depth))
        self.relations = RelationReuse(config)

    def forward(self, former: Former, tokens: Float[Tensor, "batch tokens dim"], grid: Grid) -> Iterator[Reused]:
        """What each block is given, made when it is its turn. Prefix tokens get zeros beside them."""
        resize = Resize(former.grid, grid, tokens)
        cells = former.features[:, self.prefix :]
        relations = self.relations(torch.cat(former.relations, dim=1))
        for feature, relation in zip(self.features, relations.chunk(len(self.features), dim=1), strict=True):
            features = F.pad(resize.cells(feature(cells)), (0, 0, self.prefix, 0))
            yield Reused(features, resize.both(relation, self.prefix))


class FeatureReuse(nn.Module):
    """A norm and a narrow MLP (erf GELU) on each token of the former exit's last block."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.norm = LayerNorm(config.dim, eps=config.eps)
        self.fc1 = Linear(config.dim, HIDDEN)
        self.fc2 = Linear(HIDDEN, REUSED)

    def forward(self, x: Float[Tensor, "batch cells dim"]) -> Float[Tensor, "batch cells reused"]:
        """Each token by itself."""
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class RelationReuse(nn.Module):
    """An MLP (erf GELU) across blocks and heads, for each pair of tokens by itself. It gives zeros at first."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        channels = config.extractor_depth * config.heads
        self.conv1 = Conv2d(channels, EXPANSION * channels, kernel_size=1)
        self.conv2 = Conv2d(EXPANSION * channels, channels, kernel_size=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]

    def forward(
        self, x: Float[Tensor, "batch channels tokens tokens"]
    ) -> Float[Tensor, "batch channels tokens tokens"]:
        """Channels are block * heads + head."""
        return self.conv2(F.gelu(self.conv1(x)))


class Resize:
    """From one grid's cells to another's, along each axis: repeated to the smallest multiple, then averaged.

    As nearest and adaptive average do, but by a small matrix for each axis: on relations, which have four axes, pooling
    would take as long as all the rest of an exit.
    """

    def __init__(self, old: Grid, new: Grid, like: Tensor) -> None:
        self.old = old
        self.rows, self.columns = (_matrix(*counts, like) for counts in zip(old, new, strict=True))

    def cells(self, x: Float[Tensor, "*batch old channels"]) -> Float[Tensor, "*batch new channels"]:
        """Cells, row by row, with any number of channels."""
        wide = self.columns @ x.unflatten(-2, self.old)
        tall = self.rows @ wide.flatten(-2)
        return tall.unflatten(-1, (len(self.columns), -1)).flatten(-3, -2)

    def both(self, relation: Float[Tensor, "*batch old old"], prefix: int) -> Float[Tensor, "*batch new new"]:
        """Both token axes of relations; the rows and columns of the `prefix` tokens are resized along the other one."""
        return self._tokens(self._tokens(relation.mT, prefix).mT, prefix)

    def _tokens(self, x: Float[Tensor, "*batch old channels"], prefix: int) -> Float[Tensor, "*batch new channels"]:
        return torch.cat([x[..., :prefix, :], self.cells(x[..., prefix:, :])], dim=-2)


def _matrix(old: int, new: int, like: Tensor) -> Float[Tensor, "new old"]:
    """What an axis of `new` cells takes of each of `old` ones, in the dtype and on the device of `like`."""
    repeated = torch.eye(old).repeat_interleave(-(-new // old), dim=1)
    return F.adaptive_avg_pool1d(repeated, new).T.to(like)
