"""Looks that add to earlier ones: keys and values are stored, block by block, and later looks attend to them.

The extractor's own blocks and head serve all looks. A look does not depend on later ones, as if all tokens went in
together behind a mask; so nothing is computed twice.
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


class KeysValues(NamedTuple):
    """Keys and values of all tokens that a block has read so far."""

    keys: Float[Tensor, "batch heads stored head_dim"]
    values: Float[Tensor, "batch heads stored head_dim"]


class Memory(NamedTuple):
    """What the looks so far leave for the next: the first block's input for CLS, and each block's keys and values."""

    cls: Float[Tensor, "batch 1 dim"]
    blocks: tuple[KeysValues, ...]

    def at(self, places: Int64[Tensor, " remaining"]) -> Memory:
        """Keep only the pictures at these places of the batch."""
        return Memory(self.cls[places], tuple(KeysValues(*(part[places] for part in each)) for each in self.blocks))


class SecondLook(nn.Module):
    """Runs an extractor look by look.

    Each further look has its own CLS, which gives its answer: the first look's, plus a learned vector, zero at first.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, config.dim))

    def first(self, extractor: Extractor, chosen: Chosen[Tensor]) -> tuple[Float[Tensor, "batch dim"], Memory]:
        """Return CLS, as the extractor alone computes it, and what the next look needs."""
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
    before: tuple[KeysValues | None, ...],
) -> tuple[Float[Tensor, "batch dim"], Memory]:
    """Run all blocks and the final norm, as `ViT.encode` does, with what each block has stored."""
    after = []
    returned = [ALL] * (len(before) - 1) + [CLS]
    for block, stored, some in zip(cast(Iterable[Block], extractor.blocks), before, returned, strict=True):
        tokens, each = _run_block(block, tokens, stored, some)
        after.append(each)
    return extractor.norm(tokens)[:, 0], Memory(cls, tuple(after))


def _run_block(
    block: Block, x: Float[Tensor, "batch tokens dim"], stored: KeysValues | None, returned: slice
) -> tuple[Float[Tensor, "batch returned dim"], KeysValues]:
    """Compute what `Block.forward` does, but tokens also attend to the stored ones."""
    q, *new = block.attn.queries_keys_values(block.norm1(x), returned)
    both = new if stored is None else [torch.cat(pair, dim=2) for pair in zip(stored, new, strict=True)]
    x = x[:, returned] + block.ls1(block.attn.attend(q, *both))
    return x + block.ls2(block.mlp(block.norm2(x))), KeysValues(*both)
