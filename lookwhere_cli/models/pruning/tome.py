"""Token merging: in each block some cells join those that they are most alike, without any training.

"Token Merging: Your ViT But Faster", Bolya et al., ICLR 2023, arXiv 2210.09461, sections 3.1 and 3.2.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from lookwhere_cli.macs.blocks import merges
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.cropr import Cropped
from lookwhere_cli.models.vit import ALL, Block


class Groups(NamedTuple):
    """Tokens of which some stand for several cells; the prefix, first, for itself alone."""

    tokens: Float[Tensor, "batch groups dim"]
    sizes: Float32[Tensor, "batch groups"]
    """Of how many tokens each is the mean."""
    members: Int64[Tensor, "batch tokens"]
    """The group of each token that went in."""


class ToMe(nn.Module):
    """Merges so many cells in each block but the last, half of them at most. It has no weights.

    In an extractor's `cropr` it serves a model that was never trained for it, and every cell has a token in the end:
    that of its group. What it costs is `cost.merged_macs`. Raises ValueError for a negative rate.
    """

    def __init__(self, config: Config, rate: int) -> None:
        super().__init__()
        if rate < 0:
            raise ValueError(f"a rate of {rate} cells can't be merged in each block; it must be at least 0")
        self.prefix, self.rate = config.prefix_tokens, rate

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], blocks: nn.ModuleList, returned: slice = ALL
    ) -> Cropped:
        """Tokens, prefix first, through all blocks; the `returned` ones, not yet normed, in the order they went in.

        returned: of the prefix, or all of the cells, or all tokens.
        """
        groups = self.grouped(tokens, blocks)
        last = cast(Block, blocks[-1])
        attended, _ = _attend(last, groups, returned)
        out = _feed_forward(last, attended)
        batch, count = tokens.shape[:2]
        first = returned.start or 0
        if returned.stop is None or returned.stop > self.prefix:
            of_tokens = groups.members[:, first:] - first
            out = out.gather(1, of_tokens[..., None].expand(-1, -1, out.shape[-1]))
        return Cropped(out, torch.arange(count - self.prefix, device=tokens.device).expand(batch, -1))

    def grouped(self, tokens: Float[Tensor, "batch tokens dim"], blocks: nn.ModuleList) -> Groups:
        """What all blocks but the last make of them."""
        batch, count = tokens.shape[:2]
        ones = torch.ones(batch, count, device=tokens.device)
        groups = Groups(tokens, ones, torch.arange(count, device=tokens.device).expand(batch, -1))
        for block in blocks[:-1]:
            attended, keys = _attend(cast(Block, block), groups, ALL)
            merged = merge(groups._replace(tokens=attended), keys, self.prefix, self.rate)
            groups = merged._replace(tokens=_feed_forward(cast(Block, block), merged.tokens))
        return groups


def merge(groups: Groups, keys: Float[Tensor, "batch groups channels"], prefix: int, rate: int) -> Groups:
    """The same with `rate` cells fewer: tokens become the mean of what joins, weighted by sizes."""
    joined = merges(groups.tokens.shape[1] - prefix, rate)
    if not joined:
        return groups
    cells = prefix + match(keys[:, prefix:], joined)
    target = torch.cat([torch.arange(prefix, device=cells.device).expand(cells.shape[0], -1), cells], dim=1)
    batch, before, dim = groups.tokens.shape
    sizes = groups.sizes.new_zeros(batch, before - joined).scatter_add(1, target, groups.sizes)
    shares = (groups.sizes / sizes.gather(1, target)).to(groups.tokens.dtype)
    tokens = groups.tokens.new_zeros(batch, before - joined, dim)
    tokens = tokens.scatter_add(1, target[..., None].expand(-1, -1, dim), groups.tokens * shares[..., None])
    return Groups(tokens, sizes, target.gather(1, groups.members))


def match(keys: Float[Tensor, "batch cells channels"], joined: int) -> Int64[Tensor, "batch cells"]:
    """Where each cell goes when so many of every second one join the most similar (cosine) of the others.

    Bipartite soft matching: those whose partner is most similar join. The new places: the rest of the first half in
    their order, then the second half. joined: 1 to half of the cells.
    """
    unit = F.normalize(keys.float(), dim=-1)
    similarity, partner = (unit[:, ::2] @ unit[:, 1::2].mT).max(dim=-1)
    half = similarity.shape[1]
    left = half - joined
    order = similarity.argsort(dim=1, descending=True, stable=True)
    joins = torch.zeros_like(similarity, dtype=torch.bool).scatter(1, order[:, :joined], True)
    place = torch.empty(keys.shape[:2], dtype=torch.int64, device=keys.device)
    place[:, ::2] = torch.where(joins, left + partner, (~joins).cumsum(dim=1) - 1)
    place[:, 1::2] = torch.arange(left, left + keys.shape[1] - half, device=keys.device)
    return place


def _attend(
    block: Block, groups: Groups, returned: slice
) -> tuple[Float[Tensor, "batch returned dim"], Float[Tensor, "batch groups head_dim"]]:
    """The block's attention, in which a group counts as often as it has members; and the keys, mean over heads."""
    q, k, v = block.attn.queries_keys_values(block.norm1(groups.tokens), returned)
    count = groups.sizes.log().to(q.dtype)[:, None, None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=count)
    return groups.tokens[:, returned] + block.ls1(block.attn.proj(out.transpose(1, 2).flatten(2))), k.mean(dim=1)


def _feed_forward(block: Block, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
    return tokens + block.ls2(block.mlp(block.norm2(tokens)))
