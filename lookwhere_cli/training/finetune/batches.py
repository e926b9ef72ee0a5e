"""Batches of labelled pictures. A step's batch depends on the seed and the step alone, as in pretraining."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lookwhere_cli.amounts import Amount, AmountLike
from lookwhere_cli.data.examples import Example
from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.data.regions import Regions
from lookwhere_cli.errors import DataError, PictureError
from lookwhere_cli.heads.training.base import TrainingHead
from lookwhere_cli.images.frame import Grid, Reading, grid_for
from lookwhere_cli.images.large.parts import decode_part, size_of_part
from lookwhere_cli.training.augment import Augmentation, augmented, fitted
from lookwhere_cli.training.finetune.coverage import region_coverage
from lookwhere_cli.training.mosaic import PARTS, mosaic
from lookwhere_cli.training.object_masks import as_targets, rasters_of
from lookwhere_cli.training.sample import Sample

AmountRange: TypeAlias = tuple[AmountLike, AmountLike]
"""The least and the largest amount of cells; two counts or two shares."""


T = TypeVar("T")


class TrainingBatch(NamedTuple):
    """Pictures of one grid, with their targets."""

    pictures: UInt8[Tensor, "batch 3 height width"]
    thumbnails: UInt8[Tensor, "batch 3 low narrow"]
    coarse: UInt8[Tensor, "batch 3 lower narrower"] | None
    """The whole pictures as the extractor reads them beside the cells."""
    targets: Tensor
    """What the task's `target` returns for each picture."""
    coverage: Float[Tensor, "batch cells"] | None
    """How much of each cell is worth reading, 0..1; all zeros for a picture with nothing, or of which it is unknown."""
    random_order: Int64[Tensor, "batch cells"]
    """All cells in an order drawn at random."""
    k: int
    covered_first: bool
    """True if the cells with the highest coverage are read before those that the selector would choose."""
    progress: float = 1.0
    """The share of the training that is done, 0..1."""
    added: int = 0
    """Cells that a second look adds to k; 0 for no second look."""
    comparable: bool = False
    """True if coverage tells how much each picture holds, compared with the others; all zeros then mean nothing."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Pictures that can't be read, so that others took their places: path and sentence of each."""


@dataclass(frozen=True)
class BatchRecipe:
    """How pictures become batches. Sizes in pixels."""

    size: int
    thumbnail_size: int
    coarse_size: int
    """0 for no coarse thumbnail."""
    patch: int
    k: AmountRange
    """Cells that are read, drawn evenly for each step."""
    batch: int
    """Pictures in a step, over all processes."""
    seed: int
    augmentation: Augmentation
    coverage_from_targets: bool = False
    """True if targets such as masks or boxes show which cells are worth reading."""
    added: AmountRange | None = None
    """Cells that a second look adds, drawn evenly; None for no second look."""
    masks: bool = False
    """True to read the outlines of objects, too."""
    eased_epochs: int | None = None
    """Epochs in which the training gets from easy to hard; None for all. Later ones are as hard as the last of them."""


