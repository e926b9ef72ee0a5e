"""Token merging: in each block, some cells are merged into the cells that they resemble most, without any training.

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
    """Tokens that stand for one or several cells; prefix tokens come first, each alone.

    sizes: how many input tokens each is the mean of. members: the group of each input token.
    """

    tokens: Float[Tensor, "batch groups dim"]
    sizes: Float32[Tensor, "batch groups"]
    members: Int64[Tensor, "batch tokens"]


class ToMe(nn.Module):
    """Merges `rate` cells in each block but the last, at most half of them. It has no weights.

    As an extractor's `cropr` it serves a model that was not trained for merging; every cell gets its group's token.
    `macs.blocks.count_merged_blocks` counts its multiply-adds. Raises ValueError for a negative rate.
    """

    def __init__(self, config: Config, rate: int) -> None:
        super().__init__()
        if rate < 0:
            raise ValueError(f"a rate of {rate} cells is impossible; it must be at least 0")
        self.prefix, self.rate = config.prefix_tokens, rate

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], blocks: nn.ModuleList, returned: slice = ALL
    ) -> Cropped:
        """Run all blocks and return the `returned` tokens, without the final norm, in the order of the input.

        tokens: the prefix first. returned: some of the prefix, all cells, or all tokens.
        """
        groups = self.group(tokens, blocks)
        last = cast(Block, blocks[-1])
        attended, _ = _attend(last, groups, returned)
        out = _feed_forward(last, attended)
        batch, count = tokens.shape[:2]
        first = returned.start or 0
        if returned.stop is None or returned.stop > self.prefix:
            of_tokens = groups.members[:, first:] - first
            out = out.gather(1, of_tokens[..., None].expand(-1, -1, out.shape[-1]))
        return Cropped(out, torch.arange(count - self.prefix, device=tokens.device).expand(batch, -1))

    def group(self, tokens: Float[Tensor, "batch tokens dim"], blocks: nn.ModuleList) -> Groups:
        """Run all blocks but the last."""
        batch, count = tokens.shape[:2]
        ones = torch.ones(batch, count, device=tokens.device)
        groups = Groups(tokens, ones, torch.arange(count, device=tokens.device).expand(batch, -1))
        for block in blocks[:-1]:
            attended, keys = _attend(cast(Block, block), groups, ALL)
            merged = merge(groups._replace(tokens=attended), keys, self.prefix, self.rate)
            groups = merged._replace(tokens=_feed_forward(cast(Block, block), merged.tokens))
        return groups


def merge(groups: Groups, keys: Float[Tensor, "batch groups channels"], prefix: int, rate: int) -> Groups:
    """Merge `rate` cells, by similarity of their keys: a group's token becomes the mean of its cells' tokens."""
    merged = merges(groups.tokens.shape[1] - prefix, rate)
    if not merged:
        return groups
    cells = prefix + match(keys[:, prefix:], merged)
    target = torch.cat([torch.arange(prefix, device=cells.device).expand(cells.shape[0], -1), cells], dim=1)
    batch, before, dim = groups.tokens.shape
    sizes = groups.sizes.new_zeros(batch, before - merged).scatter_add(1, target, groups.sizes)
    shares = (groups.sizes / sizes.gather(1, target)).to(groups.tokens.dtype)
    tokens = groups.tokens.new_zeros(batch, before - merged, dim)
    tokens = tokens.scatter_add(1, target[..., None].expand(-1, -1, dim), groups.tokens * shares[..., None])
    return Groups(tokens, sizes, target.gather(1, groups.members))


def match(keys: Float[Tensor, "batch cells channels"], merged: int) -> Int64[Tensor, "batch cells"]:
    """Return the new place of each cell if `merged` (1 to half) of the even cells join odd ones.

    Bipartite soft matching: each even cell's partner is the odd cell with the most similar key (cosine), and the even
    cells with the most similar partners join. The remaining even cells come first, in their order, then the odd ones.
    """
    unit = F.normalize(keys.float(), dim=-1)
    similarity, partner = (unit[:, ::2] @ unit[:, 1::2].mT).max(dim=-1)
    even = similarity.shape[1]
    remaining = even - merged
    order = similarity.argsort(dim=1, descending=True, stable=True)
    joins = torch.zeros_like(similarity, dtype=torch.bool).scatter(1, order[:, :merged], True)
    place = torch.empty(keys.shape[:2], dtype=torch.int64, device=keys.device)
    place[:, ::2] = torch.where(joins, remaining + partner, (~joins).cumsum(dim=1) - 1)
    place[:, 1::2] = torch.arange(remaining, remaining + keys.shape[1] - even, device=keys.device)
    return place


def _attend(
    block: Block, groups: Groups, returned: slice
) -> tuple[Float[Tensor, "batch returned dim"], Float[Tensor, "batch groups head_dim"]]:
    """Compute the block's attention, in which a group counts once for each member; and the keys, mean over heads."""
    q, k, v = block.attn.queries_keys_values(block.norm1(groups.tokens), returned)
    count = groups.sizes.log().to(q.dtype)[:, None, None]
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=count)
    return groups.tokens[:, returned] + block.ls1(block.attn.proj(out.transpose(1, 2).flatten(2))), k.mean(dim=1)


def _feed_forward(block: Block, tokens: Float[Tensor, "batch tokens dim"]) -> Float[Tensor, "batch tokens dim"]:
    return tokens + block.ls2(block.mlp(block.norm2(tokens)))
