"""Training on boxes: they follow augmentation, teach the selector, and every method learns them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.amounts import MacsShare
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.cli.train_settings import steering_for
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.scores import TrueBoxes
from lookwhere_cli.models.detector import Detector
from lookwhere_cli.models.pruning.cropr import record_survivors
from lookwhere_cli.training.augment import KEPT, Augmentation, augmented, fitted
from lookwhere_cli.training.finetune import plan
from lookwhere_cli.training.finetune.batches import Batches, BatchRecipe, load_sample
from lookwhere_cli.training.finetune.objective import Objective
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.optim import Rates
from lookwhere_cli.training.sample import Sample
from tests.data.labelled import COLOURS, spotted, start
from tests.training.test_augment import SIZES, extent
from tests.training.test_finetune import FINDING, fallen, interrupted_at, run_of, same, without_time

LEARNING = replace(FINDING, epochs=12, k=(6, 9), rates=Rates(peak=2e-3, layer_decay=1.0))


def objects(*boxes: tuple[float, float, float, float], label: int = 1) -> dict[str, torch.Tensor]:
    kinds = torch.tensor([[float(label), float(number % 2)] for number in range(len(boxes))])
    return {"objects": torch.tensor(boxes).reshape(-1, 4), "kinds": kinds.reshape(-1, 2)}


def rectangle(height: int, width: int, box: tuple[int, int, int, int]) -> Sample:
    """A green rectangle on black, which is the object."""
    left, top, right, bottom = box
    picture = torch.zeros(3, height, width, dtype=torch.uint8)
    picture[1, top:bottom, left:right] = 200
    return Sample(picture, **objects(tuple(map(float, box))))


@st.composite
def rectangles(draw: st.DrawFn) -> Sample:
    height, width = draw(st.integers(24, 90)), draw(st.integers(24, 90))
    left, top = draw(st.integers(0, width - 12)), draw(st.integers(0, height - 12))
    return rectangle(
        height, width, (left, top, draw(st.integers(left + 10, width)), draw(st.integers(top + 10, height)))
    )


@settings(max_examples=60)
@given(rectangles(), SIZES, st.integers(0, 2**62), st.booleans())
def test_objects_follow_every_augmentation(sample: Sample, size: tuple[int, int], seed: int, turn: bool) -> None:
    # Other colours would move the level at which an edge is found, by more than a pixel where a crop is enlarged.
    view = augmented(sample, size, Augmentation(turn=turn, colour=0.0), seed)
    assert view.objects is not None and view.kinds is not None and len(view.objects) == len(view.kinds)
    if len(view.objects):
        assert extent(view.picture[1] > 100) == pytest.approx(view.objects[0].tolist(), abs=1.5)
        assert view.kinds.tolist() == [[1.0, 0.0]]


@settings(max_examples=40)
@given(rectangles(), st.integers(0, 2**62))
def test_a_square_picture_takes_all_eight_turns(sample: Sample, seed: int) -> None:
    still = Augmentation(area=(1.0, 1.0), jitter=1.0, colour=0.0, turn=True)
    view = augmented(fitted(sample, (60, 60)), (60, 60), still, seed)
    assert extent(view.picture[1] > 90) == pytest.approx(view.objects[0].tolist(), abs=1.5)  # type: ignore[index]


def test_turns_reach_all_eight_positions_and_only_if_asked_for() -> None:
    sample = rectangle(40, 40, (2, 5, 12, 30))
    still = Augmentation(area=(1.0, 1.0), jitter=1.0, colour=0.0, turn=True)

    def places(recipe: Augmentation) -> set[tuple[float, ...]]:
        views = [augmented(sample, (40, 40), recipe, seed).objects for seed in range(80)]
        return {tuple(view[0].tolist()) for view in views if view is not None}

    assert len(places(still)) == 8
    assert len(places(replace(still, turn=False))) == 2


def test_crops_keep_objects_of_which_half_stays_and_cut_them() -> None:
    whole = torch.tensor([[10.0, 10.0, 50.0, 50.0], [0.0, 0.0, 6.0, 6.0]])
    sample = Sample(torch.zeros(3, 60, 60, dtype=torch.uint8), objects=whole, kinds=torch.tensor([[1.0, 0], [2.0, 1]]))
    kept = set()
    for seed in range(60):
        view = augmented(sample, (30, 30), Augmentation(area=(0.3, 0.6), flip=False), seed)
        assert view.objects is not None and view.kinds is not None
        assert (view.objects >= 0).all() and (view.objects <= 30).all()
        kept.add(tuple(view.kinds[:, 0].tolist()))
    assert (1.0,) in kept and any(2.0 not in one for one in kept)
    half = Sample(
        torch.zeros(3, 40, 40, dtype=torch.uint8), **objects((-10.0, 0.0, 10.0, 10.0), (-11.0, 0.0, 9.0, 10.0))
    )
    assert KEPT == 0.5
    assert fitted(half, (40, 40)).objects.tolist() == [[0, 0, 10, 10]]  # type: ignore[union-attr]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_lie_in_the_picture_as_displayed(orientation: int, tmp_path: Path) -> None:
    shown = np.zeros((40, 60, 3), np.uint8)
    shown[5:15, 30:50] = 255
    turns = {1: 0, 3: 2, 6: 1, 8: 3}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.rot90(shown, turns)).save(tmp_path / "a.png", exif=exif)
    truth = TrueBoxes(np.array([[30, 5, 50, 15]], np.float32), np.zeros(1, np.int64), np.zeros(1, bool))
    sample = load_sample(Example(str(tmp_path / "a.png"), (0,), objects=truth), None, Reading(4, 200))
    assert extent(sample.picture[0] > 100) == pytest.approx(sample.objects[0].tolist(), abs=0.01)  # type: ignore[index]


def test_random_changes_that_move_pixels_leave_pictures_with_objects_alone() -> None:
    sample = rectangle(40, 50, (5, 6, 30, 35))
    for seed in range(10):
        gentle = augmented(sample, (32, 48), Augmentation(), seed).picture
        assert augmented(sample, (32, 48), Augmentation(magnitude=30, erase=1.0), seed).picture.equal(gentle)


def boxed(folder: Path, count: int = 96) -> LabelledSet:
    """Dim noise with one small square of a colour, or none, and where it is."""
    labelled = spotted(folder, count)
    lines = dict[str, list[float]]()
    for line in (folder / "boxes.csv").read_text().splitlines()[1:]:
        name, *sides = line.split(",")
        lines[name] = list(map(float, sides))
    examples = [replace(one, objects=_truth(one, lines.get(labelled.name(one)))) for one in labelled.examples]
    return replace(labelled, kind="boxes", examples=tuple(examples))


def _truth(example: Example, sides: list[float] | None) -> TrueBoxes:
    boxes = np.array([] if sides is None else sides, np.float32).reshape(-1, 4)
    return TrueBoxes(boxes, np.array(example.classes, np.int64), np.zeros(len(boxes), bool))


def batches(labelled: LabelledSet, augmentation: Augmentation, k: int = 6) -> Batches:
    recipe = BatchRecipe(48, 24, 0, 4, (k, k), 8, 0, augmentation, coverage_from_targets=True)
    return Batches(TRAINING_HEADS["boxes"], 3, labelled.of("train"), None, recipe, 2, (0, 1))


def test_targets_are_in_cells_and_coverage_is_where_boxes_are(tmp_path: Path) -> None:
    labelled = boxed(tmp_path / "set", 32)
    batch = batches(labelled, Augmentation(area=(1.0, 1.0), jitter=1.0, flip=False, colour=0.0))[0]
    assert batch.coverage is not None and batch.comparable and batch.targets.shape[1:] == (2, 6)
    for picture, target, covered in zip(batch.pictures, batch.targets, batch.coverage, strict=True):
        real = target[target[:, 4] >= 0]
        assert bool(covered.any()) == bool(len(real))
        for left, top, right, bottom, label, crowd in real.tolist():
            colour = picture[:, int(4 * top) : int(4 * bottom), int(4 * left) : int(4 * right)].float().mean((1, 2))
            assert colour.tolist() == pytest.approx(list(COLOURS[int(label)])) and crowd == 0
            assert covered.view(12, 12)[int((top + bottom) / 2), int((left + right) / 2)] > 0.4


def test_pictures_without_boxes_are_trained_on(tmp_path: Path) -> None:
    labelled = boxed(tmp_path / "set", 32)
    empty = TrueBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    nothing = replace(labelled, examples=tuple(replace(one, objects=empty) for one in labelled.examples))
    assert (batches(nothing, Augmentation())[0].targets[..., 4] == -1).all()


@pytest.mark.slow
def test_boxes_are_learnt_and_teach_the_selector(tmp_path: Path) -> None:
    labelled = boxed(tmp_path / "set")
    run = run_of(LEARNING, labelled, tmp_path / "out", base=start())
    list(run.train())
    assert fallen(run) < 0.7 and fallen(run, "look") < 0.6
    assert run.epochs[-1]["ap50"] > 0.5, run.epochs[-1]
    assert run.epochs[-1]["ap50"] >= run.epochs[-1]["ap75"]
    detect = load(str(tmp_path / "out"), k=9)
    assert detect.config.task == "detect" and isinstance(
        load_model(str(tmp_path / "out"), "cpu").lookwhere.detector, Detector
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "more"),
    [
        (Shape(method="full", size=48), {"k": (1.0, 1.0), "steering": "frozen"}),
        (Shape(method="cropr", size=48, prune=MacsShare(0.7)), {"k": (1.0, 1.0), "steering": "frozen"}),
        (Shape(size=48, thumbnail_size=24, coarse=24, points=1), {}),
        (Shape(size=48, thumbnail_size=24, prune=MacsShare(0.9), points=4), {}),
    ],
    ids=["full", "cropr", "coarse", "pruned"],
)
def test_every_method_learns(shape: Shape, more: dict[str, Any], tmp_path: Path) -> None:
    run = run_of(replace(LEARNING, epochs=3, shape=shape, **more), boxed(tmp_path / "set", 64), tmp_path / "out")
    list(run.train())
    assert fallen(run, "task") < 0.95
    assert run.model.config.prune_fusion == (shape.prune is not None)
    assert ("auxiliary" in run.epochs[-1]) == (shape.prune is not None)
    assert run.model.config.detect_points == shape.points
    load(str(tmp_path / "out"))


@pytest.mark.slow
def test_cells_of_boxes_are_kept(tmp_path: Path) -> None:
    shape = Shape(method="cropr", size=48, prune=MacsShare(0.7))
    labelled = boxed(tmp_path / "set")
    run = run_of(replace(LEARNING, shape=shape, k=(1.0, 1.0), steering="frozen"), labelled, tmp_path / "out")
    list(run.train())
    assert fallen(run, "auxiliary") < 0.6
    objective = run.learner.module
    assert isinstance(objective, Objective)
    batch = batches(labelled, Augmentation(area=(1.0, 1.0), jitter=1.0, flip=False, colour=0.0), k=144)[0]._replace(
        progress=1.0
    )
    read: list[torch.Tensor] = []
    objective.model.extractor.register_forward_pre_hook(lambda _module, inputs: read.append(inputs[0].cells))
    with torch.no_grad(), record_survivors(objective.model.extractor.cropr) as survivors:
        objective.eval()(batch)
    assert batch.coverage is not None
    shown = batch.coverage.gather(1, read[0])
    kept = shown.gather(1, survivors[0])
    assert kept.shape[1] < 0.4 * shown.shape[1]
    assert kept.sum() > 0.6 * shown.sum() > 0  # by chance at most 0.4


@pytest.mark.slow
def test_a_run_on_boxes_that_is_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    labelled, recipe = boxed(tmp_path / "set", 32), replace(LEARNING, epochs=2, batch=8)
    whole = run_of(recipe, labelled, tmp_path / "whole")
    list(whole.train())
    interrupted_at(run_of(recipe, labelled, tmp_path / "parts"), 2)
    again = run_of(recipe, labelled, tmp_path / "parts")
    assert again.resume() == 2
    list(again.train())
    assert same(again.averaged, whole.averaged) and without_time(again.epochs) == without_time(whole.epochs)


def test_a_run_on_other_boxes_is_another_run(tmp_path: Path) -> None:
    labelled = boxed(tmp_path / "set", 32)
    first = labelled.examples[0]
    assert first.objects is not None
    moved = replace(first, objects=first.objects._replace(boxes=first.objects.boxes + 1))
    others = replace(labelled, examples=(moved, *labelled.examples[1:]))
    identities = [run_of(LEARNING, one, tmp_path / "out").plan.identity for one in (labelled, labelled, others)]
    assert identities[0] == identities[1] != identities[2]


def test_a_run_that_taught_pruning_otherwise_is_another_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled, shape = boxed(tmp_path / "set", 32), Shape(size=48, thumbnail_size=24, prune=MacsShare(0.9))
    recipe = replace(LEARNING, epochs=2, batch=8, shape=shape)
    identity = run_of(recipe, labelled, tmp_path / "out").plan.identity
    monkeypatch.setattr(plan, "SCORES_WEIGHT", 1.0)
    assert run_of(recipe, labelled, tmp_path / "out").plan.identity != identity
    assert "scores_weight" not in run_of(LEARNING, labelled, tmp_path / "other").plan.identity


def test_boxes_teach_the_selector_unless_it_is_to_be_kept(tmp_path: Path) -> None:
    labelled = boxed(tmp_path / "set", 12)
    assert steering_for("lookwhere", labelled, None, None, None) == "look"
    assert steering_for("lookwhere", labelled, None, False, None) == "frozen"
    assert steering_for("full", labelled, None, None, None) == "frozen"
    assert steering_for("lookwhere", replace(labelled, kind="masks"), None, None, None) == "frozen"


def test_a_cascade_does_not_find_boxes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one label per picture"):
        run_of(replace(LEARNING, shape=Shape(method="dvt")), boxed(tmp_path / "set", 12), tmp_path / "out")