class Batches(Dataset[TrainingBatch]):
    """A map from each step to its batch. Every epoch shows each picture once, in an order of its own.

    `share` is (rank, processes): each process makes its own part of a batch. A picture that can't be read any more is
    replaced by another one of its batch.
    """

    def __init__(
        self,
        head: TrainingHead,
        class_count: int,
        examples: Sequence[Example],
        regions: Regions | None,
        recipe: BatchRecipe,
        epochs: int,
        share: tuple[int, int],
    ) -> None:
        self.head, self.class_count, self.examples, self.regions = head, class_count, examples, regions
        self.recipe = recipe
        self.steps = epochs * self.per_epoch
        self.rank, self.processes = share
        # Decoded at twice the size, so that a crop of a quarter of the picture still has the pixels that it needs.
        self.reading = Reading(recipe.patch, 2 * recipe.size)

    def __len__(self) -> int:
        return self.steps

    @property
    def per_epoch(self) -> int:
        """Number of steps in an epoch. Pictures that do not fill a batch are left out; which, differs by epoch."""
        return max(1, len(self.examples) // self.recipe.batch)

    def __getitem__(self, step: int) -> TrainingBatch:
        """Make this process's part of a step's batch. Raises DataError if no picture can be read."""
        recipe, skipped = self.recipe, dict[str, str]()
        members = self._members(step)
        rng = np.random.default_rng((recipe.seed, 1, step))
        grid, progress = self._grid(step, members, skipped), self._progress(step)
        cells = grid[0] * grid[1]
        k = _draw_amount(recipe.k, cells, rng)
        seeds = rng.integers(2**62, size=len(members))
        places = range(self.rank, len(members), self.processes)
        loaded = [self._load(members, place, skipped) for place in places]
        samples = [
            self._sample(one, grid, int(seeds[place]), skipped) for place, (_, one) in zip(places, loaded, strict=True)
        ]
        targets = [self._target(example, sample) for (example, _), sample in zip(loaded, samples, strict=True)]
        orders = [np.random.default_rng(seeds[place]).permutation(cells) for place in places]
        return TrainingBatch(
            torch.stack([sample.picture for sample in samples]),
            self._thumbnails(samples, grid, recipe.thumbnail_size),
            self._thumbnails(samples, grid, recipe.coarse_size) if recipe.coarse_size else None,
            self.head.stack(targets),
            self._coverage(samples, targets, grid),
            torch.from_numpy(np.stack(orders)),
            k,
            covered_first=bool(rng.random() > progress),
            progress=progress,
            added=min(_draw_amount(recipe.added, cells, rng), cells - k) if recipe.added else 0,
            comparable=self.regions is None and self.head.teaches_selector,
            skipped=tuple(skipped.items()),
        )

    def _progress(self, step: int) -> float:
        """Return how far the training has come from easy to hard, 0..1."""
        eased = self.recipe.eased_epochs
        return min(1.0, step / (self.steps if eased is None else eased * self.per_epoch))

    def _members(self, step: int) -> list[int]:
        """Return the indices of a batch's examples."""
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.recipe.seed, 0, epoch)).permutation(len(self.examples))
        size = self.recipe.batch
        return list(np.resize(order, max(size, len(order)))[place * size : (place + 1) * size])

    def _grid(self, step: int, members: Sequence[int], skipped: dict[str, str]) -> Grid:
        """Return the grid of a batch, from the shape of its first picture: photographs are seldom square.

        With mosaics, as large a share of the batches is square instead, as windows are.
        """
        recipe = self.recipe
        if np.random.default_rng((recipe.seed, 2, step)).random() < recipe.augmentation.mosaic:
            return grid_for(recipe.size, recipe.size, recipe.size, recipe.patch)
        _, (height, width) = self._first_readable(members, 0, skipped, lambda example: size_of_part(example.path))
        return grid_for(height, width, recipe.size, recipe.patch)

    def _load(self, members: Sequence[int], place: int, skipped: dict[str, str]) -> tuple[Example, Sample]:
        """Load a member of the batch or, if it can't be read, the next one that can."""
        masks = self.recipe.masks
        return self._first_readable(
            members, place, skipped, lambda example: load_sample(example, self.regions, self.reading, masks)
        )

    def _first_readable(
        self, members: Sequence[int], place: int, skipped: dict[str, str], read: Callable[[Example], T]
    ) -> tuple[Example, T]:
        """Read the example at a place of the batch, else the next one in it, else any; note those that fail."""
        for member in (*members[place:], *members[:place], *range(len(self.examples))):
            example = self.examples[member]
            if example.path in skipped:
                continue
            try:
                return example, read(example)
            except PictureError as error:
                skipped[example.path] = str(error)
        raise DataError(
            "None of the training pictures can be read any more; bring them back, and the same command continues: "
            f"{next(iter(skipped.values()))}"
        )

    def _sample(self, sample: Sample, grid: Grid, seed: int, skipped: dict[str, str]) -> Sample:
        """Return a view of a sample or, with some probability, of parts of it and of others."""
        augmentation, patch = self.recipe.augmentation, self.recipe.patch
        size = grid[0] * patch, grid[1] * patch
        rng = np.random.default_rng((seed, 1))
        if rng.random() >= augmentation.mosaic:
            return augmented(sample, size, augmentation, seed)
        others = rng.integers(len(self.examples), size=PARTS - 1).tolist()
        samples = [sample, *(self._load(others, place, skipped)[1] for place in range(len(others)))]
        return mosaic([samples[place] for place in rng.permutation(PARTS)], size, augmentation, seed)

    def _thumbnails(self, samples: Sequence[Sample], grid: Grid, size: int) -> UInt8[Tensor, "batch 3 height width"]:
        patch = self.recipe.patch
        rows, columns = grid_for(*grid, size, patch)
        return torch.stack(
            [fitted(Sample(sample.picture), (rows * patch, columns * patch)).picture for sample in samples]
        )

    def _target(self, example: Example, sample: Sample) -> Tensor:
        annotation = sample.mask if sample.objects is None else _in_cells(sample, self.recipe.patch)
        return self.head.target(example.classes, annotation, self.class_count)

    def _coverage(
        self, samples: Sequence[Sample], targets: Sequence[Tensor], grid: Grid
    ) -> Float[Tensor, "batch cells"] | None:
        if self.regions is not None:
            return torch.stack([region_coverage(sample, grid, self.recipe.patch) for sample in samples])
        if not self.recipe.coverage_from_targets:
            return None
        shown = [self.head.coverage(target, grid) for target in targets]
        return torch.stack([one for one in shown if one is not None])


