"""Batches of labelled pictures: reproducible from seed and step, complete over an epoch, consistent in themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lookwhere_cli.data.examples import Example, Kind
from lookwhere_cli.data.regions import Regions, read_regions
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.heads.training.segment import class_boundaries
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.training.augment import Augmentation
from lookwhere_cli.training.finetune.batches import AmountRange, Batches, BatchRecipe, TrainingBatch, load_sample

PATCH, COUNT, STEPS = 8, 10, 100
STILL = Augmentation(area=(1.0, 1.0), jitter=1.0, flip=False, colour=0.0)
MOVED = Augmentation(area=(0.5, 1.0), flip=True, colour=0.0)
BATCH_RECIPE = BatchRecipe(
    size=48,
    thumbnail_size=24,
    coarse_size=0,
    patch=PATCH,
    k=(2, 20),
    batch=4,
    seed=0,
    augmentation=Augmentation(),
)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    """Grey pictures of 96 x 64, each with a class of its own and a red rectangle, which is 1 in the mask."""
    folder, rng = tmp_path_factory.mktemp("set"), np.random.default_rng(0)
    lines, made = ["file,left,top,right,bottom"], []
    for index in range(COUNT):
        pixels, mask = np.full((64, 96, 3), 90, dtype=np.uint8), np.zeros((64, 96), dtype=np.uint8)
        left, top = int(rng.integers(60)), int(rng.integers(30))
        pixels[top : top + 24, left : left + 32] = (250, 0, 0)
        mask[top : top + 24, left : left + 32] = 1
        Image.fromarray(pixels).save(folder / f"{index}.png")
        Image.fromarray(mask).save(folder / f"mask_{index}.png")
        lines.append(f"{index}.png,{left},{top},{left + 32},{top + 24}")
        made.append(Example(str(folder / f"{index}.png"), (index,), str(folder / f"mask_{index}.png")))
    (folder / "boxes.csv").write_text("\n".join(lines))
    return made


@pytest.fixture
def regions(examples: list[Example]) -> Regions:
    folder = Path(examples[0].path).parent
    return read_regions(folder / "boxes.csv", folder, [example.path for example in examples])


def batches(
    examples: Sequence[Example],
    recipe: BatchRecipe = BATCH_RECIPE,
    regions: Regions | None = None,
    kind: Kind = "single",
    share: tuple[int, int] = (0, 1),
) -> Batches:
    plain = examples if kind == "masks" else [replace(example, mask=None) for example in examples]
    made = Batches(TRAINING_HEADS[kind], COUNT, plain, regions, recipe, 1, share)
    made.steps = STEPS
    return made


def equal(one: TrainingBatch, other: TrainingBatch) -> bool:
    pairs = zip(one, other, strict=True)
    return all(a.equal(b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b for a, b in pairs)


def red(pictures: Tensor) -> Tensor:
    """Which pixels are red, (batch, height, width)."""
    return (pictures[:, 0].int() - pictures[:, 1].int()) > 125


def shares(pixels: Tensor) -> Tensor:
    """The share of each cell's pixels that are true, (batch, cells)."""
    return torch.nn.functional.avg_pool2d(pixels.float()[:, None], PATCH).flatten(1)


def test_a_batch_depends_on_the_seed_and_the_step_alone(examples: list[Example], regions: Regions) -> None:
    first, second = batches(examples, regions=regions), batches(examples, regions=regions)
    for step in (7, 2, 2):
        torch.manual_seed(step)
        np.random.seed(step)
        assert equal(first[7], second[7])
        assert not equal(first[step], second[step + 1])
    assert not equal(first[7], batches(examples, replace(BATCH_RECIPE, seed=1), regions)[7])


def test_each_epoch_shows_every_picture_once_in_a_different_order(examples: list[Example]) -> None:
    served = batches(examples, replace(BATCH_RECIPE, batch=5))
    assert served.per_epoch == 2
    epochs = [torch.cat([served[2 * epoch + step].targets for step in range(2)]).tolist() for epoch in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(COUNT))] * 3
    assert len(set(map(tuple, epochs))) == 3


