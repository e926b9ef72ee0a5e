"""DVT, the Dynamic Vision Transformer: a cascade of ViTs over growing grids, each reusing the one before.

"Not All Images are Worth 16x16 Words: Dynamic Transformers for Efficient Image Recognition", Wang et al., NeurIPS 2021,
arXiv 2105.15075.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.cascade.reuse import BlockReuse, NoReuse, PreviousExit, Reuse
from lookwhere_cli.models.cascade.shapes import ExitShape, check_growth
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.layers import LayerNorm, Linear
from lookwhere_cli.models.vit import ALL, CLS, Attention, Block, ViT, cut

WIDENED = ("norm2.weight", "norm2.bias", "mlp.fc1.weight")
"""A block's parameters whose last axis has the reused channels after its own."""


class ExitState(NamedTuple):
    """Pictures between two exits.

    pictures: normalised. grids: those of the exits that remain. previous: what the exit before left.
    """

    pictures: Float[Tensor, "batch 3 height width"]
    grids: tuple[Grid, ...]
    previous: PreviousExit | None = None

    def at(self, places: Int64[Tensor, " remaining"]) -> ExitState:
        """Keep only the pictures at these places of the batch."""
        return ExitState(self.pictures[places], self.grids, self.previous and self.previous.at(places))


class RelationAttention(Attention):
    """Attention with relations added to its logits, which it returns; fused attention could do neither."""

    def forward(  # type: ignore[override]
        self,
        x: Float[Tensor, "batch tokens dim"],
        relation: Float[Tensor, "#batch #heads #tokens #tokens"],
        returned: slice,
    ) -> tuple[Float[Tensor, "batch returned dim"], Float[Tensor, "batch heads returned tokens"]]:
        """Return the `returned` tokens, and their scaled logits before softmax, `relation` included."""
        q, k, v = self.queries_keys_values(x, returned)
        logits = (q * q.shape[-1] ** -0.5) @ k.mT + relation[:, :, returned]
        return self.proj((logits.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)), logits


class ReuseBlock(Block):
    """A block whose feed-forward also reads `reused` channels, with weights of zero at first."""

    def __init__(self, config: Config, reused: int) -> None:
        super().__init__(config)
        self.attn = RelationAttention(config.dim, config.heads)
        self.norm2 = LayerNorm(config.dim + reused, eps=config.eps)
        self.mlp.fc1 = Linear(config.dim + reused, config.hidden)
        with torch.no_grad():
            self.mlp.fc1.weight[:, config.dim :] = 0

    def forward(  # type: ignore[override]
        self, x: Float[Tensor, "batch tokens dim"], reuse: BlockReuse, returned: slice
    ) -> tuple[Float[Tensor, "batch returned dim"], Float[Tensor, "batch heads returned tokens"]]:
        """Return the `returned` tokens, and their attention logits."""
        attended, logits = self.attn(self.norm1(x), reuse.relation, returned)
        x = x[:, returned] + self.ls1(attended)
        widened = torch.cat([x, reuse.features[:, returned]], dim=-1)
        return x + self.ls2(self.mlp(self.norm2(widened))), logits


class GridExit(ViT):
    """One exit of the cascade: a whole ViT with its own head."""

    def __init__(self, config: Config, shape: ExitShape, reuse: Reuse | NoReuse, last: bool = False) -> None:
        config = replace(config, patch=shape.patch, exits=())
        super().__init__(config, config.extractor_depth, shape.grid, partial(ReuseBlock, reused=reuse.channels))
        self.shape, self.last = shape, last
        self.reuse = reuse
        self.head = Linear(config.dim, len(config.labels))

    def forward(  # type: ignore[override]
        self, state: ExitState
    ) -> tuple[Float[Tensor, "batch classes"], ExitState]:
        """Return the logits, and the next exit's state."""
        grid, *later = state.grids
        done = self.encode(self._tokens(state.pictures, grid), state.previous, grid)
        return self.head(self.norm(done.features[:, 0])), ExitState(state.pictures, tuple(later), done)

    def encode(  # type: ignore[override]
        self, tokens: Float[Tensor, "batch tokens dim"], previous: PreviousExit | None, grid: Grid
    ) -> PreviousExit:
        """Run all blocks, without the final norm.

        The last exit, which no other reuses, computes only CLS in its last block and keeps no relations.
        """
        relations = []
        returned = [ALL] * (len(self.blocks) - 1) + [CLS if self.last else ALL]
        for block, reuse, some in zip(self.blocks, self.reuse(previous, tokens, grid), returned, strict=True):
            tokens, logits = block(tokens, reuse, some)
            if not self.last:
                relations.append(logits)
        return PreviousExit(grid, tokens, tuple(relations))

    def _tokens(self, pictures: Float[Tensor, "batch 3 height width"], grid: Grid) -> Float[Tensor, "batch tokens dim"]:
        padded = F.pad(resize(pictures, self.shape.size(grid)), (self.shape.padding,) * 4)
        cells = self.embed(cut(padded, self.shape.patch), grid)
        return torch.cat([self.prefix().expand(cells.shape[0], -1, -1), cells], dim=1)


