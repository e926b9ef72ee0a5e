"""Random views of photographs for distillation. A step's batch depends on the seed and the step alone.

So an interrupted run resumes to the same result, and processes that share a step share its batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lookwhere_cli.checkpoints.timm_package import import_timm
from lookwhere_cli.errors import DataError, PictureError
from lookwhere_cli.images.frame import Reading, grid_for
from lookwhere_cli.images.large.parts import decode_part
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.training.augment import colour_jitter, rand_augment, seeded

ASPECTS = (2 / 3, 3 / 2)
COARSE_STEPS = 0.5
TRIES = 100
"""Photographs that are tried for one view."""
JITTER = 4 / 3
"""A crop's aspect differs from the grid's by up to this factor, so the view is squeezed or stretched a little."""


@dataclass(frozen=True)
class ViewRecipe:
    """How views are drawn. Shares are of the photograph's area, sizes in pixels."""

    sizes: tuple[int, ...] = (224,)
    """A step draws one, evenly; its views have about size x size pixels. Repeat a size to draw it more often."""
    patch: int = 16
    k: tuple[int, int] = (16, 128)
    """Least and largest number of cells that are read, drawn evenly for each step."""
    area: tuple[float, float] = (0.3, 1.0)
    """Least and largest share of the photograph that a crop covers."""
    squares: float = 0.5
    """Share of the steps with square views; the others have shapes drawn from ASPECTS, as photographs have."""
    colour: float = 0.0
    """Largest change of brightness, contrast and saturation, as a share of each, 0..1."""
    magnitude: int = 9
    """RandAugment's magnitude, 0 to 30; 0 for none."""
    mixed: float = 0.0
    """Share of the steps whose views are mixed in pairs."""
    coarse: int = 0
    """Size of a coarse thumbnail that the student also reads in COARSE_STEPS of the steps; 0: in none."""


@dataclass(frozen=True)
class StepDraw:
    """What the views of one step have in common.

    mix: the share of a view's own pixels; the rest is another view of the batch. 1 mixes nothing.
    coarse: size of the coarse thumbnail in pixels; 0: none.
    """

    grid: Grid
    k: int
    mix: float
    coarse: int


class ViewBatch(NamedTuple):
    """A step's views, or one process's part of them; `k`, `mix` and `coarse` as in `StepDraw`.

    skipped: photographs that can't be read, so that others were drawn: path and sentence of each.
    """

    pictures: UInt8[Tensor, "batch 3 height width"]
    k: int
    mix: float
    coarse: int = 0
    skipped: tuple[tuple[str, str], ...] = ()


def draw_step(recipe: ViewRecipe, seed: int, step: int) -> StepDraw:
    """Draw what the views of a step have in common, from seed and step alone."""
    rng = np.random.default_rng((seed, step))
    size = int(rng.choice(recipe.sizes))
    aspect = 1.0 if rng.random() < recipe.squares else math.exp(rng.uniform(math.log(ASPECTS[0]), math.log(ASPECTS[1])))
    grid = grid_for(round(1000 / aspect), 1000, size, recipe.patch)
    k = min(int(rng.integers(recipe.k[0], recipe.k[1] + 1)), grid[0] * grid[1])
    mix = float(rng.uniform(0.5, 1.0)) if rng.random() < recipe.mixed else 1.0
    coarse = recipe.coarse if recipe.coarse and rng.random() < COARSE_STEPS else 0
    return StepDraw(grid, k, mix, coarse)


class Views(Dataset[ViewBatch]):
    """A map from each step to its views.

    Folders are drawn from evenly, whatever their sizes. `share` is (rank, processes): each process makes its own part
    of a batch. Instead of a photograph that can't be read any more, another one is drawn.
    """

    def __init__(
        self,
        folders: Sequence[Sequence[str]],
        recipe: ViewRecipe,
        batch: int,
        seed: int,
        steps: int,
        share: tuple[int, int],
    ) -> None:
        self.folders, self.recipe, self.batch, self.seed, self.steps = folders, recipe, batch, seed, steps
        self.rank, self.processes = share

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> ViewBatch:
        """Draw this process's part of a step's batch."""
        draw = draw_step(self.recipe, self.seed, step)
        size = (draw.grid[0] * self.recipe.patch, draw.grid[1] * self.recipe.patch)
        places = range(self.rank, self.batch, self.processes)
        skipped: dict[str, str] = {}
        views = [self._view(np.random.default_rng((self.seed, step, place)), size, skipped) for place in places]
        return ViewBatch(torch.stack(views), draw.k, draw.mix, draw.coarse, tuple(skipped.items()))

    def _photograph(self, rng: np.random.Generator, skipped: dict[str, str]) -> Image.Image:
        """Draw a photograph until one can be read. Raises DataError if that takes too long."""
        # Decoded at twice the view's side, so that a crop of a quarter of the picture still has the view's pixels.
        reading = Reading(self.recipe.patch, 2 * max(self.recipe.sizes))
        for _ in range(TRIES):
            folder = self.folders[int(rng.integers(len(self.folders)))]
            path = folder[int(rng.integers(len(folder)))]
            try:
                return decode_part(path, reading).image()
            except PictureError as error:
                skipped[path] = str(error)
        raise DataError(f"{TRIES} photographs in a row can't be read any more: {next(iter(skipped.values()))}")

    def _view(
        self, rng: np.random.Generator, size: tuple[int, int], skipped: dict[str, str]
    ) -> UInt8[Tensor, "3 height width"]:
        picture = self._photograph(rng, skipped)
        box = crop_box(picture.height, picture.width, size[1] / size[0], self.recipe.area, rng)
        view = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
        pixels = torch.from_numpy(np.array(view)).permute(2, 0, 1)
        return augment_view(pixels, self.recipe, int(rng.integers(2**62)))


def crop_box(
    height: int, width: int, aspect: float, area: tuple[float, float], rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Draw a crop of about this aspect (width / height): (left, top, right, bottom) inside the picture."""
    share = rng.uniform(*area)
    shape = aspect * math.exp(rng.uniform(-1, 1) * math.log(JITTER))
    crop_width = min(width, math.sqrt(share * height * width * shape))
    crop_height = min(height, math.sqrt(share * height * width / shape))
    left, top = rng.uniform(0, width - crop_width), rng.uniform(0, height - crop_height)
    return left, top, left + crop_width, top + crop_height


def augment_view(
    view: UInt8[Tensor, "3 height width"], recipe: ViewRecipe, seed: int
) -> UInt8[Tensor, "3 height width"]:
    """Flip the view at random, change its colours and apply RandAugment, by torchvision, from the seed alone."""
    import_timm()  # makes torchvision importable beside a CPU-only torch
    from torchvision.transforms import v2

    steps: list[torch.nn.Module] = [v2.RandomHorizontalFlip()]
    if recipe.colour:
        steps.append(colour_jitter(recipe.colour))
    if recipe.magnitude:
        steps.append(rand_augment(recipe.magnitude))
    with seeded(seed):
        return v2.Compose(steps)(view)