def test_pictures_that_do_not_fill_a_batch_appear_in_other_epochs(examples: list[Example]) -> None:
    served = batches(examples)
    assert served.per_epoch == 2  # of ten pictures, eight
    epochs = [torch.cat([served[2 * epoch + step].targets for step in range(2)]).tolist() for epoch in range(6)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert set().union(*epochs) == set(range(COUNT))


def test_fewer_pictures_than_a_batch_are_repeated(examples: list[Example]) -> None:
    served = batches(examples[:3], replace(BATCH_RECIPE, batch=7))
    assert served.per_epoch == 1
    assert sorted(np.bincount(served[0].targets).tolist()) == [2, 2, 3]


def test_the_shares_of_two_processes_are_the_whole_batch(examples: list[Example], regions: Regions) -> None:
    recipe = replace(BATCH_RECIPE, coarse_size=16)
    whole = batches(examples, recipe, regions=regions)[5]
    parts = [batches(examples, recipe, regions=regions, share=(rank, 2))[5] for rank in range(2)]
    for name in ("pictures", "thumbnails", "coarse", "targets", "coverage", "random_order"):
        for rank, part in enumerate(parts):
            assert getattr(part, name).equal(getattr(whole, name)[rank::2]), name
    assert {(part.k, part.covered_first) for part in parts} == {(whole.k, whole.covered_first)}


@pytest.mark.parametrize(
    ("k", "least", "most"),
    [((2, 6), 2, 6), ((0.25, 0.5), 8, 17), ((3, 3), 3, 3), ((30, 900), 30, 35), ((1.0, 1.0), 35, 35)],
)
def test_k_is_drawn_from_its_range_in_each_step(examples: list[Example], k: AmountRange, least: int, most: int) -> None:
    served = batches(examples, replace(BATCH_RECIPE, k=k, batch=1))
    assert served[0].random_order.shape == (1, 35)  # 5 x 7 cells
    drawn = {served[step].k for step in range(40)}
    assert min(drawn) >= least and max(drawn) <= most
    assert len(drawn) > (most - least) / 3
    assert least in drawn or len(drawn) > 5


def test_shapes_and_types_of_a_batch(examples: list[Example], regions: Regions) -> None:
    batch = batches(examples, replace(BATCH_RECIPE, coarse_size=16), regions=regions)[0]
    assert batch.coarse is not None and (batch.coarse.shape, batch.coarse.dtype) == ((4, 3, 16, 16), torch.uint8)
    assert (batch.pictures.shape, batch.pictures.dtype) == ((4, 3, 40, 56), torch.uint8)
    assert (batch.thumbnails.shape, batch.thumbnails.dtype) == ((4, 3, 16, 24), torch.uint8)
    assert batch.coverage is not None and batch.coverage.shape == (4, 35)
    assert [sorted(order) for order in batch.random_order.tolist()] == [list(range(35))] * 4
    assert len(set(map(tuple, batch.random_order.tolist()))) == 4


def test_covered_cells_come_first_always_at_the_start_and_rarely_at_the_end(examples: list[Example]) -> None:
    served = batches(examples, replace(BATCH_RECIPE, batch=1))
    told = [served[step].covered_first for step in range(100)]
    assert sum(told[:20]) > 15 and sum(told[-20:]) < 5


@pytest.mark.parametrize("step", range(3))
def test_boxes_follow_their_picture(examples: list[Example], regions: Regions, step: int) -> None:
    batch = batches(examples, replace(BATCH_RECIPE, augmentation=MOVED), regions)[step]
    assert batch.coverage is not None
    there = shares(red(batch.pictures))
    assert (batch.coverage - there).abs().max() < 0.3  # pixels that a box touches count whole
    assert (batch.coverage > 0.5).any(1).all()


@pytest.mark.parametrize("step", range(3))
def test_masks_follow_their_picture(examples: list[Example], step: int) -> None:
    batch = batches(examples, replace(BATCH_RECIPE, augmentation=MOVED), kind="masks")[step]
    assert batch.targets.shape == (4, 40, 56) and batch.targets.dtype == torch.uint8
    assert (red(batch.pictures) != (batch.targets == 1)).float().mean() < 0.03
    assert batch.coverage is None


@pytest.mark.parametrize("step", range(3))
def test_masks_follow_the_parts_of_a_mosaic(examples: list[Example], step: int) -> None:
    recipe = replace(BATCH_RECIPE, augmentation=replace(STILL, mosaic=1.0))
    batch = batches(examples, recipe, kind="masks")[step]
    assert batch.targets.shape == (4, 48, 48)
    assert (red(batch.pictures) != (batch.targets == 1)).float().mean() < 0.06
    assert not torch.equal(
        batch.pictures, batches(examples, replace(recipe, augmentation=STILL), kind="masks")[step][0]
    )


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 30, 70), (1.0, STEPS, STEPS)])
def test_with_mosaics_as_many_batches_are_square_as_windows_are(
    examples: list[Example], share: float, least: int, most: int
) -> None:
    recipe = replace(BATCH_RECIPE, augmentation=replace(STILL, mosaic=share))
    made = batches(examples, recipe, kind="masks")
    grids = {step: made._grid(step, made._members(step), {}) for step in range(STEPS)}
    assert least <= sum(grid == (6, 6) for grid in grids.values()) <= most
    assert set(grids.values()) <= {(6, 6), (5, 7)}  # of 96 x 64 pixels
    assert made[3].pictures.shape[2:] == tuple(side * PATCH for side in grids[3])