class DVT(nn.Module):
    """The cascade. All exits have the config's dim, depth (extractor_depth), heads and labels.

    Raises ValueError for grids that do not grow, and for a config that is not of a classifier by CLS with one label.
    """

    def __init__(self, config: Config, shapes: Sequence[ExitShape]) -> None:
        super().__init__()
        self.config, self.shapes = config, tuple(shapes)
        self.grids = tuple(shape.grid for shape in shapes)
        check_growth(self.grids)
        _check_classifier(config)
        first, *between, last = self.shapes
        self.exits = nn.ModuleList(
            [
                GridExit(config, first, NoReuse(config.extractor_depth)),
                *(GridExit(config, shape, Reuse(config)) for shape in between),
                GridExit(config, last, Reuse(config), last=True),
            ]
        )

    def forward(
        self, pictures: Float[Tensor, "batch 3 height width"], grids: Sequence[Grid] | None = None
    ) -> tuple[Float[Tensor, "batch classes"], ...]:
        """Return the logits of every exit, for normalised pictures of any size; see `begin`.

        Training sums the exits' losses: gradients run through what is reused into earlier exits.
        """
        state = self.begin(pictures, grids)
        answers = []
        for exit_ in self.exits:
            logits, state = exit_(state)
            answers.append(logits)
        return tuple(answers)

    def begin(self, pictures: Float[Tensor, "batch 3 height width"], grids: Sequence[Grid] | None = None) -> ExitState:
        """Return the first exit's state. Each exit resizes the pictures to its own size.

        grids: one for each exit, for pictures of another shape than the model's own. Raises ValueError if their number
        is wrong or they do not grow.
        """
        if grids is None:
            return ExitState(pictures, self.grids)
        check_growth(grids)
        if len(grids) != len(self.grids):
            raise ValueError(f"there are {len(grids)} grids for {len(self.grids)} exits; each exit needs one")
        return ExitState(pictures, tuple(grids))

    @torch.no_grad()
    def start_from(self, vit: ViT, head: nn.Module | None = None) -> None:
        """Copy a plain ViT's weights to every exit: positions interpolated, the patch embedding if its size is equal.

        head: linear, for the same labels; without it, heads are not changed. Raises ValueError for a ViT of another dim
        or depth.
        """
        weights, depth = vit.state_dict(), self.config.extractor_depth
        if head is not None:
            weights |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
        if (vit.cls_token.shape[-1], len(vit.blocks)) != (self.config.dim, depth):
            raise ValueError(
                f"a ViT of {len(vit.blocks)} blocks with {vit.cls_token.shape[-1]} channels can't become exits of "
                f"{depth} with {self.config.dim}"
            )
        for shape, exit_ in zip(self.shapes, self.exits, strict=True):
            _copy(weights | {"pos_embed": vit.positions_for(shape.grid)}, exit_.state_dict())


def resize(pictures: Float[Tensor, "batch 3 height width"], size: tuple[int, int]) -> Tensor:
    """Resize pictures to (height, width), bicubic with antialiasing; pictures of that size are returned as they are."""
    if pictures.shape[-2:] == size:
        return pictures
    whole = pictures.float()  # the CPU has no such resizing in half precision
    return F.interpolate(whole, size=size, mode="bicubic", align_corners=False, antialias=True).to(pictures.dtype)


def _check_classifier(config: Config) -> None:
    if config.task != "classify" or config.multi_label or config.pool != "cls" or not config.labels:
        raise ValueError(
            "a cascade must classify pictures with one label each, by CLS; this config has "
            f"task {config.task!r}, multi_label {config.multi_label}, pool {config.pool!r}, {len(config.labels)} labels"
        )


def _copy(weights: Mapping[str, Tensor], exit_: Mapping[str, Tensor]) -> None:
    """Copy weights into an exit's tensors of equal shape; weights of reused channels are not changed."""
    for name in exit_.keys() & weights.keys():
        own = exit_[name]
        if name.endswith(WIDENED):
            own = own[..., : weights[name].shape[-1]]
        if own.shape == weights[name].shape:
            own.copy_(weights[name])
