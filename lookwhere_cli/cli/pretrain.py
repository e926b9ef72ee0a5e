"""`lookwhere pretrain`: what-where distillation from a timm ViT."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lookwhere_cli.checkpoints.names import WEIGHTS
from lookwhere_cli.cli.output import say
from lookwhere_cli.errors import DataError, UsageError

if TYPE_CHECKING:
    from lookwhere_cli.training.pretrain import Run
    from lookwhere_cli.training.timm_models import Source

DATA, LOOK, LOSS, OPTIMISE = "Photographs and views", "Where to look", "Losses", "Optimisation"


def pretrain(
    folders: Annotated[
        list[str], typer.Argument(metavar="FOLDER...", help="Photographs; several folders are drawn from evenly.")
    ],
    teacher: Annotated[
        list[str], typer.Option(help="A timm ViT: NAME, FILE.safetensors or NAME=FILE. Repeat to average logits.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the model; a run that stopped there is taken up again.")],
    init: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Start from this model's weights instead of the teacher's.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1)] = 1000,
    batch_size: Annotated[int, typer.Option(min=1)] = 64,
    size: Annotated[
        list[int] | None,
        typer.Option(help="Pixels; repeat to draw from several. [default: teacher's]", rich_help_panel=DATA),
    ] = None,
    area: Annotated[tuple[float, float], typer.Option(help="A crop's share of the picture.", rich_help_panel=DATA)] = (
        0.3,
        1.0,
    ),
    augment: Annotated[int, typer.Option(min=0, max=30, help="RandAugment's magnitude.", rich_help_panel=DATA)] = 9,
    mixed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of steps with views mixed in pairs.", rich_help_panel=DATA)
    ] = 0.0,
    patches: Annotated[
        str, typer.Option("--patches", "-k", help="Cells kept, drawn from LOW-HIGH each step.", rich_help_panel=LOOK)
    ] = "16-128",
    default_k: Annotated[
        float, typer.Option(min=0.001, max=1, help="Share of cells the model keeps by default.", rich_help_panel=LOOK)
    ] = 0.5,
    thumbnail_size: Annotated[int, typer.Option(help="Pixels.", rich_help_panel=LOOK)] = 112,
    selector_depth: Annotated[int, typer.Option(min=1, help="Blocks.", rich_help_panel=LOOK)] = 3,
    prefix: Annotated[
        Literal["add", "replace"], typer.Option(help="How the gist reaches the extractor.", rich_help_panel=LOOK)
    ] = "add",
    map_queries: Annotated[Literal["cls", "patches", "registers"], typer.Option(rich_help_panel=LOOK)] = "cls",
    map_layers: Annotated[int, typer.Option(min=0, help="Last blocks averaged; 0: all.", rich_help_panel=LOOK)] = 1,
    map_softmax: Annotated[bool, typer.Option(help="Attention after softmax.", rich_help_panel=LOOK)] = False,
    head: Annotated[bool, typer.Option(help="Keep a labelled teacher's head.", rich_help_panel=LOSS)] = True,
    labels: Annotated[
        Path | None, typer.Option(help="A name per line, for classes that timm can't name.", rich_help_panel=LOSS)
    ] = None,
    cls_weight: Annotated[float, typer.Option(min=0, rich_help_panel=LOSS)] = 1.0,
    patch_weight: Annotated[float, typer.Option(min=0, rich_help_panel=LOSS)] = 1.0,
    map_weight: Annotated[float, typer.Option(min=0, rich_help_panel=LOSS)] = 0.1,
    logits_weight: Annotated[float, typer.Option(min=0, rich_help_panel=LOSS)] = 1.0,
    patch_loss: Annotated[
        Literal["spread", "chosen"], typer.Option(help="Against all patches, or one to one.", rich_help_panel=LOSS)
    ] = "spread",
    lr: Annotated[float, typer.Option(min=0, help="Peak rate.", rich_help_panel=OPTIMISE)] = 1e-4,
    layer_decay: Annotated[
        float, typer.Option(min=0, max=1, help="Rate's factor per block towards the first.", rich_help_panel=OPTIMISE)
    ] = 0.85,
    average: Annotated[
        float, typer.Option(min=0, max=1, help="Decay of the averaged weights.", rich_help_panel=OPTIMISE)
    ] = 0.999,
    seed: Annotated[int, typer.Option(min=0, rich_help_panel=OPTIMISE)] = 0,
    device: Annotated[Literal["auto", "cpu"], typer.Option(rich_help_panel=OPTIMISE)] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"],
        typer.Option(help="auto: bfloat16 where it pays.", rich_help_panel=OPTIMISE),
    ] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that read photographs.", rich_help_panel=OPTIMISE)] = 1,
    save_every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.", rich_help_panel=OPTIMISE)] = 100,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Distil a LookWhere model from a timm ViT, without labels: where to look, and what to see.

    Examples:

      lookwhere pretrain photos/ --teacher vit_small_patch14_dinov2 --out my-model --size 518

      lookwhere pretrain photos/ --teacher vit_tiny_patch16_224=deit.safetensors --out my-model
    """
    from lookwhere_cli.training.losses import Weights
    from lookwhere_cli.training.optimise import Rates
    from lookwhere_cli.training.pretrain import Pretraining, Run, student_config
    from lookwhere_cli.training.teacher import MapRecipe
    from lookwhere_cli.training.timm_models import config_of, load_vit
    from lookwhere_cli.training.views import ViewRecipe

    console = Console(stderr=True, quiet=quiet)
    sources = [load_vit(spec) for spec in teacher]
    shape = config_of(sources[0])
    recipe = Pretraining(
        steps=steps,
        batch=batch_size,
        views=ViewRecipe(tuple(size or [shape.size]), shape.patch, _counts(patches), _shares(area), augment, mixed),
        thumbnail_size=thumbnail_size,
        selector_depth=selector_depth,
        prefix=prefix,
        map_recipe=MapRecipe(map_queries, map_layers, map_softmax),
        weights=Weights(cls_weight, patch_weight, map_weight, logits_weight if head else 0.0),
        patch_loss=patch_loss,
        rates=Rates(lr, layer_decay),
        average=average,
        precision=_precision(dtype, device),
        seed=seed,
    )
    config = student_config(sources[0], recipe, _labels(sources, labels) if head else (), default_k)
    folder = _made(out)
    run = Run(recipe, sources, config, _photographs(folders, console), folder, workers, device)
    if init:
        run.start_from(init)
    _train(run, console, save_every, [source.name for source in sources])


