"""Selector and extractor against the full ViT: multiply-adds and time side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lookwhere_cli.amounts import Amount
from lookwhere_cli.bench.full import full_vit
from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.timing import alternate
from lookwhere_cli.checkpoints.placement import device_named
from lookwhere_cli.checkpoints.published.lookwhere import DINOV2
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.macs import passes
from lookwhere_cli.models.chosen import Chosen, Grid
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.spread_torch import spread_tensor

HIGH, HIGH_SHARE = 384, Amount.share(0.25)  # pixels, and the share of the cells that is read there
MANY = 8  # pictures in a batch of the published layout
AT_518 = {0.1: 9.3}
AT_994 = {0.1: 18.0, 0.05: 31.0, 0.02: 57.0}
DENSE = Limit("at most", 1.1)


@dataclass(frozen=True)
class BenchCase:
    """A model on square pictures of `size` x `size` pixels, `batch` at a time, and the full ViT on the same."""

    subject: str
    name: str
    model: LookWhere
    size: int
    batch: int = 1

    @property
    def grid(self) -> Grid:
        """The cells of the picture: (rows, columns)."""
        side = self.size // self.model.config.patch
        return (side, side)

    @property
    def thumbnail_grid(self) -> Grid:
        """The patches of the thumbnail: (rows, columns)."""
        config = self.model.config
        return grid_for(*self.grid, config.thumbnail_size, config.patch)

    def label(self, detail: str) -> str:
        """Name a measurement of this case."""
        many = f", {self.batch} pictures" if self.batch > 1 else ""
        return f"{self.name}, {self.size} px{many}, {detail}"


def model(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure the model at its own resolution and at a higher one, with one picture and with batches."""
    loaded = load_model(settings.model, settings.device)
    config = loaded.config
    for batch in (1, 16):
        for size, k in ((config.size, config.k), (HIGH, HIGH_SHARE)):
            case = BenchCase("model", loaded.name, loaded.lookwhere, size, batch)
            yield from image_level(case, {k: None}, settings.rounds)


def published(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure the published ViT-B/14 layout with random weights, at 518 and 994 pixels, and dense output.

    At 518 pixels also in batches: for the few tokens of a single picture, fetching the weights costs as much as using
    them.
    """
    vit_b = LookWhere(DINOV2).eval().requires_grad_(False).to(device_named(settings.device))
    for size, batch, least in ((518, 1, AT_518), (518, MANY, AT_518), (994, 1, AT_994)):
        case = BenchCase("published", "ViT-B/14", vit_b, size, batch)
        limits: dict[Amount, Limit | None] = {
            Amount.share(share): Limit("at least", bound) for share, bound in least.items()
        }
        yield from image_level(case, limits, settings.rounds)
    yield dense(BenchCase("published", "ViT-B/14", vit_b, 994), 0.1, settings.rounds)


@torch.inference_mode()
def image_level(case: BenchCase, limits: Mapping[Amount, Limit | None], rounds: int) -> Iterator[Measurement]:
    """Measure the full ViT, then the model for each k, against the full ViT. limits: of the ratio, by k."""
    config, grid = case.model.config, case.grid
    vit = full_vit(config, grid).to(_device(case))
    pictures = torch.randn(case.batch, 3, case.size, case.size, device=_device(case))
    runs: dict[str, Callable[[], object]] = {"full": lambda: vit(pictures).cpu()}
    counts = {k: k.resolve(grid[0] * grid[1]) for k in limits}
    runs |= {str(k): classifying(case, count) for k, count in counts.items()}
    seconds = alternate(runs, rounds)
    whole, full = case.label("the full ViT"), passes.count_full(config, grid)
    yield Measurement(case.subject, whole, 1000 * seconds["full"], "ms")
    for k, count in counts.items():
        yield Measurement(
            case.subject,
            case.label(f"k = {count} ({count / (grid[0] * grid[1]):.0%})"),
            1000 * seconds[str(k)],
            "ms",
            against=whole,
            ratio=seconds["full"] / seconds[str(k)],
            macs_ratio=full / passes.count_image(config, grid, case.thumbnail_grid, count).total,
            limit=limits[k],
        )


@torch.inference_mode()
def dense(case: BenchCase, share: float, rounds: int) -> Measurement:
    """Measure tokens for all cells, spread from the chosen ones, against one token for the picture."""
    config, grid = case.model.config, case.grid
    count = Amount.share(share).resolve(grid[0] * grid[1])
    seconds = alternate({"image": classifying(case, count), "dense": spreading(case, count)}, rounds)
    arguments = (config, grid, case.thumbnail_grid, count)
    return Measurement(
        case.subject,
        case.label(f"k = {count} ({share:.0%}), dense"),
        1000 * seconds["dense"],
        "ms",
        against="image level",
        ratio=seconds["dense"] / seconds["image"],
        macs_ratio=passes.count_dense(*arguments, config.dim).total / passes.count_image(*arguments).total,
        limit=DENSE,
    )


def classifying(case: BenchCase, count: int) -> Callable[[], Tensor]:
    """Return a function that computes logits from random thumbnails and patches."""
    model, grid, (thumbnails, patches) = case.model, case.grid, _inputs(case, count)

    def run() -> Tensor:
        """Return logits, (pictures, labels), on the CPU: the device has finished then."""
        selection = model.select(thumbnails, grid)
        cells = choose(selection.map, count)
        return model.logits(model.extract(Chosen(patches, cells, grid, selection.prefix_tokens))).cpu()

    return run


def spreading(case: BenchCase, count: int) -> Callable[[], Tensor]:
    """Return a function that computes a token for every cell from random thumbnails and patches."""
    model, grid, (thumbnails, patches) = case.model, case.grid, _inputs(case, count)

    def run() -> Tensor:
        """Return tokens, (pictures, cells, dim), on the CPU: the device has finished then."""
        selection = model.select(thumbnails, grid)
        cells = choose(selection.map, count)
        return spread_tensor(*model.extract_dense(Chosen(patches, cells, grid, selection.prefix_tokens)), grid).cpu()

    return run


def _inputs(case: BenchCase, count: int) -> tuple[Tensor, Tensor]:
    (rows, columns), patch = case.thumbnail_grid, case.model.config.patch
    thumbnails = torch.randn(case.batch, 3, rows * patch, columns * patch, device=_device(case))
    return thumbnails, torch.randn(case.batch, count, 3, patch, patch, device=_device(case))


def _device(case: BenchCase) -> torch.device:
    return case.model.extractor.cls_token.device
