"""Complete runs on tiny sets: they learn, resume to the same result, and save their best weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lookwhere_cli.checkpoints.folder import Loaded, save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.regions import Regions, read_regions
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.training import loop
from lookwhere_cli.training.augment import Augmentation, fitted
from lookwhere_cli.training.finetune import plan
from lookwhere_cli.training.finetune.batches import load_sample
from lookwhere_cli.training.finetune.coverage import region_coverage
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.plan import FineTuningPlan, class_weights, fingerprint, typical_size
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.loop import Moment, Run
from lookwhere_cli.training.optim import Rates
from lookwhere_cli.training.sample import Sample
from tests.data.labelled import coloured, fields, spotted, start

RECIPE = FineTuning(
    epochs=4,
    batch=6,
    k=(4, 12),
    augmentation=Augmentation(area=(0.8, 1.0), colour=0.1),
    rates=Rates(peak=3e-3, layer_decay=1.0),
    average=0.9,
)
FINDING = replace(RECIPE, batch=16, k=(4, 8), shape=Shape(size=48, thumbnail_size=24), steering="look")


def run_of(
    recipe: FineTuning,
    labelled: LabelledSet,
    out: Path,
    look: Regions | None = None,
    base: Loaded | None = None,
    workers: int = 0,
) -> Run:
    out.mkdir(exist_ok=True)
    base = base or start()
    config = config_for(base.config, recipe.shape, labelled.kind, labelled.classes, typical_size(labelled))
    fine_tuning = FineTuningPlan(recipe, base, replace(config, k=recipe.k[0]), labelled, look)
    return Run(fine_tuning, out, workers, device="cpu")


def look_of(labelled: LabelledSet) -> Regions:
    return read_regions(labelled.root / "boxes.csv", labelled.root, [example.path for example in labelled.examples])


def same(one: LookWhere, other: LookWhere) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(value.equal(theirs[name]) for name, value in ours.items())


def without_time(records: list[dict[str, float]]) -> list[dict[str, float]]:
    timed = ("seconds", "images_per_second")
    return [{name: value for name, value in record.items() if name not in timed} for record in records]


def fallen(run: Run, name: str = "loss") -> float:
    """The loss of the last epoch as a share of the first's."""
    return run.epochs[-1][name] / run.epochs[0][name]


def found(model: LookWhere, labelled: LabelledSet, look: Regions) -> float:
    """The share of the pictures held back in which the model's own k cells touch what the boxes hold."""
    config, hits = model.config, []
    side, low = config.size, config.thumbnail_size
    for example in labelled.of("val"):
        if example.classes:
            sample = load_sample(example, look, Reading(config.patch, side))
            small = fitted(Sample(sample.picture), (low, low)).picture
            scores = model.select((small[None].float() / 255 - 0.5) / 0.5, config.grid).map[0]
            there = region_coverage(sample, config.grid, config.patch) > 0
            hits.append(bool(there[scores.topk(config.k.resolve(config.cells)).indices].any()))
    return float(np.mean(hits))


def test_one_label(tmp_path: Path) -> None:
    run = run_of(RECIPE, coloured(tmp_path / "set"), tmp_path / "out")
    moments = list(run.train())
    assert len(moments) == 12 and [moment.epoch is not None for moment in moments] == [False, False, True] * 4
    assert fallen(run) < 0.7
    assert run.epochs[-1]["top1"] > 0.8


@pytest.mark.parametrize("steering", ["frozen", "attention"])
def test_a_frozen_selector_is_unchanged(steering: Any, tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, epochs=1, steering=steering), coloured(tmp_path / "set"), tmp_path / "out")
    before = run.model.selector.head.w2.weight.clone()
    list(run.train())
    assert run.model.selector.head.w2.weight.equal(before) == (steering == "frozen")


@pytest.mark.slow
def test_boxes_train_the_selector_to_find_small_objects_with_several_labels(tmp_path: Path) -> None:
    labelled = spotted(tmp_path / "set")
    look, base = look_of(labelled), start()
    run = run_of(replace(FINDING, epochs=8), labelled, tmp_path / "out", look, base)
    at_first = found(run.averaged, labelled, look)
    list(run.train())
    assert fallen(run) < 0.5 and fallen(run, "look") < 0.5
    assert run.epochs[-1]["map"] > 0.8  # a quarter of the pictures show each label
    assert found(run.averaged, labelled, look) > max(0.8, at_first + 0.3)


