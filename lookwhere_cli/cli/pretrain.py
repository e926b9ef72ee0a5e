"""`lookwhere pretrain`: what-where distillation from a timm ViT."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from lookwhere_cli.cli import pretrain_options as options
from lookwhere_cli.cli.fetching import check_teacher, ensure_downloaded
from lookwhere_cli.cli.options import Debug, Quiet
from lookwhere_cli.cli.runs import (
    check_area,
    command_line,
    create_run_dir,
    device_type,
    is_main_process,
    mixed_precision,
    resume_run,
    train_with_progress,
    training_into,
)
from lookwhere_cli.cli.summary import duration
from lookwhere_cli.cli.usage import as_typed
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.training.distil.plan import PretrainingPlan
    from lookwhere_cli.training.distil.recipe import Pretraining
    from lookwhere_cli.training.distil.views import ViewRecipe
    from lookwhere_cli.training.loop import Moment
    from lookwhere_cli.training.timm_models import TimmViT

LOSSES = ("loss", "cls", "patch", "map", "logits")


def pretrain(
    folders: options.Folders,
    teacher: options.Teachers,
    out: options.Out,
    init: options.Init = None,
    steps: options.Steps = 1000,
    batch_size: options.Batch = 64,
    size: options.Sizes = None,
    area: options.Area = (0.3, 1.0),
    squares: options.Squares = 0.5,
    colour: options.Colour = 0.0,
    augment: options.Augment = 9,
    mixed: options.Mixed = 0.0,
    coarse: options.Coarse = 0,
    patches: options.Patches = "16-128",
    default_k: options.DefaultK = 0.5,
    thumbnail_size: options.Thumbnail = 112,
    selector_depth: options.Depth = 3,
    registers: options.Registers = 0,
    prefix: options.Prefix = "add",
    map_queries: options.MapQueries = "cls",
    map_layers: options.MapLayers = 1,
    map_softmax: options.MapSoftmax = False,
    map_sinks: options.MapSinks = True,
    map_spacing: options.MapSpacing = None,
    head: options.Head = True,
    labels: options.Labels = None,
    cls_weight: options.ClsWeight = 1.0,
    patch_weight: options.PatchWeight = 1.0,
    map_weight: options.MapWeight = 0.1,
    logits_weight: options.LogitsWeight = 1.0,
    patch_loss: options.PatchLoss = "spread",
    lr: options.Rate = 1e-4,
    layer_decay: options.LayerDecay = 0.85,
    average: options.Average = 0.999,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    workers: options.Workers = 1,
    save_every: options.SaveEvery = 100,
    fail_fast: options.FailFast = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Distil a LookWhere model from a timm ViT, without labels: where to look, and what to see.

    Examples:

      lookwhere pretrain photos/ --teacher vit_small_patch14_dinov2 --out my-model --size 518

      lookwhere pretrain photos/ --teacher vit_tiny_patch16_224=deit.safetensors --out my-model
    """
    check_extra("train", "lookwhere pretrain")
    with training_into(out):
        _fetch(teacher, init, quiet)

        from lookwhere_cli.training.distil.losses import Weights
        from lookwhere_cli.training.distil.recipe import Pretraining
        from lookwhere_cli.training.distil.teacher import MapRecipe
        from lookwhere_cli.training.optim import Rates

        console = make_console(stderr=True, quiet=quiet or not is_main_process())
        vits = _load_teachers(teacher)
        used_device = device_type(device)
        draws = {"area": check_area(area), "squares": squares, "colour": colour, "magnitude": augment, "mixed": mixed}
        views = _views(vits[0], size, patches, coarse, **draws)
        weights = Weights(cls_weight, patch_weight, map_weight, logits_weight if head else 0.0)
        map_recipe = MapRecipe(map_queries, map_layers, map_softmax, map_sinks)
        rates, precision = Rates(lr, layer_decay), mixed_precision(dtype, used_device)
        recipe = Pretraining(steps, batch_size, views, thumbnail_size, selector_depth, registers, prefix, map_recipe)
        recipe = replace(recipe, weights=weights, patch_loss=patch_loss, rates=rates, average=average)
        recipe = replace(recipe, map_spacing=_spacing(map_spacing, init), precision=precision, seed=seed)
        names = _class_names(vits, labels) if head else ()
        create_run_dir(out)
        photographs = _as_begun(_photographs(folders, console, fail_fast), out)
        plan = _plan(recipe, vits, names, default_k, photographs, init, save_every)
        _train(plan, console, out, workers, used_device, fail_fast)


def _fetch(teachers: Sequence[str], init: str | None, quiet: bool) -> None:
    """Fetch the initial model if it is not here yet. Raises ModelError, also for teachers that timm can't fetch."""
    for teacher in teachers:
        check_teacher(teacher)
    if init:
        ensure_downloaded(init, quiet)


def _spacing(asked: float | None, init: str | None) -> float:
    """Return the spacing asked for, else that of the initial model, else 0. Raises ModelError."""
    from lookwhere_cli.checkpoints.configs import read_config
    from lookwhere_cli.checkpoints.resolve import find

    if asked is not None:
        return asked
    return read_config(find(init).folder).map_spacing if init else 0.0


