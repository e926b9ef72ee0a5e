"""DVT, the Dynamic Vision Transformer: a cascade of ViTs over growing grids, each reusing the one before.

"Not All Images are Worth 16x16 Words: Dynamic Transformers for Efficient Image Recognition", Wang et al., NeurIPS 2021,
arXiv 2105.15075.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.blank import LayerNorm, Linear
from lookwhere_cli.models.cascade.reuse import Former, NoReuse, Reuse, Reused
from lookwhere_cli.models.cascade.stages import Decided, decide, every
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.vit import ALL, CLS, Attention, Block, ViT, cut


@dataclass(frozen=True)
class ExitShape:
    """An exit's cells, the side of one in pixels, and the zeros around the picture, in pixels."""

    grid: Grid
    patch: int
    padding: int = 0

    def size(self, grid: Grid) -> tuple[int, int]:
        """Height and width, in pixels, of the picture that has that many cells here."""
        height, width = (count * self.patch - 2 * self.padding for count in grid)
        return height, width


PUBLISHED = (ExitShape((7, 7), 32), ExitShape((10, 10), 23, padding=3), ExitShape((14, 14), 16))
"""All three see the same 224 pixels."""

WIDENED = ("norm2.weight", "norm2.bias", "mlp.fc1.weight")
"""Of a block: the tensors whose last axis holds the reused channels, behind its own."""


class State(NamedTuple):
    """Normalised pictures, the grids of the exits that are still to come, and what the exit before has left."""

    pictures: Float[Tensor, "batch 3 height width"]
    grids: tuple[Grid, ...]
    former: Former | None = None

    def at(self, places: Int64[Tensor, " left"]) -> State:
        """The same of some pictures of the batch."""
        return State(self.pictures[places], self.grids, self.former and self.former.at(places))


class RelationAttention(Attention):
    """Attention that adds relations to its logits and tells them; never fused, which would not show any."""

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "batch tokens dim"],
        relation: Float[Tensor, "batch heads tokens tokens"],
        returned: slice,
    ) -> tuple[Float[Tensor, "batch returned dim"], Float[Tensor, "batch heads returned tokens"]]:
        """The `returned` tokens, and their scaled logits before softmax, `relation` included."""
        q, k, v = self.queries_keys_values(x, returned)
        logits = (q * q.shape[-1] ** -0.5) @ k.mT + relation[:, :, returned]
        return self.proj((logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)), logits


class ReuseBlock(Block):
    """A block with room for `reused` channels beside its own before the second norm; they count nothing at first."""

    def __init__(self, config: Config, reused: int) -> None:
        super().__init__(config)
        self.attn = RelationAttention(config.dim, config.heads)
        self.norm2 = LayerNorm(config.dim + reused, eps=config.eps)
        self.mlp.fc1 = Linear(config.dim + reused, config.hidden)
        with torch.no_grad():
            self.mlp.fc1.weight[:, config.dim :] = 0

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch tokens dim"], reused: Reused, returned: slice
    ) -> tuple[Float[Tensor, "batch returned dim"], Float[Tensor, "batch heads returned tokens"]]:
        """The `returned` tokens, and their attention logits."""
        attended, logits = self.attn(self.norm1(x), reused.relation, returned)
        x = x[:, returned] + self.ls1(attended)
        beside = torch.cat([x, reused.features[:, returned]], dim=-1)
        return x + self.ls2(self.mlp(self.norm2(beside))), logits


class Exit(ViT):
    """A whole ViT with its own head: a stage of the cascade."""

    def __init__(self, config: Config, shape: ExitShape, reuse: Reuse | NoReuse, last: bool = False) -> None:
        config = replace(config, patch=shape.patch, exits=())
        super().__init__(config, config.extractor_depth, shape.grid, partial(ReuseBlock, reused=reuse.channels))
        self.shape, self.last = shape, last
        self.reuse = reuse
        self.head = Linear(config.dim, len(config.labels))

    def forward(self, state: State) -> tuple[Float[Tensor, "batch classes"], State]:  # type: ignore[override]
        """Logits; and, for the next exit, all that it reuses."""
        grid, *later = state.grids
        former = self.encode(self._tokens(state.pictures, grid), state.former, grid)
        return self.head(self.norm(former.features[:, 0])), State(state.pictures, tuple(later), former)

    def encode(  # type: ignore[override]
        self, tokens: Float[Tensor, "batch tokens dim"], former: Former | None, grid: Grid
    ) -> Former:
        """All blocks, without the final norm. The last exit, which nobody reuses, ends with CLS and keeps no logits."""
        relations = []
        asked = [ALL] * (len(self.blocks) - 1) + [CLS if self.last else ALL]
        for block, reused, returned in zip(self.blocks, self.reuse(former, tokens, grid), asked, strict=True):
            tokens, logits = block(tokens, reused, returned)
            if not self.last:
                relations.append(logits)
        return Former(grid, tokens, tuple(relations))

    def _tokens(self, pictures: Float[Tensor, "batch 3 height width"], grid: Grid) -> Float[Tensor, "batch tokens dim"]:
        padded = F.pad(resized(pictures, self.shape.size(grid)), (self.shape.padding,) * 4)
        cells = self.embed(cut(padded, self.shape.patch), grid)
        return torch.cat([self.prefix().expand(cells.shape[0], -1, -1), cells], dim=1)


