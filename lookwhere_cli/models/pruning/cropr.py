"""Token Cropr: between the blocks of a ViT, the tokens that a learned query attends to least are dropped.

"Token Cropr: Faster ViTs for Quite a Few Tasks", Bergner, Lippert, Mahendran, arXiv 2412.00965. What trains the queries
is in `auxiliary`, and is not saved with a model; for boxes, the cells that they cover train the queries themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import (
    Counts,
    Pruning,
    check_own_schedule,
    check_schedule,
    count_modules,
    ease_counts,
    pruning_of,
    remaining_counts,
)
from lookwhere_cli.models.vit import ALL

EPS = 1e-6
"""Epsilon of the modules' norms, whatever the backbone's."""


class Cropped(NamedTuple):
    """Tokens after the last block.

    places: which cells remain, in the order of their tokens, counted among the cells that went in (0 is the first token
    after the prefix). With fusion all cells remain.
    """

    tokens: Float[Tensor, "batch returned dim"]
    places: Int64[Tensor, "batch remaining"]


class RecordedInputs(list[Float[Tensor, "batch _ dim"]]):
    """The tokens that each module scores.

    places: (batch, tokens) int64 for each module: which token each was before the first module, prefix included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Int64[Tensor, "batch _"]] = []


class PruningModule(nn.Module):
    """Scores tokens by one query: the sum of all learned queries, which costs as much as a single one."""

    def __init__(self, config: Config, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim, EPS, elementwise_affine=False) if norm else nn.Identity()
        self.query = nn.Parameter(torch.zeros(config.dim), requires_grad=False)  # see `learn_queries`

    def scores(self, tokens: Float[Tensor, "batch tokens dim"]) -> Float32[Tensor, "batch tokens"]:
        """Compute how much each token is attended to, before softmax and without the scale."""
        return F.linear(self.norm(tokens), self.query[None]).squeeze(-1).float()

    @torch.no_grad()
    def forward(self, tokens: Float[Tensor, "batch tokens dim"], prefix: int) -> Int64[Tensor, "batch tokens"]:
        """Order the tokens: the prefix, then the cells by score, best first; equal scores keep their order."""
        scores = self.scores(tokens)
        scores[:, :prefix] = torch.inf
        return scores.sort(dim=1, descending=True, stable=True).indices


class Cropr(nn.ModuleList):
    """The pruning modules of a ViT: one after each block but the last or, with fusion, but the last two.

    Raises ValueError if the schedule is impossible with the model's own grid and k.
    """

    def __init__(self, config: Config, pruning: Pruning) -> None:
        super().__init__(PruningModule(config, pruning.norm) for _ in range(count_modules(config, pruning.fusion)))
        self.config = config
        self.pruning = pruning
        check_own_schedule(config, pruning)
        self._progress = 1.0
        self._inputs: RecordedInputs | None = None

    def learn_queries(self) -> None:
        """Let an optimiser train the queries, which are copied from auxiliary heads otherwise."""
        self.requires_grad_()

    def scores(self, inputs: RecordedInputs) -> list[Float32[Tensor, "batch _"]]:
        """Compute each module's scores of the tokens that it scored, with their gradient."""
        return [cast(PruningModule, module).scores(tokens) for module, tokens in zip(self, inputs, strict=True)]

    def set_schedule(self, pruning: Pruning, tokens: int) -> None:
        """Use another schedule from now on. Raises ValueError if it is impossible with `tokens` tokens."""
        check_schedule(pruning, self.config, tokens)
        self.pruning = pruning

    def counts(self, tokens: int) -> Counts:
        """Return the number of tokens after each module, of `tokens` before the first; the prefix included."""
        return ease_counts(remaining_counts(self.pruning, self.config, tokens), tokens, self._progress)

    def forward(
        self, tokens: Float[Tensor, "batch tokens dim"], blocks: nn.ModuleList, returned: slice = ALL
    ) -> Cropped:
        """Run all blocks; the last one computes only the `returned` tokens, without the final norm.

        The prefix is never dropped and stays in front. Cells are in the order of their last score, best first; with
        fusion the dropped ones follow, in the order in which they were dropped.
        """
        batch, count = tokens.shape[:2]
        places = torch.arange(count, device=tokens.device).expand(batch, count)
        dropped: list[tuple[Tensor, Tensor]] = []
        for block, module, remaining in zip(blocks, self, self.counts(count), strict=False):
            tokens = block(tokens)
            if self._inputs is not None:
                self._inputs.append(tokens)
                self._inputs.places.append(places)
            if remaining == tokens.shape[1]:
                continue
            best, rest = module(tokens, self.config.prefix_tokens).tensor_split((remaining,), dim=1)
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
    def record_inputs(self, progress: float = 1.0) -> Iterator[RecordedInputs]:
        """For training: collect the tokens that each module scores.

        progress: how far the training has come (0..1); in its first half fewer tokens are dropped.
        """
        self._progress, self._inputs = progress, RecordedInputs()
        try:
            yield self._inputs
        finally:
            self._progress, self._inputs = 1.0, None


def cropr_of(config: Config) -> Cropr | None:
    """Make the pruning modules of a config, None if it has none. Raises ValueError as `Cropr`."""
    pruning = pruning_of(config)
    return Cropr(config, pruning) if pruning else None


@contextmanager
def record_survivors(cropr: Cropr | None) -> Iterator[list[Int64[Tensor, "batch remaining"]]]:
    """Collect, for each pass, the places of the cells that no module drops, best first; see `Cropped.places`."""
    survivors: list[Tensor] = []
    if cropr is None:
        yield survivors
        return

    def record(module: Cropr, inputs: tuple[Any, ...], cropped: Cropped) -> None:
        """Add the places of a pass, (batch, remaining)."""
        count = module.counts(inputs[0].shape[1])[-1] - module.config.prefix_tokens
        survivors.append(cropped.places[:, :count])

    with cropr.register_forward_hook(record):
        yield survivors


def restore_order(
    tokens: Float[Tensor, "batch remaining dim"], places: Int64[Tensor, "batch remaining"]
) -> Float[Tensor, "batch remaining dim"]:
    """Sort the tokens of the remaining cells by their places: into the order in which the cells went in."""
    return _take(tokens, places.argsort(dim=1))


def _take(
    tokens: Float[Tensor, "batch tokens dim"], places: Int64[Tensor, "batch taken"]
) -> Float[Tensor, "batch taken dim"]:
    """Take tokens as whole rows of one long table: many times faster than `gather`, which goes channel by channel."""
    batch, count = tokens.shape[:2]
    start = count * torch.arange(batch, device=tokens.device)[:, None]
    return F.embedding(start + places, tokens.flatten(0, 1))
