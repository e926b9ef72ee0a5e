"""A look that adds to the one before: what was seen is kept, block by block, and what is seen next attends to it.

The extractor's own blocks and head serve all looks. What a look saw does not depend on those that follow, as if all
tokens went in at once behind a mask; so nothing is computed twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.extractor import Extractor
from lookwhere_cli.models.vit import ALL, CLS, Block


class Kept(NamedTuple):
    """Keys and values of all tokens that a block has been given so far."""

    keys: Float[Tensor, "batch heads seen head_dim"]
    values: Float[Tensor, "batch heads seen head_dim"]


class Memory(NamedTuple):
    """What the looks so far leave for the next: CLS as it went into the first of them, and what each block has kept."""

    cls: Float[Tensor, "batch 1 dim"]
    blocks: tuple[Kept, ...]

    def at(self, places: Int64[Tensor, " left"]) -> Memory:
        """The same of some pictures of the batch."""
        return Memory(self.cls[places], tuple(Kept(*(part[places] for part in kept)) for kept in self.blocks))


class SecondLook(nn.Module):
    """Runs an extractor look by look.

    Each further look has a CLS of its own, from which its answer is read: it enters as the first one did, plus a learnt
    vector, zero at first.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, config.dim))

    def first(self, extractor: Extractor, chosen: Chosen[Tensor]) -> tuple[Float[Tensor, "batch dim"], Memory]:
        """CLS, as the extractor gives it of the same; and what the next look needs."""
        tokens = extractor.tokens(chosen)
        return _encode(extractor, tokens, tokens[:, :1], (None,) * len(extractor.blocks))

    def more(
        self, extractor: Extractor, chosen: Chosen[Tensor], memory: Memory
    ) -> tuple[Float[Tensor, "batch dim"], Memory]:
        """Return CLS of a look that adds the chosen cells to those of earlier looks, and what the next look needs.

        Prefix tokens and coarse patches are not read again.
        """
        cells = extractor.embed(chosen.patches, chosen.grid, chosen.cells)
        tokens = torch.cat([memory.cls + self.token, cells], dim=1)
        return _encode(extractor, tokens, memory.cls, memory.blocks)


def _encode(
    extractor: Extractor,
    tokens: Float[Tensor, "batch tokens dim"],
    cls: Float[Tensor, "batch 1 dim"],
    before: tuple[Kept | None, ...],
) -> tuple[Float[Tensor, "batch dim"], Memory]:
    """All blocks and the final norm, as in ViT.encode, with what each block has kept before."""
    after = []
    asked = [ALL] * (len(before) - 1) + [CLS]
    for block, seen, returned in zip(cast(Iterable[Block], extractor.blocks), before, asked, strict=True):
        tokens, kept = _block(block, tokens, seen, returned)
        after.append(kept)
    return extractor.norm(tokens)[:, 0], Memory(cls, tuple(after))


def _block(
    block: Block, x: Float[Tensor, "batch tokens dim"], seen: Kept | None, returned: slice
) -> tuple[Float[Tensor, "batch returned dim"], Kept]:
    """As Block does, but that the tokens attend to what was seen as well."""
    q, *own = block.attn.queries_keys_values(block.norm1(x), returned)
    kept = Kept(*own) if seen is None else Kept(*(torch.cat(pair, dim=2) for pair in zip(seen, own, strict=True)))
    x = x[:, returned] + block.ls1(block.attn.attend(q, *kept))
    return x + block.ls2(block.mlp(block.norm2(x))), kept