def _load_teachers(specs: Sequence[str]) -> list[TimmViT]:
    from lookwhere_cli.training.timm_models import load_vit

    return [load_vit(spec) for spec in specs]


def _views(vit: TimmViT, sizes: Sequence[int] | None, patches: str, coarse: int, **draws: Any) -> ViewRecipe:
    """Return how views are drawn; by default at the teacher's own size. Raises UsageError."""
    from lookwhere_cli.sizes import check_multiple_of_patch
    from lookwhere_cli.training.distil.views import ViewRecipe
    from lookwhere_cli.training.timm_models import config_of

    config = config_of(vit)
    sizes = tuple(sizes or [config.size])
    if coarse:
        check_multiple_of_patch("--coarse", coarse, config.patch)
    return ViewRecipe(sizes, config.patch, _counts(patches), coarse=coarse, **draws)


def _plan(
    recipe: Pretraining,
    teachers: Sequence[TimmViT],
    labels: tuple[str, ...],
    k: float,
    folders: Sequence[Sequence[str]],
    init: str | None,
    save_every: int,
) -> PretrainingPlan:
    from lookwhere_cli.checkpoints.resolve import load_model
    from lookwhere_cli.training.distil.plan import PretrainingPlan
    from lookwhere_cli.training.distil.recipe import student_config

    config = student_config(teachers[0], recipe, labels, k)
    start = load_model(init, device="cpu") if init else None
    if start is not None:  # a map that is finer than this run's views need is kept
        config = replace(config, map_scale=max(config.map_scale, start.config.map_scale))
    return PretrainingPlan(recipe, teachers, config, folders, start, save_every)


def _train(plan: PretrainingPlan, console: Console, out: Path, workers: int, device: str, fail_fast: bool) -> None:
    from lookwhere_cli.training.loop import Run
    from lookwhere_cli.training.record import finish_pretraining

    started = time.monotonic()
    run = Run(plan, out, workers, device)
    resume_run(run, console)
    train_with_progress(run, console, _describer(plan.recipe.batch), lambda _: None, fail_fast)
    if run.accelerator.is_main_process:
        finish_pretraining(run, plan, command_line())
        spent = duration(time.monotonic() - started)
        usage = f"lookwhere train DATA --model {shlex.quote(str(out))} --out FOLDER"
        say(console, f"Saved {out} (after {counted(run.total, 'step')}) in {spent}; next: {usage}")


def _describer(batch: int) -> Callable[[Moment], str]:
    """Return what describes a step beside the progress bar: its losses, and the speed so far."""
    started, steps = time.perf_counter(), itertools.count(1)

    def describe(moment: Moment) -> str:
        """Return the step's losses, and the images per second since the first step."""
        rate = batch * next(steps) / (time.perf_counter() - started)
        losses = [f"{name} {moment.step[name]:.3f}" for name in LOSSES if name in moment.step]
        return "  ".join([*losses, f"{rate:.1f} images/s"])

    return describe


def _counts(text: str) -> tuple[int, int]:
    """Read a number of cells, or a range: 64, 16-128. Raises UsageError."""
    low, dash, high = text.partition("-")
    if not (low.isdecimal() and (high.isdecimal() if dash else True)) or not 1 <= int(low) <= int(high or low):
        raise UsageError(f"{as_typed('--patches', '-k')} {text} is not a range of counts; write one as in 16-128.")
    return int(low), int(high or low)


def _class_names(teachers: Sequence[TimmViT], file: Path | None) -> tuple[str, ...]:
    """Return names for the teachers' classes. Raises UsageError if the teachers have different numbers of them."""
    from lookwhere_cli.training.distil.labels import class_names

    counts = {int(teacher.vit.num_classes) for teacher in teachers}
    if len(counts) > 1:
        raise UsageError(
            f"The teachers have {' and '.join(map(str, sorted(counts)))} classes, so their logits can't be averaged; "
            "choose teachers with the same classes, or --no-head."
        )
    return class_names(counts.pop(), file)


def _as_begun(photographs: list[list[str]], out: Path) -> list[list[str]]:
    """Return the photographs with those that have gone since the run in the folder began. Raises DataError."""
    from lookwhere_cli.training.checkpoint import stored_pictures
    from lookwhere_cli.training.resuming import restored_paths

    return restored_paths(photographs, stored_pictures(out))


def _photographs(folders: Sequence[str], console: Console, fail_fast: bool) -> list[list[str]]:
    """Find each folder's photographs that can be read. Raises DataError for a folder without any.

    fail_fast: raise PictureError for the first that can't be read.
    """
    from lookwhere_cli.data.checks import drop_unreadable
    from lookwhere_cli.images.find import find_pictures

    photographs = []
    with console.status("Checking the photographs"):
        for folder in folders:
            found = find_pictures([folder])
            for note in found.notes:
                say(console, note)
            readable, problems = drop_unreadable(found, fail_fast)
            for sentence in problems:
                say(console, f"Skipped: {sentence}")
            if not readable:
                raise DataError(f"{folder!r} has no photograph that can be read.")
            photographs.append(readable)
    return photographs
