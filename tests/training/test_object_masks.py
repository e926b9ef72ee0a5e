"""Training on masks of objects: rasters of outlines, which follow their boxes everywhere, and a model that learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.splits import split_examples
from lookwhere_cli.heads.paste import paste_masks
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.scores import Outlines, TrueBoxes
from lookwhere_cli.models.candidates import MASK_SIDE
from lookwhere_cli.output.masks.run_lengths import decode, encode_outline
from lookwhere_cli.training.augment import Augmentation, augmented
from lookwhere_cli.training.finetune.batches import Batches, BatchRecipe, load_sample
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.finetune.validate import validate
from lookwhere_cli.training.object_masks import RASTER, as_targets, rasters_of
from lookwhere_cli.training.optim import Rates
from lookwhere_cli.training.sample import Sample
from tests.data.labelled import COLOURS, NAMES, saved, start
from tests.training.test_augment import SIZES
from tests.training.test_finetune import FINDING, run_of

CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


def triangle(box: tuple[int, int, int, int], missing: int) -> list[float]:
    """Three corners of a box, without one of them."""
    left, top, right, bottom = box
    corners = [corner for number, corner in enumerate(CORNERS) if number != missing]
    return [side for x, y in corners for side in ((left, right)[x], (top, bottom)[y])]


def truth(size: tuple[int, int], *shapes: tuple[tuple[int, int, int, int], Any], label: int = 1) -> TrueBoxes:
    boxes = np.array([box for box, _ in shapes], np.float32).reshape(-1, 4)
    outlines = Outlines(size, tuple(shape for _, shape in shapes))
    return TrueBoxes(boxes, np.full(len(boxes), label), np.zeros(len(boxes), bool), outlines)


def picture(size: tuple[int, int], polygon: list[float], colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    shown = decode(encode_outline([polygon], size))
    return (shown[..., None] * np.array(colour)).astype(np.uint8)


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


def pasted(rasters: torch.Tensor, boxes: torch.Tensor, size: tuple[int, int]) -> NDArray[np.bool_]:
    return decode(paste_masks(rasters.numpy(), boxes.numpy().astype(np.float32), size)[0])


def test_a_raster_has_the_share_of_each_place() -> None:
    box = (10, 20, 38, 48)
    run_lengths = encode_outline([triangle(box, 2)], (60, 70))
    made = rasters_of(truth((60, 70), (box, [triangle(box, 2)]), (box, run_lengths), (box, None)))
    assert made.shape == (3, RASTER, RASTER) and made.dtype == torch.float32
    assert made[0].equal(made[1]) and made[2].isnan().all()
    along = (torch.arange(RASTER) + 0.5) / RASTER
    expected = (along[:, None] + along < 1).float()
    assert (made[0] - expected).abs().mean() < 0.03
    assert as_targets(made).shape == (3, MASK_SIDE**2) and as_targets(made)[2].isnan().all()
    assert rasters_of(truth((60, 70))).shape == (0, RASTER, RASTER)


def test_an_outline_may_reach_beyond_its_box_and_beyond_the_picture_or_be_empty() -> None:
    made = rasters_of(
        truth(
            (40, 40),
            ((10, 10, 20, 20), [[0.0, 0.0, 40.0, 0.0, 40.0, 40.0, 0.0, 40.0]]),
            ((0, 0, 10, 10), [[-20.0, -20.0, 5.0, -20.0, 5.0, 60.0, -20.0, 60.0]]),
            ((30, 30, 35, 35), [[1.0, 1.0, 5.0, 1.0, 5.0, 5.0]]),
        )
    )
    assert (made[0] == 1).all() and (made[2] == 0).all()
    assert made[1].mean().item() == pytest.approx(0.5, abs=0.06) and (made[1, :, : RASTER // 3] == 1).all()


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(50, 90), st.integers(50, 90)),
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(24, 30), st.integers(24, 30)),
    st.integers(0, 3),
    SIZES,
    st.integers(0, 2**62),
)
def test_masks_follow_every_augmentation(
    size: tuple[int, int], place: tuple[int, int, int, int], missing: int, view_size: tuple[int, int], seed: int
) -> None:
    left, top, width, height = place
    box = (left, top, left + width, top + height)
    polygon = triangle(box, missing)
    shown = torch.from_numpy(picture(size, polygon, (0, 200, 0))).permute(2, 0, 1)
    objects = truth(size, (box, [polygon]))
    kinds = torch.tensor([[1.0, 0.0]])
    sample = Sample(shown, objects=torch.from_numpy(objects.boxes), kinds=kinds, rasters=rasters_of(objects))
    view = augmented(sample, view_size, Augmentation(turn=True, colour=0.0), seed)
    assert view.objects is not None and view.rasters is not None and len(view.objects) == len(view.rasters)
    if len(view.objects) and (view.objects[0, 2:] - view.objects[0, :2]).min() > 10:
        green = view.picture[1].numpy() > 100
        assert iou(pasted(view.rasters, view.objects, view_size), green) > 0.8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_lie_in_the_picture_as_displayed(orientation: int, tmp_path: Path) -> None:
    box, size = (20, 6, 50, 30), (40, 60)
    shown = Image.fromarray(picture(size, triangle(box, 1), (255, 255, 255)))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = shown.transpose(undo[orientation]) if orientation > 1 else shown
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    example = Example(str(tmp_path / "a.png"), (0,), objects=truth(size, (box, [triangle(box, 1)])))
    sample = load_sample(example, None, Reading(4, 200), masks=True)
    assert sample.rasters is not None and sample.objects is not None
    assert iou(pasted(sample.rasters, sample.objects, size), sample.picture[0].numpy() > 100) > 0.95
    assert load_sample(example, None, Reading(4, 200)).rasters is None


def triangles(folder: Path, count: int) -> LabelledSet:
    """Dim noise with a triangle of a colour that fills half of its box, or none; each corner may be missing."""
    rng, examples = np.random.default_rng(0), []
    folder.mkdir()
    for index in range(count):
        pixels, label = rng.integers(0, 60, (48, 48, 3)), index % 3
        left, top = rng.integers(0, 22, 2)
        width, height = rng.integers(16, 26, 2)
        box = (int(left), int(top), int(left + width), int(top + height))
        objects = truth((48, 48), label=label)
        if index % 8:
            polygon = triangle(box, index // 3 % 4)
            canvas = Image.fromarray(pixels.astype(np.uint8))
            ImageDraw.Draw(canvas).polygon(polygon, fill=COLOURS[label])
            pixels, objects = np.array(canvas), truth((48, 48), (box, [polygon]), label=label)
        labels = (label,) if len(objects.boxes) else ()
        examples.append(Example(saved(pixels, folder / f"{index}.png"), labels, objects=objects))
    return split_examples(LabelledSet("boxes", NAMES, tuple(examples), folder), val_share=0.25)


def test_targets_hold_masks_if_they_are_asked_for(tmp_path: Path) -> None:
    labelled = triangles(tmp_path / "set", 16)
    recipe = BatchRecipe(48, 24, 0, 4, (6, 6), 8, 0, Augmentation(), masks=True)
    for masks, columns in ((True, 6 + MASK_SIDE**2), (False, 6)):
        asked = replace(recipe, masks=masks)
        batches = Batches(TRAINING_HEADS["boxes"], 3, labelled.of("train"), None, asked, 2, (0, 1))
        assert batches[0].targets.shape[2] == columns


LEARNING = replace(
    FINDING,
    epochs=8,
    validate_every=8,
    k=(40, 40),
    shape=Shape(size=48, thumbnail_size=24, masks=True),
    rates=Rates(peak=3e-3, layer_decay=1.0),
)


@pytest.mark.slow
def test_masks_are_learnt(tmp_path: Path) -> None:
    labelled = triangles(tmp_path / "set", 96)
    run = run_of(LEARNING, labelled, tmp_path / "out", base=start())
    at_first = validate(run.model, labelled)
    list(run.train())
    assert run.epochs[-1]["mask_ap50"] > at_first["mask_ap50"] + 0.3, (at_first, run.epochs[-1])
    predictor = load(str(tmp_path / "out"), masks=True, conf=0.1)
    row = next(predictor.answers([labelled.of("val")[1].path])).row
    assert row.boxes and all(found.mask is not None for found in row.boxes)
