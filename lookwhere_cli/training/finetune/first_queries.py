"""Where the queries of pruning modules start: at what the model's own CLS attends to later.

The paper draws them at random, and auxiliary heads find out what matters on all of ImageNet. On few pictures they don't
get far, and meanwhile cells are dropped by chance. But the model that training starts from knows what matters: what
its CLS attends to in the later blocks. As much of that as a linear map of a token can tell is a module's first query.
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
from lookwhere_cli.training.finetune.batches import Batch
from lookwhere_cli.training.finetune.objective import Objective

PICTURES = 256  # hundreds of tokens each, for as many unknowns as a token has channels
RIDGE = 1e-2  # of the channels' mean variance: those that hardly vary get no large weights
LEAST = 1e-9  # attention that counts as none


class Moments(NamedTuple):
    """All that least squares need to know of tokens and of what is wanted of them."""

    gram: Float[Tensor, "dim dim"]
    product: Float[Tensor, " dim"]

    @classmethod
    def none(cls, like: Float[Tensor, "... dim"]) -> Moments:
        """Before anything was seen."""
        dim = like.shape[-1]
        return cls(like.new_zeros(dim, dim), like.new_zeros(dim))

    def plus(self, other: Moments) -> Moments:
        """Those of both parts of what was seen."""
        return Moments(self.gram + other.gram, self.product + other.product)


@torch.no_grad()
def start_queries(objective: Objective, batches: Iterable[Batch], over_all: Callable[[Tensor], Tensor]) -> None:
    """Set the single query of each pruning module, so that its softmax is near CLS' later attention.

    That is over all that may be dropped: cells, and coarse tokens where there are any. batches: with none, RuntimeError
    is raised. over_all: the sum of a tensor over all processes, each of which has batches of its own.
    """
    assert objective.auxiliaries is not None
    attending = [cast(Auxiliary, teacher).cross_attn for teacher in objective.auxiliaries]
    sums = [Moments.none(attention.queries) for attention in attending]
    for batch in batches:
        sums = [one.plus(more) for one, more in zip(sums, _moments(objective, attending, batch), strict=True)]
    for attention, (gram, product) in zip(attending, sums, strict=True):
        query = _least_squares(over_all(gram), over_all(product))
        attention.queries.copy_(query * len(gram) ** 0.5)  # attention divides by that again
    objective.hand_over()


def _moments(objective: Objective, attending: Sequence[CrossAttention], batch: Batch) -> list[Moments]:
    """For each module, of one batch; within a picture only differences between tokens count."""
    prefix = objective.model.config.prefix_tokens
    with _attended(objective.model.extractor.blocks) as attended:
        before = objective.before_pruning(batch)
    wanted = _centred(torch.stack(attended).mean(0)[:, prefix:].clamp_min(LEAST).log())
    each = []
    for attention, tokens in zip(attending, before, strict=True):
        cells = _centred(attention.normed(tokens)[:, prefix:].float())
        each.append(Moments(torch.einsum("bnd,bne->de", cells, cells), torch.einsum("bnd,bn->d", cells, wanted)))
    return each


def _centred(values: Tensor) -> Tensor:
    return values - values.mean(1, keepdim=True)


def _least_squares(gram: Float[Tensor, "dim dim"], product: Float[Tensor, " dim"]) -> Float[Tensor, " dim"]:
    damping = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), device=gram.device)
    return torch.linalg.solve(gram + damping, product)


@contextmanager
def _attended(blocks: nn.ModuleList) -> Iterator[list[Float[Tensor, "batch tokens"]]]:
    """Within, CLS' attention in each of the later half of the blocks is collected: shares, the mean over the heads."""
    found: list[Tensor] = []

    def remember(attention: Attention, inputs: tuple[Any, ...]) -> None:
        q, k, _ = attention.queries_keys_values(inputs[0], CLS)
        logits = q.float() @ k.float().mT / q.shape[-1] ** 0.5
        found.append(logits.softmax(-1).mean((1, 2)))

    with ExitStack() as hooks:
        for block in blocks[len(blocks) // 2 :]:
            hooks.enter_context(cast(Block, block).attn.register_forward_pre_hook(remember))
        yield found
