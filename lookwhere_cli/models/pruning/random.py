"""Pruning at random, which costs nothing: the baseline of learned pruning."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.cropr import Cropr
from lookwhere_cli.models.pruning.schedule import Pruning


class RandomPruning(nn.Module):
    """Takes a pruning module's place and draws the scores.

    generator: of the CPU; several modules may share it. With one seed, equal batches are pruned equally.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    @torch.no_grad()
    def forward(self, tokens: Float[Tensor, "batch tokens dim"], prefix: int) -> Int64[Tensor, "batch tokens"]:
        """Order the tokens: the prefix, then the cells in an order drawn for each picture."""
        scores = torch.rand(tokens.shape[:2], generator=self.generator).to(tokens.device)
        scores[:, :prefix] = torch.inf
        return scores.sort(dim=1, descending=True, stable=True).indices


def random_cropr(config: Config, pruning: Pruning, seed: int) -> Cropr:
    """Make a Cropr without weights that follows the schedule and drops cells at random. Raises ValueError as `Cropr`.

    As an extractor's `cropr` it prunes a model that was not trained for pruning. `macs.blocks.count_blocks` counts its
    multiply-adds.
    """
    cropr, generator = Cropr(config, pruning), torch.Generator().manual_seed(seed)
    for place in range(len(cropr)):
        cropr[place] = RandomPruning(generator)
    return cropr