@pytest.mark.slow
def test_masks_train_the_selector_towards_class_boundaries(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=10, k=(10, 18), rates=Rates(peak=1e-3, layer_decay=1.0), steering="look")
    labelled = fields(tmp_path / "set", count=24)
    run = run_of(replace(recipe, shape=Shape(decoder_channels=8)), labelled, tmp_path / "out")
    list(run.train())
    assert fallen(run, "task") < 0.7 and fallen(run, "look") < 0.7
    assert run.epochs[-1]["miou"] > 0.6  # all of one class is a third at most


@pytest.mark.parametrize("kind", ["masks", "single"])
def test_the_coarse_thumbnail_is_read_in_training_validation_and_later(kind: str, tmp_path: Path) -> None:
    labelled = fields(tmp_path / "set") if kind == "masks" else coloured(tmp_path / "set")
    recipe = replace(RECIPE, epochs=1, shape=Shape(decoder_channels=8, coarse=8))
    run, seen = run_of(recipe, labelled, tmp_path / "out"), []
    run.averaged.extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].coarse))
    list(run.train())
    assert seen and all(coarse.grid == (2, 2) for coarse in seen)
    assert load_model(str(tmp_path / "out"), "cpu").config.coarse_size == 8


def test_the_full_vit_learns_from_the_same_set(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=3, k=(1.0, 1.0), shape=Shape(method="full"))
    run = run_of(recipe, coloured(tmp_path / "set"), tmp_path / "out")
    moments = list(run.train())
    assert {moment.step["k"] for moment in moments} == {36}
    assert run.epochs[-1]["top1"] > 0.6


def interrupted_at(run: Run, step: int) -> None:
    """Ctrl-C in the midst of a run."""
    with pytest.raises(KeyboardInterrupt):
        for moment in run.train():
            if moment.step["step"] == step:
                signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["masks", "single"])
def test_a_run_that_is_interrupted_twice_ends_with_the_same_weights(kind: str, tmp_path: Path) -> None:
    labelled = fields(tmp_path / "set") if kind == "masks" else coloured(tmp_path / "set")
    recipe = replace(RECIPE, epochs=3, shape=Shape(decoder_channels=8), average=0.5)
    whole, parts = run_of(recipe, labelled, tmp_path / "whole"), tmp_path / "parts"
    list(whole.train())
    interrupted_at(run_of(recipe, labelled, parts), 1)  # in the midst of an epoch
    second = run_of(recipe, labelled, parts)
    assert second.resume() == 1
    for moment in second.train():
        if len(second.epochs) == 2 and not moment.epoch:
            break  # a step of the third epoch is lost, as when the machine goes down, and is done again
    done = 2 * second.period
    last = run_of(recipe, labelled, parts)
    assert last.resume() == done < len(second.steps)
    list(last.train())
    assert without_time(last.steps) == without_time(whole.steps)
    assert without_time(last.epochs) == without_time(whole.epochs)
    assert same(last.model, whole.model) and same(last.averaged, whole.averaged)
    one, other = (torch.load(folder / "checkpoint.pt")["optimizer"]["state"] for folder in (parts, tmp_path / "whole"))
    assert all(value.equal(other[key][name]) for key, state in one.items() for name, value in state.items())
    assert same(*(load_model(str(folder), "cpu").model for folder in (parts, tmp_path / "whole")))


@pytest.mark.slow
@pytest.mark.parametrize("done", [1, 2])
def test_further_epochs_go_on_with_a_schedule_of_their_own(done: int, tmp_path: Path) -> None:
    """The result is the same whether the further epochs are asked for after the last planned one, or before."""
    labelled, out = coloured(tmp_path / "set"), tmp_path / "out"
    first, more = replace(RECIPE, epochs=2), replace(RECIPE, epochs=4, extended=(2,))
    short = run_of(first, labelled, tmp_path / "short")
    list(short.train())
    run = run_of(first, labelled, out)
    for moment in run.train():
        if moment.epoch and moment.epoch["epoch"] == done:
            break
    run.save()
    longer = run_of(more, labelled, out)
    assert longer.resume() == done * longer.period
    interrupted_at(longer, 3 * longer.period - 1)
    last = run_of(more, labelled, out)
    last.resume()
    list(last.train())
    assert without_time(last.steps[: short.total]) == without_time(short.steps)
    rates = [step["rate"] for step in last.steps]
    assert rates[: short.total] == rates[short.total :] and len(last.epochs) == 4
    assert max(rates) == RECIPE.rates.peak