class DVT(nn.Module):
    """The cascade. All exits have the config's dim, depth (extractor_depth), heads and labels.

    Raises ValueError for grids that do not grow, and for a config that does not choose one class by CLS.
    """

    def __init__(self, config: Config, shapes: Sequence[ExitShape]) -> None:
        super().__init__()
        self.config, self.shapes = config, tuple(shapes)
        self.grids = tuple(shape.grid for shape in shapes)
        check_growth(self.grids)
        _check_decisive(config)
        first, *between, last = self.shapes
        self.exits = nn.ModuleList(
            [
                Exit(config, first, NoReuse(config.extractor_depth)),
                *(Exit(config, shape, Reuse(config)) for shape in between),
                Exit(config, last, Reuse(config), last=True),
            ]
        )

    def forward(
        self, pictures: Float[Tensor, "batch 3 height width"], grids: Sequence[Grid] | None = None
    ) -> tuple[Float[Tensor, "batch classes"], ...]:
        """The logits of every exit, for normalised pictures of any size; each exit resizes them to its own.

        Training adds up their losses: gradients run through what is reused into the exits before. `grids`: other ones
        than the model's own, as pictures of another shape need; ValueError where they are not as many, or do not grow.
        """
        return every(self.exits, self.begin(pictures, grids))

    def decide(
        self,
        pictures: Float[Tensor, "batch 3 height width"],
        thresholds: Sequence[float],
        grids: Sequence[Grid] | None = None,
    ) -> Decided:
        """Each picture's logits from the first exit that is sure of it; later exits run on the others only."""
        return decide(self.exits, self.begin(pictures, grids), thresholds)

    @torch.no_grad()
    def start_from(self, vit: ViT, head: nn.Module | None = None) -> None:
        """Give every exit a plain ViT's weights: positions resized, patches where they have its size.

        head: linear, for the same labels; without it, heads stay as they are. Raises ValueError for a ViT of another
        dim or depth.
        """
        given, depth = vit.state_dict(), self.config.extractor_depth
        if head is not None:
            given |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
        if (vit.cls_token.shape[-1], len(vit.blocks)) != (self.config.dim, depth):
            raise ValueError(
                f"a ViT of {len(vit.blocks)} blocks with {vit.cls_token.shape[-1]} channels can't become exits of "
                f"{depth} with {self.config.dim}"
            )
        for shape, exit_ in zip(self.shapes, self.exits, strict=True):
            _copy(given | {"pos_embed": vit.positions_for(shape.grid)}, exit_.state_dict())

    def begin(self, pictures: Float[Tensor, "batch 3 height width"], grids: Sequence[Grid] | None = None) -> State:
        """Return what the first exit reads; see `forward`."""
        if grids is None:
            return State(pictures, self.grids)
        check_growth(grids)
        if len(grids) != len(self.grids):
            raise ValueError(f"there are {len(grids)} grids for {len(self.grids)} exits; each exit needs one")
        return State(pictures, tuple(grids))


def shapes_of(config: Config) -> tuple[ExitShape, ...]:
    """The exits that a config describes."""
    return tuple(ExitShape((rows, columns), patch, padding) for rows, columns, patch, padding in config.exits)


def exit_shapes(grids: Sequence[Grid], patch: int) -> tuple[ExitShape, ...]:
    """Exits of these grids that all cut the same patches, in pixels, from the picture at their own size."""
    return tuple(ExitShape(grid, patch) for grid in grids)


def check_growth(grids: Sequence[Grid]) -> None:
    """Raise ValueError for fewer than two grids, and where one has no more cells than the last, or a shorter side."""
    for (rows, columns), (more_rows, more_columns) in pairwise(grids):
        if more_rows < rows or more_columns < columns or (more_rows, more_columns) == (rows, columns):
            raise ValueError(
                f"a grid of {rows} x {columns} cells can't be followed by one of {more_rows} x {more_columns}; "
                "the grids of a cascade must grow, and no side may shrink"
            )
    if len(grids) < 2:
        raise ValueError(f"a cascade needs two grids or more, and there are {len(grids)}")


def resized(pictures: Float[Tensor, "batch 3 height width"], size: tuple[int, int]) -> Tensor:
    """The pictures at (height, width): bicubic with antialiasing, where they are not of that size already."""
    if pictures.shape[-2:] == size:
        return pictures
    whole = pictures.float()  # in half precision the CPU has no such resizing
    return F.interpolate(whole, size=size, mode="bicubic", align_corners=False, antialias=True).to(pictures.dtype)


def _check_decisive(config: Config) -> None:
    if config.task != "classify" or config.multi_label or config.pool != "cls" or not config.labels:
        raise ValueError(
            "a cascade leaves when it is sure of one class, as CLS has it; this config has "
            f"task {config.task!r}, multi_label {config.multi_label}, pool {config.pool!r}, {len(config.labels)} labels"
        )


def _copy(given: Mapping[str, Tensor], exit_: Mapping[str, Tensor]) -> None:
    """Into an exit's tensors; where these have reused channels besides, they stay as they are."""
    for name in exit_.keys() & given.keys():
        own = exit_[name]
        if name.endswith(WIDENED):
            own = own[..., : given[name].shape[-1]]
        if own.shape == given[name].shape:
            own.copy_(given[name])
