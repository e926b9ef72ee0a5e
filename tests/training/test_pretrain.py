"""A complete distillation on a tiny teacher: it learns, and resumes to the same result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.errors import DataError, ModelError, UsageError
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.training.distil.distillation import student_of
from lookwhere_cli.training.distil.losses import Weights
from lookwhere_cli.training.distil.plan import PretrainingPlan
from lookwhere_cli.training.distil.recipe import Pretraining, student_config
from lookwhere_cli.training.distil.teacher import MapRecipe
from lookwhere_cli.training.distil.views import ViewBatch, ViewRecipe
from lookwhere_cli.training.loop import Run
from lookwhere_cli.training.optim import Rates, optimizer_of, set_rates
from lookwhere_cli.training.timm_models import load_vit
from tests.training.tiny import photographs, teacher_file

RECIPE = Pretraining(
    steps=8,
    batch=6,
    views=ViewRecipe(sizes=(32,), patch=8, k=(4, 12), mixed=0.3),
    thumbnail_size=16,
    selector_depth=1,
    rates=Rates(peak=2e-3),
    average=0.5,
)
LABELS = ("a", "b", "c", "d")


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return teacher_file(tmp_path)


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    return sorted(map(str, photographs(tmp_path / "photographs").iterdir()))


def run_of(
    recipe: Pretraining,
    teacher: Path,
    paths: list[str],
    out: Path,
    labels: tuple[str, ...] = LABELS,
    init: Path | None = None,
    save_every: int = 100,
) -> Run[ViewBatch]:
    out.mkdir(exist_ok=True)
    sources = [load_vit(str(teacher))] * (2 if labels else 1)
    config = student_config(sources[0], recipe, labels, 0.5)
    start = load_model(str(init), "cpu") if init else None
    return Run(PretrainingPlan(recipe, sources, config, [paths], start, save_every), out, workers=0, device="cpu")


def same(one: LookWhere, other: LookWhere, tolerance: float = 0.0) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a, b, rtol=0, atol=tolerance) for a, b in pairs)


@pytest.mark.slow
def test_every_loss_falls(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    easy = replace(RECIPE.views, magnitude=0, area=(0.9, 1.0), mixed=0.0)
    run = run_of(replace(RECIPE, steps=200, views=easy), teacher, paths, tmp_path / "out")
    history = [moment.step for moment in run.train()]
    for name in ("loss", "cls", "patch", "map", "logits"):
        early, late = (sum(step[name] for step in part) for part in (history[:10], history[-10:]))
        assert late < 0.9 * early, name


def test_a_resumed_run_ends_with_the_same_weights(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    whole = run_of(RECIPE, teacher, paths, tmp_path / "whole")
    list(whole.train())
    first = run_of(RECIPE, teacher, paths, tmp_path / "broken", save_every=3)
    for moment in first.train():
        if moment.step["step"] == 5:
            break  # after the checkpoint of step 3: two steps are lost and done again
    second = run_of(RECIPE, teacher, paths, tmp_path / "broken")
    assert second.resume() == 3
    list(second.train())
    assert [step["loss"] for step in second.steps] == [step["loss"] for step in whole.steps]
    assert same(second.model, whole.model)
    assert same(second.averaged, whole.averaged)


def test_a_seed_gives_one_result_and_another_seed_another(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    runs = [run_of(replace(RECIPE, steps=2, seed=seed), teacher, paths, tmp_path / name) for seed, name in
            ((0, "a"), (0, "b"), (1, "c"))]  # fmt: skip
    for run in runs:
        list(run.train())
    assert same(runs[0].model, runs[1].model)
    assert not same(runs[0].model, runs[2].model)


def test_features_only_and_one_to_one_patches(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, steps=2, patch_loss="chosen", prefix="replace"), teacher, paths, tmp_path / "o", ())
    history = [moment.step for moment in run.train()]
    assert set(history[0]) >= {"cls", "patch", "map"}
    assert "logits" not in history[0]
    assert run.averaged.config.task == "features"


def test_a_loss_without_weight_is_not_computed(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, steps=1, weights=Weights(patch=0)), teacher, paths, tmp_path / "out")
    assert "patch" not in next(iter(run.train())).step


def test_coarse_patches_of_a_view_reach_the_student(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    plan = run_of(RECIPE, teacher, paths, tmp_path / "out").plan
    learner = plan.learner(plan.start_model(), torch.device("cpu"))
    batch = plan.batches((0, 1))[0]
    losses = [learner.module(batch._replace(mix=1.0, coarse=coarse)) for coarse in (0, 16, 32)]
    assert losses[0].keys() == losses[1].keys()
    assert len({float(one["cls"]) for one in losses}) == 3
    assert len({float(one["map"]) for one in losses}) == 1  # the selector sees the same thumbnail


def test_replaced_prefix_tokens_are_frozen(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, steps=3, prefix="replace"), teacher, paths, tmp_path / "out")
    before = run.model.extractor.cls_token.clone()
    list(run.train())
    assert run.model.extractor.cls_token.equal(before)


@pytest.mark.parametrize("shape", [{}, {"no_embed_class": True}, {"reg_tokens": 2}])
def test_registers_start_as_what_the_teacher_makes_of_grey_corners(tmp_path: Path, shape: dict[str, object]) -> None:
    source = load_vit(str(teacher_file(tmp_path, **shape)))
    config = student_config(source, replace(RECIPE, registers=4), LABELS, 0.5)
    student, vit = student_of(source.vit, config), source.vit
    with torch.no_grad():
        tokens = vit._pos_embed(vit.patch_embed(torch.zeros(1, 3, 32, 32)))
    cells = tokens[:, -16:]
    own = tokens[:, : vit.num_prefix_tokens]
    expected = torch.cat([own, cells[:, [0, 3, 12, 15]]], dim=1)
    for part in (student.extractor, student.selector.backbone):
        torch.testing.assert_close(part.prefix(), expected)
    torch.testing.assert_close(student.extractor.positions((4, 4)), vit.pos_embed[0, -16:])


def test_registers_are_trained_and_counted(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, registers=2, steps=3), teacher, paths, tmp_path / "out")
    before = run.model.extractor.reg_token.detach().clone()
    list(run.train())
    assert run.averaged.config.registers == 2
    assert not run.model.extractor.reg_token.equal(before)


def test_a_student_reads_the_cells_that_its_spacing_favours(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    """A spacing beyond all scores: of 16 cells, the 8 with an advantage are read."""
    recipe = replace(RECIPE, map_spacing=100.0, views=replace(RECIPE.views, k=(8, 8), squares=1.0))
    plan = run_of(recipe, teacher, paths, tmp_path / "out").plan
    student, read = plan.start_model(), []
    student.extractor.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].cells))
    plan.learner(student, torch.device("cpu")).module(plan.batches((0, 1))[0])
    assert ((read[0] // 4 + read[0] % 4) % 2 == 1).all()


def test_the_average_of_a_short_run_follows_its_weights(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, steps=12, average=0.999), teacher, paths, tmp_path / "out")
    start = [parameter.detach().clone() for parameter in run.model.parameters()]
    list(run.train())
    to_start, to_end = (
        sum((averaged - other).norm() for averaged, other in zip(run.averaged.parameters(), others, strict=True))
        for others in (start, run.model.parameters())
    )
    assert to_end < to_start


def test_a_run_starts_from_a_given_model(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    first, given = run_of(RECIPE, teacher, paths, tmp_path / "first"), tmp_path / "model"
    list(first.train())
    save_model(given, first.averaged)
    assert not same(run_of(RECIPE, teacher, paths, tmp_path / "o").model, first.averaged)
    second = run_of(RECIPE, teacher, paths, tmp_path / "o", init=given)
    assert same(second.model, first.averaged)
    assert same(second.averaged, first.averaged)
    larger = replace(RECIPE, views=replace(RECIPE.views, sizes=(48,)), thumbnail_size=24)
    grown = run_of(larger, teacher, paths, tmp_path / "o", init=given).model.extractor
    assert grown.positions((6, 6)).equal(first.averaged.extractor.positions((6, 6)))
    with pytest.raises(ModelError, match=r"has selector_depth 1 instead of 2 \(--selector-depth\)\."):
        run_of(replace(RECIPE, selector_depth=2), teacher, paths, tmp_path / "o", init=given)


def test_ctrl_c_saves_complete_steps(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(RECIPE, teacher, paths, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        for moment in run.train():
            if moment.step["step"] == 3:
                signal.raise_signal(signal.SIGINT)
    again = run_of(RECIPE, teacher, paths, tmp_path / "out")
    assert again.resume() == 3
    assert same(again.model, run.model)


@pytest.mark.parametrize("what", ["teachers", "photographs", "config", "init"])
def test_a_run_with_another_input_is_refused(what: str, teacher: Path, paths: list[str], tmp_path: Path) -> None:
    """Another teacher, photograph, head or start does not take up a checkpoint."""
    first = run_of(replace(RECIPE, steps=1), teacher, paths, tmp_path / "out")
    list(first.train())
    save_model(tmp_path / "model", first.averaged)
    changed = {"paths": paths, "labels": LABELS, "init": None}
    if what == "teachers":
        state = load_file(teacher)
        save_file(state | {"cls_token": state["cls_token"] + 1}, teacher, metadata={"num_heads": "1"})
    changed |= {"photographs": {"paths": paths[1:]}, "config": {"labels": ("a", "b", "c", "e")}}.get(what, {})
    changed |= {"init": tmp_path / "model"} if what == "init" else {}
    with pytest.raises(UsageError, match=rf"other settings \({what}\)"):
        run_of(replace(RECIPE, steps=1), teacher, out=tmp_path / "out", **changed).resume()  # type: ignore[arg-type]


def test_a_checkpoint_of_another_recipe_is_refused(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    list(run_of(replace(RECIPE, steps=1), teacher, paths, tmp_path / "out").train())
    with pytest.raises(UsageError, match="seed, steps"):
        run_of(replace(RECIPE, steps=2, seed=5), teacher, paths, tmp_path / "out").resume()


def test_a_damaged_checkpoint_is_refused(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(replace(RECIPE, steps=1), teacher, paths, tmp_path / "out")
    list(run.train())
    file = tmp_path / "out" / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"checkpoint\.pt' is damaged"):
        run.resume()


def test_a_size_that_is_no_multiple_of_the_patch_is_refused(teacher: Path) -> None:
    with pytest.raises(UsageError, match=r"thumbnail size is 20 pixels.* use 16 or 24"):
        student_config(load_vit(str(teacher)), replace(RECIPE, thumbnail_size=20), (), 0.5)


def test_an_exploding_loss_stops_the_run(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    run = run_of(RECIPE, teacher, paths, tmp_path / "out")
    with torch.no_grad():
        run.model.head.weight.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(DataError, match="The training diverged: the loss is nan at step 0"):
        list(run.train())


def test_rates_warm_up_fall_and_differ_by_depth(teacher: Path) -> None:
    config = student_config(load_vit(str(teacher)), RECIPE, LABELS, 0.5)
    model, rates = LookWhere(config), Rates(peak=1.0, layer_decay=0.5, fresh=10.0)
    optimizer = optimizer_of(model, rates)
    shares = [set_rates(optimizer, rates, step, 100) for step in range(100)]
    assert shares[0] < shares[5] < shares[9] == 1.0
    assert shares[99] == pytest.approx(rates.floor, abs=0.01)
    set_rates(optimizer, rates, 9, 100)
    rate = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    first, last = model.extractor.blocks[0], model.extractor.blocks[-1]
    assert rate[id(last.attn.qkv.weight)]["lr"] == 1.0
    assert rate[id(first.attn.qkv.weight)]["lr"] == 0.25
    assert rate[id(model.selector.head.w1.weight)]["lr"] == 10.0
    assert rate[id(first.attn.qkv.weight)]["weight_decay"] == rates.weight_decay
    assert rate[id(first.attn.qkv.bias)]["weight_decay"] == 0
    assert rate[id(model.extractor.pos_embed)]["weight_decay"] == 0
    assert {id(p) for p in model.parameters()} == set(rate)


def test_after_softmax_and_several_layers_train(teacher: Path, paths: list[str], tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=1, map_recipe=MapRecipe("patches", 0, softmax=True))
    assert next(iter(run_of(recipe, teacher, paths, tmp_path / "out").train())).step["map"] > 0


@pytest.mark.slow
def test_two_processes_end_as_one(tmp_path: Path) -> None:
    """The same global batch, split between two processes: the same weights, within rounding."""
    teacher, folder = teacher_file(tmp_path), photographs(tmp_path / "photographs")
    command = ["-m", "lookwhere_cli", "pretrain", str(folder), "--teacher", str(teacher), "--steps", "3"]
    command += ["--batch-size", "4", "--thumbnail-size", "16", "--selector-depth", "1", "-k", "4-12", "--workers", "0"]
    command += ["--device", "cpu", "--dtype", "float32", "--average", "0"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name, start in (("one", [sys.executable]), ("two", launch)):
        done = subprocess.run(
            [*start, *command, "--out", str(tmp_path / name)], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("one", "two"))
    for name, value in one["student"].items():
        torch.testing.assert_close(value, two["student"][name], rtol=1e-4, atol=1e-5)
