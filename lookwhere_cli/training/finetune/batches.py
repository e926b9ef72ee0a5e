"""Batches of labelled pictures. A step's batch depends on the seed and the step alone, as in pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from lookwhere_cli.amounts import Amount, AmountLike
from lookwhere_cli.data.examples import Example, Kind
from lookwhere_cli.data.masks import load_mask
from lookwhere_cli.data.regions import Regions
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Grid, Reading, grid_for
from lookwhere_cli.images.peek import displayed_size
from lookwhere_cli.training.augment import Augmentation, augmented, fitted
from lookwhere_cli.training.finetune.coverage import class_boundaries, region_coverage
from lookwhere_cli.training.sample import Sample

K = tuple[AmountLike, AmountLike]


class Batch(NamedTuple):
    """Some pictures of one grid, with what is to be learnt of them."""

    pictures: UInt8[Tensor, "batch 3 height width"]
    thumbnails: UInt8[Tensor, "batch 3 low narrow"]
    coarse: UInt8[Tensor, "batch 3 lower narrower"] | None
    """All of each picture as the extractor reads it beside the cells."""
    targets: Tensor
    """int64 (batch,) classes; float32 (batch, classes) of 0 and 1; or uint8 (batch, height, width), 255 ignored."""
    look: Float[Tensor, "batch cells"] | None
    """How much of each cell is worth a look, 0..1; a picture with zeros only: nobody knows."""
    random: Int64[Tensor, "batch cells"]
    """All cells in an order drawn at random."""
    k: int
    told: bool
    """Whether the cells worth a look go before those that the selector would choose."""
    progress: float = 1.0
    """How far the training has come, 0..1."""
    added: int = 0
    """Cells that a second look adds; 0: there is none."""


@dataclass(frozen=True)
class Serving:
    """How pictures become batches. Sizes in pixels."""

    size: int
    thumbnail_size: int
    coarse_size: int
    """0: nothing is read beside the cells."""
    patch: int
    k: K
    """Cells read, least and most: counts (int) or shares (float); drawn evenly for each step."""
    batch: int
    """Pictures, over all processes."""
    seed: int
    augmentation: Augmentation
    boundaries: bool = False
    """Whether masks tell where to look: where classes meet."""
    added: K | None = None
    """Cells that a second look adds, likewise; None: there is none."""


class Batches(Dataset[Batch]):
    """A map from step to that step's batch; every epoch goes once through the pictures, in an order of its own.

    `share` is (rank, processes): each process makes its own part. All pictures must be readable: see `drop_unusable`.
    """

    def __init__(
        self,
        kind: Kind,
        classes: int,
        examples: Sequence[Example],
        regions: Regions | None,
        serving: Serving,
        steps: int,
        share: tuple[int, int],
    ) -> None:
        self.kind, self.classes, self.examples, self.regions = kind, classes, examples, regions
        self.serving, self.steps = serving, steps
        self.rank, self.processes = share
        # A crop of a quarter of the picture still has the pixels that the view asks for.
        self.reading = Reading(serving.patch, 2 * serving.size)

    def __len__(self) -> int:
        return self.steps

    @property
    def per_epoch(self) -> int:
        """Steps in an epoch; what does not fill a batch waits for the next epoch's order."""
        return max(1, len(self.examples) // self.serving.batch)

    def __getitem__(self, step: int) -> Batch:
        """This process's part of the step's batch."""
        serving = self.serving
        members = self._members(step)
        rng = np.random.default_rng((serving.seed, 1, step))
        grid = self._grid(members[0])
        cells = grid[0] * grid[1]
        k = self._drawn(serving.k, cells, rng)
        seeds = rng.integers(2**62, size=len(members))
        mine = range(self.rank, len(members), self.processes)
        samples = [self._sample(members[place], grid, int(seeds[place])) for place in mine]
        orders = [np.random.default_rng(seeds[place]).permutation(cells) for place in mine]
        return Batch(
            torch.stack([sample.picture for sample in samples]),
            torch.stack([self._thumbnail(sample, grid, serving.thumbnail_size) for sample in samples]),
            torch.stack([self._thumbnail(sample, grid, serving.coarse_size) for sample in samples])
            if serving.coarse_size
            else None,
            torch.stack(
                [self._target(self.examples[members[place]], one) for place, one in zip(mine, samples, strict=True)]
            ),
            self._looked(samples, grid),
            torch.from_numpy(np.stack(orders)),
            k,
            told=bool(rng.random() > step / self.steps),
            progress=step / self.steps,
            added=min(self._drawn(serving.added, cells, rng), cells - k) if serving.added else 0,
        )

    def _members(self, step: int) -> list[int]:
        epoch, place = divmod(step, self.per_epoch)
        order = np.random.default_rng((self.serving.seed, 0, epoch)).permutation(len(self.examples))
        size = self.serving.batch
        return list(np.resize(order, max(size, len(order)))[place * size : (place + 1) * size])

    def _drawn(self, k: K, cells: int, rng: np.random.Generator) -> int:
        return int(rng.integers(Amount.parse(k[0]).resolve(cells), Amount.parse(k[1]).resolve(cells) + 1))

    def _grid(self, member: int) -> Grid:
        """The first picture's shape is the whole batch's: whole pictures are seldom square."""
        height, width = displayed_size(self.examples[member].path)
        return grid_for(height, width, self.serving.size, self.serving.patch)

    def _sample(self, member: int, grid: Grid, seed: int) -> Sample:
        patch = self.serving.patch
        sample = load_sample(self.examples[member], self.regions, self.reading)
        return augmented(sample, (grid[0] * patch, grid[1] * patch), self.serving.augmentation, seed)

    def _thumbnail(self, sample: Sample, grid: Grid, size: int) -> UInt8[Tensor, "3 height width"]:
        patch = self.serving.patch
        rows, columns = grid_for(*grid, size, patch)
        return fitted(Sample(sample.picture), (rows * patch, columns * patch)).picture

    def _target(self, example: Example, sample: Sample) -> Tensor:
        if sample.mask is not None:
            return sample.mask
        if self.kind == "single":
            return torch.tensor(example.classes[0])
        return torch.zeros(self.classes).index_fill_(0, torch.tensor(example.classes, dtype=torch.int64), 1.0)

    def _looked(self, samples: Sequence[Sample], grid: Grid) -> Float[Tensor, "batch cells"] | None:
        if self.regions is not None:
            return torch.stack([region_coverage(sample, grid, self.serving.patch) for sample in samples])
        if self.serving.boundaries:
            return torch.stack([class_boundaries(sample.mask, grid) for sample in samples if sample.mask is not None])
        return None


def load_sample(example: Example, regions: Regions | None, reading: Reading) -> Sample:
    """A picture at the scale that `reading` needs, with its mask and where to look. Raises PictureError."""
    decoded = decode_file(example.path, reading)
    pixels = decoded.image()
    boxes = regions.boxes(example.path) if regions else None
    where = regions.mask(example.path) if regions else None
    return Sample(
        torch.from_numpy(np.array(pixels)).permute(2, 0, 1),
        None if example.mask is None else _scaled(load_mask(example.mask), pixels.size),
        None if boxes is None else torch.from_numpy(boxes * (pixels.width / decoded.size[1])),
        None if where is None else _scaled(np.asarray(where), pixels.size),
    )


def _scaled(mask: np.ndarray[Any, Any], size: tuple[int, int]) -> UInt8[Tensor, "height width"]:
    """A mask at (width, height)."""
    if mask.shape[::-1] != size:
        mask = np.array(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    return torch.from_numpy(np.ascontiguousarray(mask))


def grid_of(pictures: UInt8[Tensor, "batch 3 height width"], patch: int) -> Grid:
    """The (rows, columns) of patches that pictures are made of."""
    return pictures.shape[-2] // patch, pictures.shape[-1] // patch