def load_sample(example: Example, regions: Regions | None, reading: Reading, masks: bool = False) -> Sample:
    """Load a picture at the scale that `reading` needs, with its mask and its regions. Raises PictureError.

    masks: True for the outlines of its objects, too.
    """
    decoded = decode_part(example.path, reading)
    pixels = decoded.image()
    boxes = regions.boxes(example.path) if regions else None
    region_mask = regions.mask(example.path) if regions else None
    objects, scale = example.objects, pixels.width / decoded.size[1]
    return Sample(
        torch.from_numpy(np.array(pixels)).permute(2, 0, 1),
        None if example.mask is None else _resize_mask(load_mask(example.mask), pixels.size),
        None if boxes is None else torch.from_numpy(boxes * scale),
        None if region_mask is None else _resize_mask(region_mask, pixels.size),
        None if objects is None else torch.from_numpy(objects.boxes * np.float32(scale)),
        None if objects is None else torch.from_numpy(np.stack([objects.classes, objects.crowd], 1).astype(np.float32)),
        rasters_of(objects) if masks and objects is not None else None,
    )


def _in_cells(sample: Sample, patch: int) -> Float[Tensor, "objects columns"]:
    """Return the sample's objects with lengths in cells, and their masks."""
    assert sample.objects is not None and sample.kinds is not None
    masks = () if sample.rasters is None else (as_targets(sample.rasters),)
    return torch.cat([sample.objects / patch, sample.kinds, *masks], dim=1)


def grid_of(
    pictures: UInt8[Tensor, "batch 3 height width"] | Float[Tensor, "batch 3 height width"], patch: int
) -> Grid:
    """Return the (rows, columns) of patches that pictures consist of."""
    return pictures.shape[-2] // patch, pictures.shape[-1] // patch


def _draw_amount(amounts: AmountRange, cells: int, rng: np.random.Generator) -> int:
    return int(rng.integers(Amount.parse(amounts[0]).resolve(cells), Amount.parse(amounts[1]).resolve(cells) + 1))


def _resize_mask(mask: np.ndarray[Any, Any], size: tuple[int, int]) -> UInt8[Tensor, "height width"]:
    """Resize a mask to (width, height)."""
    if mask.shape[::-1] != size:
        mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return torch.from_numpy(np.ascontiguousarray(mask))