def _train(run: Run, console: Console, save_every: int, teachers: list[str]) -> None:
    from lookwhere_cli.training.record import finish

    recipe, done = run.recipe, run.resume()
    if done:
        console.print(f"Taken up after {done:,} of {recipe.steps:,} steps.")
    started = time.perf_counter()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=recipe.steps, completed=done)
        for numbers in run.train(save_every):
            rate = recipe.batch * len(run.history[done:]) / (time.perf_counter() - started)
            progress.update(task, advance=1, description=_told(numbers, rate))
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


def _shares(area: tuple[float, float]) -> tuple[float, float]:
    if not 0 < area[0] <= area[1] <= 1:
        raise UsageError(f"--area {area[0]:g} {area[1]:g} is no range of shares; write, for instance, 0.3 1.")
    return area


def _precision(dtype: str, device: str) -> str:
    import torch

    if dtype == "auto":
        on_gpu = device == "auto" and torch.cuda.is_available()
        pays = torch.cuda.is_bf16_supported() if on_gpu else bool(torch.cpu.get_capabilities().get("avx512_bf16"))
        dtype = "bfloat16" if pays else "float32"
    return "bf16" if dtype == "bfloat16" else "no"


def _labels(sources: Sequence[Source], file: Path | None) -> tuple[str, ...]:
    from lookwhere_cli.training.labels import class_names

    counts = {int(source.vit.num_classes) for source in sources}
    if len(counts) > 1:
        raise UsageError(
            f"the teachers have {' and '.join(map(str, sorted(counts)))} classes; their logits can't be averaged."
        )
    return class_names(counts.pop(), file)


def _photographs(folders: Sequence[str], console: Console) -> list[list[str]]:
    from lookwhere_cli.images.find import find_pictures
    from lookwhere_cli.training.views import readable

    kept = []
    with console.status("Reading the photographs once"):
        for folder in folders:
            good, broken = readable(find_pictures([folder]))
            for sentence in broken:
                say(console, f"Passed over: {sentence}")
            if not good:
                raise DataError(f"{folder!r} holds no photograph that can be read.")
            kept.append(good)
    return kept


def _made(out: Path) -> Path:
    from lookwhere_cli.training import checkpoint

    if (out / WEIGHTS).exists() and not (out / checkpoint.FILE).exists():
        raise UsageError(f"--out {out} holds a finished model and no checkpoint to take up; choose another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} can't be made ({error.strerror}); choose another place.") from None
    return out