def test_a_mosaic_takes_other_pictures_for_those_that_cannot_be_read(examples: list[Example], tmp_path: Path) -> None:
    damaged = replace(examples[0], path=str(tmp_path / "gone.png"))
    recipe = replace(BATCH_RECIPE, augmentation=replace(STILL, mosaic=1.0))
    served = batches([damaged, *examples[1:]], recipe, kind="masks")
    parts = [served[step].skipped for step in range(STEPS) if 0 not in served._members(step)]
    assert {path for skipped in parts for path, _ in skipped} == {damaged.path}  # only a mosaic can have drawn it


def test_masks_give_coverage_where_classes_meet(examples: list[Example]) -> None:
    batch = batches(examples, replace(BATCH_RECIPE, coverage_from_targets=True), kind="masks")[0]
    assert batch.coverage is not None
    assert batch.coverage.equal(torch.stack([class_boundaries(mask, (5, 7)) for mask in batch.targets]))
    assert (batch.coverage > 0).any() and not batch.comparable


def test_boxes_take_precedence_over_masks(examples: list[Example], regions: Regions) -> None:
    batch = batches(examples, replace(BATCH_RECIPE, augmentation=STILL, coverage_from_targets=True), regions, "masks")[
        0
    ]
    assert batch.coverage is not None
    assert (batch.coverage - shares(batch.targets == 1)).abs().max() < 0.3


def test_a_picture_without_regions_has_zero_coverage(examples: list[Example], tmp_path: Path) -> None:
    list_of_one = tmp_path / "boxes.csv"
    list_of_one.write_text(f"file,left,top,right,bottom\n{examples[3].path},0,0,96,64\n")
    known = read_regions(list_of_one, tmp_path, [example.path for example in examples])
    batch = batches(examples, replace(BATCH_RECIPE, batch=COUNT), known)[0]
    assert batch.coverage is not None and not batch.comparable
    for coverage, target in zip(batch.coverage, batch.targets.tolist(), strict=True):
        assert coverage.equal(torch.full((35,), float(target == 3)))


def test_targets_of_several_labels_are_zeros_and_ones(examples: list[Example]) -> None:
    several = [replace(examples[0], classes=(1, 4)), replace(examples[1], classes=())]
    batch = batches(several, replace(BATCH_RECIPE, batch=2), kind="multi")[0]
    assert batch.targets.dtype == torch.float32
    assert sorted(batch.targets.tolist()) == [[0.0] * COUNT, [0.0, 1.0, 0.0, 0.0, 1.0, *[0.0] * 5]]


def test_mask_and_boxes_are_scaled_with_a_large_jpeg(tmp_path: Path) -> None:
    pixels, mask = np.full((800, 1200, 3), 90, dtype=np.uint8), np.zeros((800, 1200), dtype=np.uint8)
    pixels[160:480, 240:800] = (250, 0, 0)
    mask[160:480, 240:800] = 1
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(mask).save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("file,left,top,right,bottom\na.jpg,240,160,800,480\n")
    example = Example(str(tmp_path / "a.jpg"), mask=str(tmp_path / "a.png"))
    sample = load_sample(example, read_regions(tmp_path / "boxes.csv", tmp_path, [example.path]), Reading(PATCH, 96))
    height, width = sample.picture.shape[1:]
    assert height < 400 and sample.mask is not None and sample.mask.shape == (height, width)
    assert (red(sample.picture[None])[0] != (sample.mask == 1)).float().mean() < 0.02
    scale = width / 1200
    assert sample.boxes is not None
    assert sample.boxes.tolist()[0] == pytest.approx([240 * scale, 160 * scale, 800 * scale, 480 * scale])
