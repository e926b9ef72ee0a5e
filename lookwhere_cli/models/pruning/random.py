"""Pruning by chance, which costs nothing: what a learned choice has to beat."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.cropr import Cropr
from lookwhere_cli.models.pruning.schedule import Pruning


class RandomPruning(nn.Module):
    """In a pruning module's place: scores are drawn. The same pictures in the same batches are pruned alike."""

    def __init__(self, generator: torch.Generator) -> None:
        """generator: one of the CPU's; several modules may share it."""
        super().__init__()
        self.generator = generator

    @torch.no_grad()
    def forward(self, tokens: Float[Tensor, "batch tokens dim"], prefix: int) -> Int64[Tensor, "batch tokens"]:
        """All tokens' places: the prefix, then the cells in an order drawn for each picture."""
        scores = torch.rand(tokens.shape[:2], generator=self.generator).to(tokens.device)
        scores[:, :prefix] = torch.inf
        return scores.sort(dim=1, descending=True, stable=True).indices


def random_cropr(config: Config, pruning: Pruning, seed: int) -> Cropr:
    """A Cropr that keeps to the schedule and draws what it drops; it has no weights. Raises ValueError as `Cropr`.

    In an extractor's `cropr` it prunes a model that was never trained for it. Its multiply-adds are those of the pruned
    blocks, `cost.blocks_macs`.
    """
    cropr, generator = Cropr(config, pruning), torch.Generator().manual_seed(seed)
    for place in range(len(cropr)):
        cropr[place] = RandomPruning(generator)
    return cropr