def test_the_recipe_of_a_continuation_names_the_earlier_runs() -> None:
    ten, twenty, thirty = (replace(RECIPE, epochs=epochs) for epochs in (10, 20, 30))
    second = twenty.going_on_from(ten.as_dict())
    assert second.extended == (10,) and second.earlier == ten and ten.earlier is None
    assert twenty.going_on_from(second.as_dict()) == second, "the same command resumes it"
    third = thirty.going_on_from(second.as_dict())
    assert third.extended == (10, 20) and third.earlier == second
    assert ten.going_on_from(ten.as_dict()) == ten and "extended" not in ten.as_dict()


def test_ctrl_c_saves_complete_steps(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    run = run_of(RECIPE, labelled, tmp_path / "out", workers=1)
    interrupted_at(run, 2)
    again = run_of(RECIPE, labelled, tmp_path / "out")
    assert again.resume() == run.saved == len(run.steps) == 2
    assert same(again.model, run.model) and same(again.averaged, run.averaged)


def test_a_step_that_fails_after_ctrl_c_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(RECIPE, coloured(tmp_path / "set"), tmp_path / "out")

    def broken(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(run.accelerator, "backward", broken)
    with pytest.raises(KeyboardInterrupt):
        list(run.train())
    assert run.saved == 0 and run.steps == [] and not (tmp_path / "out" / "checkpoint.pt").exists()


def test_patience_ends_a_run_for_good(tmp_path: Path) -> None:
    recipe, labelled = replace(RECIPE, patience=2, rates=Rates(peak=0.0)), coloured(tmp_path / "set")
    run = run_of(recipe, labelled, tmp_path / "out")
    list(run.train())
    assert len(run.epochs) == 3 and run.best["epoch"] == 1  # nothing is learnt, so the first is the best
    again = run_of(recipe, labelled, tmp_path / "out")
    assert again.resume() == 9
    assert list(again.train()) == [] and len(again.steps) == 9


def test_the_weights_of_the_best_epoch_are_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.2, 0.9, 0.9, 0.1])
    monkeypatch.setattr(plan, "validate", lambda *_, **__: {"top1": next(scores)})
    run = run_of(RECIPE, coloured(tmp_path / "set"), tmp_path / "out")
    averages = [
        {name: value.half() for name, value in run.averaged.state_dict().items()}
        for moment in run.train()
        if moment.epoch
    ]
    assert run.best["epoch"] == 2
    kept = load_model(str(tmp_path / "out"), device="cpu", dtype="float16")
    assert all(value.equal(averages[1][name]) for name, value in kept.model.state_dict().items())
    assert kept.config == run.averaged.config
    assert not all(value.equal(averages[2][name]) for name, value in kept.model.state_dict().items())


