"""`lookwhere pretrain`: what-where distillation from a timm ViT."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from lookwhere_cli.cli import pretrain_options as asked
from lookwhere_cli.cli.options import Debug, Quiet
from lookwhere_cli.cli.runs import made, placed, precision, shares
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.show.console import PlainTextColumn, make_console, say

if TYPE_CHECKING:
    from lookwhere_cli.training.distil.pretrain import Run
    from lookwhere_cli.training.timm_models import Source


def pretrain(
    folders: asked.Folders,
    teacher: asked.Teachers,
    out: asked.Out,
    init: asked.Init = None,
    steps: asked.Steps = 1000,
    batch_size: asked.Batch = 64,
    size: asked.Sizes = None,
    area: asked.Area = (0.3, 1.0),
    augment: asked.Augment = 9,
    mixed: asked.Mixed = 0.0,
    patches: asked.Patches = "16-128",
    default_k: asked.DefaultK = 0.5,
    thumbnail_size: asked.Thumbnail = 112,
    selector_depth: asked.Depth = 3,
    prefix: asked.Prefix = "add",
    map_queries: asked.MapQueries = "cls",
    map_layers: asked.MapLayers = 1,
    map_softmax: asked.MapSoftmax = False,
    head: asked.Head = True,
    labels: asked.Labels = None,
    cls_weight: asked.ClsWeight = 1.0,
    patch_weight: asked.PatchWeight = 1.0,
    map_weight: asked.MapWeight = 0.1,
    logits_weight: asked.LogitsWeight = 1.0,
    patch_loss: asked.PatchLoss = "spread",
    lr: asked.Rate = 1e-4,
    layer_decay: asked.LayerDecay = 0.85,
    average: asked.Average = 0.999,
    seed: asked.Seed = 0,
    device: asked.Device = "auto",
    dtype: asked.Dtype = "auto",
    workers: asked.Workers = 1,
    save_every: asked.SaveEvery = 100,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Distil a LookWhere model from a timm ViT, without labels: where to look, and what to see.

    Examples:

      lookwhere pretrain photos/ --teacher vit_small_patch14_dinov2 --out my-model --size 518

      lookwhere pretrain photos/ --teacher vit_tiny_patch16_224=deit.safetensors --out my-model
    """
    from lookwhere_cli.training.distil.losses import Weights
    from lookwhere_cli.training.distil.pretrain import Pretraining, Run, student_config
    from lookwhere_cli.training.distil.teacher import MapRecipe
    from lookwhere_cli.training.distil.views import ViewRecipe
    from lookwhere_cli.training.optim import Rates
    from lookwhere_cli.training.timm_models import config_of, load_vit

    console = make_console(stderr=True, quiet=quiet)
    place = placed(device)
    sources = [load_vit(spec) for spec in teacher]
    shape = config_of(sources[0])
    recipe = Pretraining(
        steps=steps,
        batch=batch_size,
        views=ViewRecipe(tuple(size or [shape.size]), shape.patch, _counts(patches), shares(area), augment, mixed),
        thumbnail_size=thumbnail_size,
        selector_depth=selector_depth,
        prefix=prefix,
        map_recipe=MapRecipe(map_queries, map_layers, map_softmax),
        weights=Weights(cls_weight, patch_weight, map_weight, logits_weight if head else 0.0),
        patch_loss=patch_loss,
        rates=Rates(lr, layer_decay),
        average=average,
        precision=precision(dtype, place),
        seed=seed,
    )
    config = student_config(sources[0], recipe, _labels(sources, labels) if head else (), default_k)
    folder = made(out)
    run = Run(recipe, sources, config, _photographs(folders, console), folder, workers, place, init)
    _train(run, console, save_every, [source.name for source in sources])


def _train(run: Run, console: Console, save_every: int, teachers: list[str]) -> None:
    from lookwhere_cli.training.record import finish

    recipe, done = run.recipe, run.resume()
    if done:
        console.print(f"Taken up after {done:,} of {recipe.steps:,} steps.")
    console.quiet = console.quiet or not run.accelerator.is_main_process
    started = time.perf_counter()
    columns = (PlainTextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=recipe.steps, completed=done)
        try:
            for numbers in run.train(save_every):
                rate = recipe.batch * len(run.history[done:]) / (time.perf_counter() - started)
                progress.update(task, advance=1, description=_told(numbers, rate))
        except KeyboardInterrupt:
            say(console, f"Stopped after {len(run.history):,} of {recipe.steps:,} steps; the same command goes on.")
            raise
    if run.accelerator.is_main_process:
        record = {
            "command": shlex.join(["lookwhere", *sys.argv[1:]]),
            "teachers": teachers,
            "photographs": sum(map(len, run.folders)),
            "views": recipe.steps * recipe.batch,
            "seconds": round(sum(step["seconds"] for step in run.history)),
            "device": str(run.accelerator.device),
            "recipe": recipe.as_dict(),
        }
        finish(run.out, run.averaged, record, run.history)
        console.print(f"The model is in {run.out}.")


def _told(numbers: object, rate: float) -> str:
    shown = [f"{name} {numbers[name]:.3f}" for name in ("loss", "cls", "patch", "map", "logits") if name in numbers]  # type: ignore[operator, index]
    return "  ".join([*shown, f"{rate:.1f} images/s"])


def _counts(text: str) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    if not (low.isdecimal() and (high.isdecimal() if dash else True)) or not 1 <= int(low) <= int(high or low):
        raise UsageError(f"--patches {text} is no range of counts; write, for instance, 16-128.")
    return int(low), int(high or low)


def _labels(sources: Sequence[Source], file: Path | None) -> tuple[str, ...]:
    from lookwhere_cli.training.distil.labels import class_names

    counts = {int(source.vit.num_classes) for source in sources}
    if len(counts) > 1:
        raise UsageError(
            f"the teachers have {' and '.join(map(str, sorted(counts)))} classes; their logits can't be averaged."
        )
    return class_names(counts.pop(), file)


def _photographs(folders: Sequence[str], console: Console) -> list[list[str]]:
    from lookwhere_cli.data.checks import drop_unreadable
    from lookwhere_cli.images.find import find_pictures

    kept = []
    with console.status("Reading the photographs once"):
        for folder in folders:
            good, broken = drop_unreadable(find_pictures([folder]))
            for sentence in broken:
                say(console, f"Passed over: {sentence}")
            if not good:
                raise DataError(f"{folder!r} holds no photograph that can be read.")
            kept.append(good)
    return kept
