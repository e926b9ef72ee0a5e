"""The first queries of pruning modules: they predict what the model's own CLS attends to in later blocks.

The paper draws queries at random, and auxiliary heads learn on all of ImageNet which tokens matter. On few pictures
they learn little, and meanwhile cells are dropped by chance. But the CLS of the model that training starts from already
attends to the tokens that matter. A module's first query is the linear map of a token that predicts this best.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lookwhere_cli.models.pruning.auxiliary import Auxiliary, CrossAttention
from lookwhere_cli.models.vit import CLS, Attention, Block
from lookwhere_cli.training.finetune.batches import TrainingBatch
from lookwhere_cli.training.finetune.objective import Objective

PICTURES = 256  # with hundreds of tokens each, against one unknown for each channel of a token
RIDGE = 1e-2  # share of the channels' mean variance: keeps the weights of channels that hardly vary small
LEAST = 1e-9  # lower bound of attention, before its logarithm


class Moments(NamedTuple):
    """The sums over tokens that least squares needs: of x x^T and of x y."""

    gram: Float[Tensor, "dim dim"]
    product: Float[Tensor, " dim"]

    @classmethod
    def zeros(cls, like: Float[Tensor, "... dim"]) -> Moments:
        """Return the sums over no tokens, with the channels of `like`."""
        dim = like.shape[-1]
        return cls(like.new_zeros(dim, dim), like.new_zeros(dim))

    def add(self, other: Moments) -> Moments:
        """Return the sums over the tokens of both."""
        return Moments(self.gram + other.gram, self.product + other.product)


@torch.no_grad()
def start_queries(
    objective: Objective, batches: Iterable[TrainingBatch], sum_over_processes: Callable[[Tensor], Tensor]
) -> None:
    """Set the single query of each pruning module so that its softmax approximates the later attention of CLS.

    Both are over the tokens that may be dropped: cells and coarse tokens. sum_over_processes: each process has its own
    part of the batches. Raises RuntimeError without a batch.
    """
    assert objective.auxiliaries is not None
    attentions = [cast(Auxiliary, auxiliary).cross_attn for auxiliary in objective.auxiliaries]
    sums = [Moments.zeros(attention.queries) for attention in attentions]
    for batch in batches:
        sums = [one.add(more) for one, more in zip(sums, _moments(objective, attentions, batch), strict=True)]
    for attention, (gram, product) in zip(attentions, sums, strict=True):
        query = _least_squares(sum_over_processes(gram), sum_over_processes(product))
        attention.queries.copy_(query * len(gram) ** 0.5)  # which attention divides by
    objective.after_step()


def _moments(objective: Objective, attentions: Sequence[CrossAttention], batch: TrainingBatch) -> list[Moments]:
    """Return each module's sums over a batch; only differences between the tokens of a picture count."""
    prefix = objective.model.config.prefix_tokens
    with _cls_attention(objective.model.extractor.blocks) as shares:
        inputs = objective.inputs_of_pruning(batch)
    target = _centred(torch.stack(shares).mean(0)[:, prefix:].clamp_min(LEAST).log())
    moments = []
    for attention, tokens in zip(attentions, inputs, strict=True):
        cells = _centred(attention.normed(tokens)[:, prefix:].float())
        moments.append(Moments(torch.einsum("bnd,bne->de", cells, cells), torch.einsum("bnd,bn->d", cells, target)))
    return moments


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _least_squares(gram: Float[Tensor, "dim dim"], product: Float[Tensor, " dim"]) -> Float[Tensor, " dim"]:
    damping = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    return torch.linalg.solve(gram + damping, product)


@contextmanager
def _cls_attention(blocks: nn.ModuleList) -> Iterator[list[Float[Tensor, "batch tokens"]]]:
    """Collect the attention of CLS in each block of the later half: shares of the tokens, averaged over the heads."""
    shares: list[Tensor] = []

    def remember(attention: Attention, inputs: tuple[Any, ...]) -> None:
        """Add this block's shares, computed in float32."""
        q, k, _ = attention.queries_keys_values(inputs[0], CLS)
        logits = q.float() @ k.float().mT / q.shape[-1] ** 0.5
        shares.append(logits.softmax(-1).mean((1, 2)))

    with ExitStack() as hooks:
        for block in blocks[len(blocks) // 2 :]:
            hooks.enter_context(cast(Block, block).attn.register_forward_pre_hook(remember))
        yield shares