def test_the_average_follows_a_short_run(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")

    def distance(average: float) -> float:
        run = run_of(replace(RECIPE, average=average), labelled, tmp_path / str(average))
        first = [value.clone() for value in run.model.parameters()]
        list(run.train())

        def far(one: Iterator[Tensor], other: Iterator[Tensor] | list[Tensor]) -> float:
            return sum((a - b).square().sum().item() for a, b in zip(one, other, strict=True)) ** 0.5

        return far(run.averaged.parameters(), run.model.parameters()) / far(run.model.parameters(), first)

    assert distance(0.0) == 0
    assert 0 < distance(0.999) < 0.5  # twelve steps of 0.999 would leave it where it began


def test_another_seed_gives_another_result(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    runs = [
        run_of(replace(RECIPE, epochs=1, seed=seed), labelled, tmp_path / name)
        for seed, name in ((0, "a"), (0, "b"), (1, "c"))
    ]
    for run in runs:
        list(run.train())
    assert same(runs[0].model, runs[1].model) and not same(runs[0].model, runs[2].model)


@pytest.mark.parametrize("what", ["batch", "config", "data", "look", "start"])
def test_a_checkpoint_of_other_settings_is_refused(what: str, tmp_path: Path) -> None:
    labelled = spotted(tmp_path / "set", count=24)
    run = run_of(replace(FINDING, epochs=1, batch=8), labelled, tmp_path / "out", look_of(labelled))
    list(run.train())
    recipe, changed, base = run.plan.recipe, labelled, start()
    if what == "batch":
        recipe = replace(recipe, batch=4)
    if what == "config":
        recipe = replace(recipe, k=(5, 8))
    if what == "data":
        changed = replace(labelled, examples=labelled.examples[1:])
    if what == "look":
        boxes = labelled.root / "boxes.csv"
        boxes.write_text(boxes.read_text().rstrip() + "5\n")
    if what == "start":
        base = replace(base, revision="1")
    with pytest.raises(UsageError, match=rf"other settings \(({what}|config, k|data, look)\)"):
        run_of(recipe, changed, tmp_path / "out", look_of(changed), base).resume()


def test_the_fingerprint_of_a_set_is_that_of_older_checkpoints() -> None:
    examples = (
        Example("x/1.jpg", (0,), split="train"),
        Example("x/2.jpg", (), "m/2.png", split="val", group="g"),
    )
    labelled = LabelledSet("masks", ("a", "b"), examples, Path("x"))
    assert fingerprint(labelled) == "bc472414a01bcb00c7ea1ee209551b6e6e4273358afdbfebd105e876e90eddf2"


def test_an_exploding_loss_stops_the_run(tmp_path: Path) -> None:
    run = run_of(RECIPE, coloured(tmp_path / "set"), tmp_path / "out")
    with torch.no_grad():
        run.model.head.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"the loss is nan at step 0.*Try a lower --lr"):
        list(run.train())


def test_validation_pictures_without_any_class_stop_the_run(tmp_path: Path) -> None:
    labelled = spotted(tmp_path / "set", count=24)
    empty = tuple(replace(one, classes=()) if one.split == "val" else one for one in labelled.examples)
    run = run_of(replace(RECIPE, epochs=1), replace(labelled, examples=empty), tmp_path / "out")
    with pytest.raises(DataError, match="validation pictures show none of the classes"):
        list(run.train())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_region_mask_stops_the_run(workers: int, tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    (tmp_path / "where").mkdir()
    for example in labelled.examples:
        (tmp_path / "where" / Path(example.path).name).write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    look = read_regions(tmp_path / "where", labelled.root, [example.path for example in labelled.examples])
    run = run_of(replace(RECIPE, steering="look"), labelled, tmp_path / "out", look, workers=workers)
    with pytest.raises(
        DataError,
        match=r"^None of the training pictures can be read any more; .*: The mask '\S+/where/\d+\.png' can't be read: ",
    ):
        list(run.train())


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop.Accelerator, "num_processes", property(lambda _: 4))
    with pytest.raises(UsageError, match="--batch-size 6 can't be divided evenly among 4 processes"):
        run_of(RECIPE, coloured(tmp_path / "set"), tmp_path / "out")


def test_rare_classes_have_higher_weights_up_to_a_limit() -> None:
    counts = (40, 10, 10, 1)
    examples = tuple(
        Example(str(label), (label,), split="train") for label, count in enumerate(counts) for _ in range(count)
    )
    labelled = LabelledSet("single", ("a", "b", "c", "d"), examples, Path())
    assert class_weights(labelled, 1.0).tolist() == pytest.approx([0.25, 1, 1, 10])
    assert class_weights(labelled, 0.5).tolist() == pytest.approx([0.5, 1, 1, 10**0.5])
    assert class_weights(labelled, 0.0).tolist() == [1, 1, 1, 1]
    held_back = tuple(replace(one, split="val") if one.classes == (0,) else one for one in examples)
    assert class_weights(replace(labelled, examples=held_back), 1.0).tolist()[0] == pytest.approx(5.5)


def test_weights_of_several_labels_are_negatives_over_positives(tmp_path: Path) -> None:
    classes = [(0,), (0, 1), (0,), (), ()]
    examples = tuple(Example(str(index), of, split="train") for index, of in enumerate(classes))
    labelled = LabelledSet("multi", ("a", "b"), examples, Path())
    assert class_weights(labelled, 1.0).tolist() == pytest.approx([2 / 3, 4])


def test_weights_of_masks_count_pixels_without_ignored_ones(tmp_path: Path) -> None:
    labelled = fields(tmp_path / "set", count=3, edge=8)  # of 32 columns 8 are of class 0, one is 255
    assert class_weights(labelled, 1.0).tolist() == pytest.approx([15.5 / 8, 15.5 / 23])


def test_a_half_precision_start_is_trained_in_float32(tmp_path: Path) -> None:
    save_model(tmp_path / "half", start().model.half())
    run = run_of(
        replace(RECIPE, epochs=1),
        coloured(tmp_path / "set"),
        tmp_path / "out",
        base=load_model(str(tmp_path / "half"), "cpu", "float16"),
    )
    moment = next(iter(run.train()))
    assert isinstance(moment, Moment)
    assert {parameter.dtype for parameter in run.model.parameters()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("taught", ["look", "attention", "pruning"])
def test_two_processes_end_as_one(taught: str, tmp_path: Path) -> None:
    """The same global batch, split between two processes: the same weights, within rounding."""
    labelled, data = spotted(tmp_path / "set", count=24), tmp_path / "set"
    named = [
        (labelled.name(one), ";".join(labelled.classes[label] for label in one.classes)) for one in labelled.examples
    ]
    (data / "labels.csv").write_text("\n".join(["file,labels", *map(",".join, named)]) + "\n")
    save_model(tmp_path / "start", start().model)
    options = [
        *("--multi-label", "--epochs", "2", "--batch-size", "6", "-k", "4-12", "--workers", "0"),
        *("--device", "cpu", "--dtype", "float32", "--model", tmp_path / "start"),
        *{
            "look": ("--look", data / "boxes.csv"),
            "attention": ("--train-selector",),
            "pruning": ("--method", "cropr", "--prune", "60%"),
        }[taught],
    ]
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    for name, begun in (("one", []), ("two", launch)):
        done = subprocess.run(
            [sys.executable, *begun, "-m", "lookwhere_cli", "train", data, *options, "--out", tmp_path / name],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Saved ") == 1
        assert json.loads((tmp_path / name / "training.json").read_text())["processes"] == (2 if begun else 1)
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("one", "two"))
    for part in ("model", "auxiliaries"):
        assert one[part].keys() == two[part].keys() and (part == "model" or bool(one[part]) == (taught == "pruning"))
        for name in one[part]:
            # A key's bias has no gradient but rounding, which AdamW makes as large as any.
            ours, theirs = (without_keys(name, of[part][name]) for of in (two, one))
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5, msg=name)
    for record in ("steps", "epochs"):
        for ours, theirs in zip(without_time(two[record]), without_time(one[record]), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3)


def without_keys(name: str, value: Tensor) -> Tensor:
    """A tensor but for what only shifts all scores of a query alike."""
    return value.unflatten(0, (3, -1))[[0, 2]] if name.endswith("qkv.bias") else value


def test_epochs_may_be_scored_now_and_then_and_the_last_one_always_is(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=5, validate_every=2)
    run = run_of(recipe, coloured(tmp_path / "set"), tmp_path / "out")
    moments = list(run.train())
    assert [epoch["epoch"] for epoch in run.epochs] == [2, 4, 5]
    assert [bool(moment.epoch) for moment in moments] == [step in (6, 12, 15) for step in range(1, 16)]
    losses = [step["loss"] for step in run.steps]
    assert [epoch["loss"] for epoch in run.epochs] == pytest.approx(
        [np.mean(losses[:6]), np.mean(losses[6:12]), np.mean(losses[12:])]
    )
    assert recipe.as_dict()["validate_every"] == 2 and "validate_every" not in RECIPE.as_dict()


def test_patience_counts_epochs_also_if_not_all_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "validate", lambda model, labelled, failed: {"top1": 0.5})
    recipe = replace(RECIPE, epochs=12, validate_every=2, patience=4)
    run = run_of(recipe, coloured(tmp_path / "set"), tmp_path / "out")
    list(run.train())
    assert [epoch["epoch"] for epoch in run.epochs] == [2, 4, 6]
