"""Selector and extractor against the full ViT: multiply-adds and time side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lookwhere_cli.amounts import Amount
from lookwhere_cli.bench.full import full_vit
from lookwhere_cli.bench.record import Limit, Record
from lookwhere_cli.bench.settings import Settings
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
MANY = 8  # pictures at a time of the published layout
AT_518 = {0.1: 9.3}
AT_994 = {0.1: 18.0, 0.05: 31.0, 0.02: 57.0}
DENSE = Limit("at most", 1.1)


@dataclass(frozen=True)
class Contest:
    """A model on square pictures of `size` pixels, `batch` at a time, against the full ViT on the same."""

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
        """What a record of this contest is called."""
        many = f", {self.batch} pictures" if self.batch > 1 else ""
        return f"{self.name}, {self.size} px{many}, {detail}"


def model(settings: Settings) -> Iterator[Record]:
    """The model as it is used by default, and at a higher resolution; alone and in batches."""
    loaded = load_model(settings.model, settings.device)
    config = loaded.config
    for batch in (1, 16):
        for size, k in ((config.size, config.k), (HIGH, HIGH_SHARE)):
            contest = Contest("model", loaded.name, loaded.lookwhere, size, batch)
            yield from image_level(contest, {k: None}, settings.rounds)


def published(settings: Settings) -> Iterator[Record]:
    """The published ViT-B/14 layout with random weights, at 518 and 994 pixels; dense beside image level.

    At 518 pixels also several pictures at a time: the few tokens of a single one hardly repay fetching the weights.
    """
    vit_b = LookWhere(DINOV2).eval().requires_grad_(False).to(device_named(settings.device))
    for size, batch, least in ((518, 1, AT_518), (518, MANY, AT_518), (994, 1, AT_994)):
        contest = Contest("published", "ViT-B/14", vit_b, size, batch)
        limits: dict[Amount, Limit | None] = {
            Amount.share(share): Limit("at least", bound) for share, bound in least.items()
        }
        yield from image_level(contest, limits, settings.rounds)
    yield dense(Contest("published", "ViT-B/14", vit_b, 994), 0.1, settings.rounds)


@torch.inference_mode()
def image_level(contest: Contest, limits: Mapping[Amount, Limit | None], rounds: int) -> Iterator[Record]:
    """The full ViT's time, then ours for each k (a count or a share of the cells) with how many times less it is."""
    config, grid = contest.model.config, contest.grid
    vit = full_vit(config, grid).to(_device(contest))
    pictures = torch.randn(contest.batch, 3, contest.size, contest.size, device=_device(contest))
    runs: dict[str, Callable[[], object]] = {"full": lambda: vit(pictures).cpu()}
    counts = {k: k.resolve(grid[0] * grid[1]) for k in limits}
    runs |= {str(k): classifying(contest, count) for k, count in counts.items()}
    seconds = alternate(runs, rounds)
    whole = contest.label("the full ViT")
    yield Record(contest.subject, whole, 1000 * seconds["full"], "ms")
    full = passes.count_full(config, grid)
    for k, count in counts.items():
        yield Record(
            contest.subject,
            contest.label(f"k = {count} ({count / (grid[0] * grid[1]):.0%})"),
            1000 * seconds[str(k)],
            "ms",
            against=whole,
            ratio=seconds["full"] / seconds[str(k)],
            macs_ratio=full / passes.count_image(config, grid, contest.thumbnail_grid, count).total,
            limit=limits[k],
        )


@torch.inference_mode()
def dense(contest: Contest, share: float, rounds: int) -> Record:
    """Tokens for all cells, spread from the chosen ones, against the image level: how many times as long."""
    config, grid = contest.model.config, contest.grid
    count = Amount.share(share).resolve(grid[0] * grid[1])
    seconds = alternate({"image": classifying(contest, count), "dense": spreading(contest, count)}, rounds)
    arguments = (config, grid, contest.thumbnail_grid, count)
    return Record(
        contest.subject,
        contest.label(f"k = {count} ({share:.0%}), dense"),
        1000 * seconds["dense"],
        "ms",
        against="image level",
        ratio=seconds["dense"] / seconds["image"],
        macs_ratio=passes.count_dense(*arguments, config.dim).total / passes.count_image(*arguments).total,
        limit=DENSE,
    )


def classifying(contest: Contest, count: int) -> Callable[[], Tensor]:
    """An image-level pass, from thumbnails and cut patches (random ones) to logits, to be called again and again."""
    model, grid, (thumbnails, patches) = contest.model, contest.grid, _inputs(contest, count)

    def run() -> Tensor:
        selection = model.select(thumbnails, grid)
        cells = choose(selection.map, count)
        return model.logits(model.extract(Chosen(patches, cells, grid, selection.prefix_tokens))).cpu()

    return run


def spreading(contest: Contest, count: int) -> Callable[[], Tensor]:
    """A dense pass, from thumbnails and cut patches (random ones) to a token for every cell."""
    model, grid, (thumbnails, patches) = contest.model, contest.grid, _inputs(contest, count)

    def run() -> Tensor:
        selection = model.select(thumbnails, grid)
        cells = choose(selection.map, count)
        return spread_tensor(*model.extract_dense(Chosen(patches, cells, grid, selection.prefix_tokens)), grid).cpu()

    return run


def _inputs(contest: Contest, count: int) -> tuple[Tensor, Tensor]:
    (rows, columns), patch = contest.thumbnail_grid, contest.model.config.patch
    thumbnails = torch.randn(contest.batch, 3, rows * patch, columns * patch, device=_device(contest))
    return thumbnails, torch.randn(contest.batch, count, 3, patch, patch, device=_device(contest))


def _device(contest: Contest) -> torch.device:
    return contest.model.extractor.cls_token.device
