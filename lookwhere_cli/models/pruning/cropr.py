"""Token Cropr at work: between the blocks of a ViT, the tokens that a learned query attends to least are dropped.

"Token Cropr: Faster ViTs for Quite a Few Tasks", Bergner, Lippert, Mahendran, arXiv 2412.00965. What teaches the
queries is in `auxiliary`, and no part of a model that is saved.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import Counts, Pruning, check, eased, kept_counts, modules, pruning_of
from lookwhere_cli.models.vit import ALL

EPS = 1e-6  # of the modules' norms, whatever the backbone's


class Cropped(NamedTuple):
    """What the blocks give, and the places of the cells that are left, in the order in which their tokens stand."""

    tokens: Float[Tensor, "batch returned dim"]
    places: Int64[Tensor, "batch left"]
    """Among the cells that went in: 0 is the first token after the prefix. With fusion all of them are there."""


class PruningModule(nn.Module):
    """Scores cells by one query, the sum of all that were learned: what all of them would say, at the cost of one."""

    def __init__(self, config: Config, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim, EPS, elementwise_affine=False) if norm else nn.Identity()
        self.query = nn.Parameter(torch.zeros(config.dim), requires_grad=False)  # it learns by its auxiliary head

    def scores(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float32[Tensor, "batch tokens"]:
        """How much each token is attended to, before softmax and without its scale."""
        return F.linear(self.norm(tokens), self.query[None]).squeeze(-1).float()

    @torch.no_grad()
    def forward(self, tokens: Float[Tensor, "batch tokens dim"], prefix: int) -> Int64[Tensor, "batch tokens"]:
        """All tokens' places: the prefix, then the cells by score, best first; equal ones in the order they have."""
        scores = self.scores(tokens)
        scores[:, :prefix] = torch.inf
        return scores.sort(dim=1, descending=True, stable=True).indices


class Cropr(nn.ModuleList):
    """The pruning modules of a ViT: one after each block but the last or, with fusion, but the last two.

    Raises ValueError as `check_own`.
    """

    def __init__(self, config: Config, pruning: Pruning) -> None:
        super().__init__(PruningModule(config, pruning.norm) for _ in range(modules(config, pruning.fusion)))
        self.config = config
        self.pruning = pruning
        check_own(config, pruning)
        self._progress = 1.0
        self._seen: list[Tensor] | None = None

    def prune(self, pruning: Pruning, tokens: int) -> None:
        """Keep to another schedule from now on. Raises ValueError where it can't be kept to with so many tokens."""
        check(pruning, self.config, tokens)
        self.pruning = pruning

    def counts(self, tokens: int) -> Counts:
        """Tokens left after each module, of so many that go in; the prefix included."""
        return eased(kept_counts(self.pruning, self.config, tokens), tokens, self._progress)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], blocks: nn.ModuleList, returned: slice = ALL
    ) -> Cropped:
        """Tokens, prefix first, through all blocks; the last one computes the `returned` tokens only, not yet normed.

        The prefix is never dropped and stays in front. Cells stand in the order of their last score, best first; with
        fusion those that were dropped follow, in the order of their dropping.
        """
        batch, count = tokens.shape[:2]
        places = torch.arange(count, device=tokens.device).expand(batch, count)
        dropped: list[tuple[Tensor, Tensor]] = []
        for block, module, left in zip(blocks, self, self.counts(count), strict=False):
            tokens = block(tokens)
            if self._seen is not None:
                self._seen.append(tokens.detach())
            if left == tokens.shape[1]:
                continue
            best, rest = module(tokens, self.config.prefix_tokens).tensor_split((left,), dim=1)
            if self.pruning.fusion:
                dropped.append((_take(tokens, rest), places.gather(1, rest)))
            tokens, places = _take(tokens, best), places.gather(1, best)
        for block in blocks[len(self) : -1]:
            tokens = block(tokens)
        tokens = torch.cat([tokens, *(part for part, _ in dropped)], dim=1)
        places = torch.cat([places, *(part for _, part in dropped)], dim=1)
        prefix = self.config.prefix_tokens
        return Cropped(blocks[-1](tokens, returned), places[:, prefix:] - prefix)

    @contextmanager
    def watched(self, progress: float = 1.0) -> Iterator[list[Float[Tensor, "batch tokens dim"]]]:
        """For training: within, what each module has before it prunes is collected, without its gradient.

        progress: how far the training has come (0..1); in its first half less is dropped than in the end.
        """
        self._progress, self._seen = progress, []
        try:
            yield self._seen
        finally:
            self._progress, self._seen = 1.0, None


def check_own(config: Config, pruning: Pruning | None) -> None:
    """Raise ValueError where the schedule can't be kept to with the model's own grid and k."""
    if pruning is not None:
        check(pruning, config, config.prefix_tokens + config.k.resolve(config.cells))


def cropr_of(config: Config) -> Cropr | None:
    """The pruning modules that a config asks for, if any. Raises ValueError as `check_own`."""
    pruning = pruning_of(config)
    return Cropr(config, pruning) if pruning else None


@contextmanager
def surviving(cropr: Cropr | None) -> Iterator[list[Int64[Tensor, "batch left"]]]:
    """Within, the places of the cells that no module drops are collected, best first, of each pass; as in `Cropped`."""
    survivors: list[Tensor] = []
    if cropr is None:
        yield survivors
        return

    def remember(module: Cropr, inputs: tuple[Tensor, ...], cropped: Cropped) -> None:
        count = module.counts(inputs[0].shape[1])[-1] - module.config.prefix_tokens
        survivors.append(cropped.places[:, :count])

    with cropr.register_forward_hook(remember):
        yield survivors


def put_back(
    tokens: Float[Tensor, "batch left dim"], places: Int64[Tensor, "batch left"]
) -> Float[Tensor, "batch left dim"]:
    """Cells' tokens in the order in which the cells went in, as far as they are left."""
    return _take(tokens, places.argsort(dim=1))


def _take(
    tokens: Float[Tensor, "batch tokens dim"], places: Int64[Tensor, "batch taken"]
) -> Float[Tensor, "batch taken dim"]:
    """Whole rows of one long table: many times faster than `gather`, channel by channel."""
    batch, count = tokens.shape[:2]
    start = count * torch.arange(batch, device=tokens.device)[:, None]
    return F.embedding(start + places, tokens.flatten(0, 1))
