"""Small models with random weights, and their inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.shapes import shapes_of
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere

M = TypeVar("M", bound=torch.nn.Module)

SMALL = Config(
    patch=4, dim=24, heads=3, extractor_depth=3, selector_depth=2, grid=(6, 6), thumbnail_grid=(3, 3), hidden=48
)
PUBLISHED = replace(SMALL, registers=2, prefix="replace", prefix_positions=False, layer_scale=True)
GATED = replace(PUBLISHED, registers=0, feed_forward="swiglu", hidden=64)
LABELLED = replace(SMALL, labels=("cat", "dog", "bird"))
PRUNING = replace(LABELLED, extractor_depth=5, prune=3)
ADDING = replace(LABELLED, looks=(0.125, 0.375), second_look="add")
SEGMENTING = replace(LABELLED, task="segment", decoder_channels=8, decoder_scale=2)
DETECTING = replace(LABELLED, task="detect", detect_channels=16)
CASCADE = replace(LABELLED, selector_depth=0, prefix="own", k=1.0, exits=((2, 2, 4, 0), (4, 4, 4, 0), (6, 6, 4, 0)))
KINDS = {"add": SMALL, "replace": PUBLISHED, "gated": GATED, "labelled": LABELLED}


def small(config: Config, seed: int = 0) -> LookWhere:
    """Make a model with every parameter drawn at random, also those that start at zero."""
    return filled(LookWhere(config), seed)


def small_cascade(config: Config = CASCADE, seed: int = 0) -> DVT:
    """Make a cascade over grids in the same way."""
    return filled(DVT(config, shapes_of(config)), seed)


def filled(model: M, seed: int = 0) -> M:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.eval().requires_grad_(False).parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (parameter.ndim == 1))
    return model


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """Pixels in 0..255 as these models read them, channels first, in a batch of one."""
    return ((torch.tensor(pixels) / 255 - 0.5) / 0.5).movedim(-1, -3)[None]


def some_cells(batch: int, k: int, cells: int, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(cells, generator=generator)[:k] for _ in range(batch)])


def chosen_at(
    patches: torch.Tensor, cells: torch.Tensor, grid: Grid, prefix_tokens: torch.Tensor, coarse: Coarse | None = None
) -> Chosen[torch.Tensor]:
    """Choose cells (batch, k) of pictures whose patches are all there, row by row."""
    return Chosen(torch.take_along_dim(patches, cells[:, :, None, None, None], 1), cells, grid, prefix_tokens, coarse)
