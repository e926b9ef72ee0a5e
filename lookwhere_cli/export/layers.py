"""A ViT's layers as modules to trace: the same results by fewer operations.

onnxruntime spends a few microseconds on each operation, however small, and passes over memory for each that is not part
of a matrix product. So factors and normalisation are multiplied into the weights of the product that follows, each
bias is part of its product, and nothing is transposed when a graph runs that can be transposed before.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.vit import ALL, Attention, Block, FeedForward, LayerScale, PatchEmbed

LEVELS = 255.0


class TracedLinear(nn.Module):
    """A linear layer on rows of numbers, of which ONNX has one operation with the bias."""

    def __init__(self, weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: Float[Tensor, "rows in"]) -> Float[Tensor, "rows out"]:
        """Compute each row alone."""
        return F.linear(x, self.weight, self.bias)


class TracedPatches(nn.Module):
    """A patch embedding of pixels in 0..255, channels last: normalisation is part of its weights."""

    def __init__(self, embed: PatchEmbed, config: Config) -> None:
        super().__init__()
        # 1 / 255 is left out: as float16, weights that are so small would lose digits.
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        weight = embed.proj.weight.detach().permute(0, 2, 3, 1)
        bias = embed.proj.bias
        assert bias is not None
        self.linear = TracedLinear((weight / std).flatten(1), bias - (weight * (mean / std)).sum((1, 2, 3)))

    def forward(self, pixels: Shaped[Tensor, "batch cells *sides 3"]) -> Float32[Tensor, "batch cells dim"]:
        """Return a token for each patch."""
        batch, cells = pixels.shape[:2]
        return self.linear((pixels.float() * (1 / LEVELS)).reshape(batch * cells, -1)).unflatten(0, (batch, cells))


class TracedBlock(nn.Module):
    """A block of a ViT, whose factors are part of its weights."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        assert isinstance(block, Block)
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.attention = TracedAttention(block.attn, block.ls1)
        self.mlp = TracedFeedForward(block.mlp, block.ls2)

    def forward(
        self, x: Float[Tensor, "batch tokens dim"], returned: slice = ALL
    ) -> Float[Tensor, "batch returned dim"]:
        """Return the `returned` tokens; of the others only keys and values are computed."""
        kept = x[:, returned]
        batch, tokens = kept.shape[:2]
        rows = kept.flatten(0, 1) + self.attention(self.norm1(x), returned)
        return (rows + self.mlp(self.norm2(rows))).unflatten(0, (batch, tokens))


class TracedAttention(nn.Module):
    """Multi-head self-attention, with queries that are scaled by their weights."""

    def __init__(self, attention: Attention, scale: nn.Module) -> None:
        super().__init__()
        weight, bias = attention.qkv.weight, attention.qkv.bias
        self.heads, self.dim = attention.heads, weight.shape[1]
        factor = (self.dim // self.heads) ** -0.5
        self.queries = TracedLinear(weight[: self.dim] * factor, bias[: self.dim] * factor)
        self.keys_values = TracedLinear(weight[self.dim :], bias[self.dim :])
        self.proj = _scaled(attention.proj, scale)

    def forward(self, x: Float[Tensor, "batch tokens dim"], returned: slice) -> Float[Tensor, "rows dim"]:
        """Return the `returned` tokens of all pictures, row by row."""
        kept, rows = x[:, returned], x.flatten(0, 1)
        q = self._by_head(self.queries(kept.flatten(0, 1)), kept).transpose(1, 2)
        k, v = (self._by_head(part, x) for part in self.keys_values(rows).chunk(2, dim=-1))
        mixed = torch.softmax(q @ k.permute(0, 2, 3, 1), dim=-1) @ v.transpose(1, 2)
        return self.proj(mixed.transpose(1, 2).reshape(-1, self.dim))

    def _by_head(
        self, rows: Float[Tensor, "rows dim"], like: Float[Tensor, "batch tokens dim"]
    ) -> Float[Tensor, "batch tokens heads head_dim"]:
        return rows.reshape(like.shape[0], like.shape[1], self.heads, self.dim // self.heads)


class TracedFeedForward(nn.Module):
    """The block's MLP."""

    def __init__(self, mlp: FeedForward, scale: nn.Module) -> None:
        super().__init__()
        self.gated = mlp.gated
        self.fc1, self.fc2 = TracedLinear(mlp.fc1.weight, mlp.fc1.bias), _scaled(mlp.fc2, scale)

    def forward(self, x: Float[Tensor, "rows dim"]) -> Float[Tensor, "rows dim"]:
        """Compute each row alone."""
        hidden = self.fc1(x)
        if self.gated:
            gate, value = hidden.chunk(2, dim=-1)
            return self.fc2(F.silu(gate) * value)
        return self.fc2(F.gelu(hidden))


def _scaled(linear: nn.Linear, scale: nn.Module) -> TracedLinear:
    """Return a linear layer and the factors of its channels, if there are any, as one layer."""
    if not isinstance(scale, LayerScale):
        return TracedLinear(linear.weight, linear.bias)
    return TracedLinear(linear.weight * scale.gamma[:, None], linear.bias * scale.gamma)
