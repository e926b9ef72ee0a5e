"""Random views of photographs for distillation. A step's batch depends on the seed and the step alone.

So an interrupted run resumes to the same result, and processes that share a step share its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Reading, grid_for
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.training.augment import rand_augment, seeded

ASPECTS = (2 / 3, 3 / 2)
SQUARE_SHARE = 0.5
"""Half of the steps see squares, the others shapes drawn from ASPECTS: whole photographs are seldom square."""
JITTER = 4 / 3
"""A crop's shape differs from the grid's by up to this factor, so the view is squeezed or stretched a little."""


@dataclass(frozen=True)
class ViewRecipe:
    """How a view is drawn. Shares are of the picture's area; sizes in pixels."""

    sizes: tuple[int, ...] = (224,)
    """Drawn evenly; the view has about size x size pixels. Name one twice to draw it twice as often."""
    patch: int = 16
    k: tuple[int, int] = (16, 128)
    """Cells kept, drawn uniformly, both ends included; the same for the whole batch."""
    area: tuple[float, float] = (0.3, 1.0)
    magnitude: int = 9
    """RandAugment's, 0 to 30; 0 leaves it out."""
    mixed: float = 0.0
    """Share of the steps whose views are mixed in pairs."""


@dataclass(frozen=True)
class Step:
    """What one step's views have in common."""

    grid: Grid
    k: int
    mix: float
    """Share of the view's own pixels; the rest is another view's of the batch. 1 mixes nothing."""


def draw_step(recipe: ViewRecipe, seed: int, step: int) -> Step:
    """The step's grid, k and mix, from (seed, step) alone."""
    rng = np.random.default_rng((seed, step))
    size = int(rng.choice(recipe.sizes))
    aspect = 1.0 if rng.random() < SQUARE_SHARE else math.exp(rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1])))
    grid = grid_for(round(1000 / aspect), 1000, size, recipe.patch)
    k = min(int(rng.integers(recipe.k[0], recipe.k[1] + 1)), grid[0] * grid[1])
    mix = float(rng.uniform(0.5, 1.0)) if rng.random() < recipe.mixed else 1.0
    return Step(grid, k, mix)


class Views(Dataset[UInt8[Tensor, "batch 3 height width"]]):
    """A map from step to that step's batch of views, uint8.

    Several folders are drawn from evenly, whatever their sizes. `share` is (rank, processes): each process makes its
    own part of the batch. All photographs must be readable: see `drop_unreadable`.
    """

    def __init__(
        self, folders: Sequence[Sequence[str]], recipe: ViewRecipe, batch: int, seed: int, steps: int, share: Grid
    ) -> None:
        self.folders, self.recipe, self.batch, self.seed, self.steps = folders, recipe, batch, seed, steps
        self.rank, self.processes = share

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> UInt8[Tensor, "batch 3 height width"]:
        """This process's views of the step's batch."""
        grid = draw_step(self.recipe, self.seed, step).grid
        size = (grid[0] * self.recipe.patch, grid[1] * self.recipe.patch)
        mine = range(self.rank, self.batch, self.processes)
        return torch.stack([self._view(np.random.default_rng((self.seed, step, index)), size) for index in mine])

    def _view(self, rng: np.random.Generator, size: Grid) -> UInt8[Tensor, "3 height width"]:
        folder = self.folders[int(rng.integers(len(self.folders)))]
        # Twice the view's side: a crop of a quarter of the picture still has the pixels that the view asks for.
        reading = Reading(self.recipe.patch, 2 * max(self.recipe.sizes))
        picture = decode_file(folder[int(rng.integers(len(folder)))], reading).image()
        box = crop_box(picture.height, picture.width, size[1] / size[0], self.recipe.area, rng)
        view = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
        return augment(
            torch.from_numpy(np.array(view)).permute(2, 0, 1), self.recipe.magnitude, int(rng.integers(2**62))
        )


def crop_box(
    height: int, width: int, aspect: float, area: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """A random crop's (left, top, right, bottom) with about the wanted aspect (width / height), inside the picture."""
    share = rng.uniform(*area)
    shape = aspect * math.exp(rng.uniform(-1, 1) * math.log(JITTER))
    wide = min(width, math.sqrt(share * height * width * shape))
    high = min(height, math.sqrt(share * height * width / shape))
    left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
    return left, top, left + wide, top + high


def augment(view: UInt8[Tensor, "3 height width"], magnitude: int, seed: int) -> UInt8[Tensor, "3 height width"]:
    """Flip and RandAugment, by torchvision, from the seed alone."""
    import_timm()  # makes torchvision importable beside a CPU-only torch
    from torchvision.transforms import v2

    steps: list[torch.nn.Module] = [v2.RandomHorizontalFlip()]
    if magnitude:
        steps.append(rand_augment(magnitude))
    with seeded(seed):
        return v2.Compose(steps)(view)
