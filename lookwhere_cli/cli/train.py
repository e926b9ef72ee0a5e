"""`lookwhere train`: fine-tuning on labelled pictures of one's own."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from lookwhere_cli.amounts import ALL_CELLS, Amount, PruneAmount
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.options import Debug, Quiet, amount
from lookwhere_cli.cli.runs import made, placed, precision, shares, unfinished
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import parse_prune
from lookwhere_cli.show.console import PlainTextColumn, make_console, say

if TYPE_CHECKING:
    from lookwhere_cli.checkpoints.folder import Loaded
    from lookwhere_cli.data.examples import LabelledSet
    from lookwhere_cli.data.regions import Regions
    from lookwhere_cli.models.config import Config
    from lookwhere_cli.training.finetune.finetune import FineTuning, Moment, Run
    from lookwhere_cli.training.finetune.objective import Steering


def train(
    data: asked.Data,
    out: asked.Out,
    epochs: asked.Epochs = 30,
    classes: asked.Classes = None,
    label_column: asked.LabelColumn = None,
    multi_label: asked.MultiLabel = False,
    val_share: asked.ValShare = 0.2,
    group: asked.Group = None,
    hold_out: asked.HoldOut = None,
    split_file: asked.SplitFile = None,
    model: asked.Start = DEFAULT_CLASSIFIER,
    method: asked.Method = "lookwhere",
    exits: asked.Exits = None,
    teacher: asked.Teacher = None,
    size: asked.Size = None,
    thumbnail_size: asked.Thumbnail = None,
    coarse: asked.Coarse = 0,
    selector_depth: asked.Depth = None,
    prune: asked.Prune = None,
    prune_fusion: asked.PruneFusion = False,
    pool: asked.Pool = "cls",
    decoder: asked.Decoder = 64,
    patches: asked.Patches = "25%-50%",
    default_k: asked.DefaultK = None,
    second_look: asked.SecondLook = None,
    look: asked.Look = None,
    train_selector: asked.TrainSelector = False,
    area: asked.Area = (0.3, 1.0),
    flip: asked.Flip = True,
    colour: asked.Colour = 0.3,
    augment: asked.Augment = 0,
    erase: asked.Erase = 0.0,
    batch_size: asked.Batch = 32,
    lr: asked.Rate = 3e-4,
    layer_decay: asked.LayerDecay = 0.75,
    balance: asked.Balance = 0.5,
    average: asked.Average = 0.99,
    patience: asked.Patience = 0,
    seed: asked.Seed = 0,
    device: asked.Device = "auto",
    dtype: asked.Dtype = "auto",
    workers: asked.Workers = 1,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Teach a model your own labels: one or several to a picture, or a class for each pixel.

    Examples:

      lookwhere train pictures/ --out my-model

      lookwhere train labels.csv --multi-label --look boxes.csv --size 1024 -k 5%-10% --out my-model
    """
    k, grids = _range_of(patches), _grids(exits, method)
    own = k[1] if default_k is None else amount(default_k)
    added = _added(second_look, (own, *k), method, blind=train_selector and look is None)
    dropped = _dropped(method, prune)
    place = placed(device)
    unfinished(out)

    from lookwhere_cli.data.checks import drop_unusable
    from lookwhere_cli.data.read import read_examples
    from lookwhere_cli.data.splits import read_split, split_examples
    from lookwhere_cli.training.augment import Augmentation
    from lookwhere_cli.training.finetune.finetune import FineTuning, Run
    from lookwhere_cli.training.finetune.start import WHOLE, Shape
    from lookwhere_cli.training.optim import Rates

    console = make_console(stderr=True, quiet=quiet or os.environ.get("RANK", "0") != "0")  # one of accelerate's speaks
    full = method in WHOLE
    labelled = read_examples(data, classes=classes, label_column=label_column, multi_label=multi_label, group=group)
    labelled = read_split(split_file, labelled) if split_file else labelled
    steering = "frozen" if full else _steering(labelled, look, train_selector, dropped)
    where = _look(look, labelled) if look and not full else None
    base = _loaded(model, quiet)
    teaching = _loaded(teacher, quiet) if teacher else None
    recipe = FineTuning(
        epochs=epochs,
        batch=batch_size,
        k=(ALL_CELLS, ALL_CELLS) if full else k,
        added=added,
        shape=Shape(
            method, size, thumbnail_size, coarse, selector_depth, pool, decoder, dropped, prune_fusion or None, grids
        ),
        steering=steering,
        augmentation=Augmentation(shares(area), flip=flip, colour=colour, magnitude=augment, erase=erase),
        rates=Rates(lr, layer_decay),
        balance=balance,
        average=average,
        patience=patience,
        precision=precision(dtype, place),
        seed=seed,
    )
    with console.status("Reading the pictures once"):
        labelled, broken = drop_unusable(labelled)
    for sentence in broken:
        say(console, f"Passed over: {sentence}")
    labelled = split_examples(labelled, val_share=val_share, seed=seed, hold_out=hold_out or ())
    config = _config(base, recipe, labelled, ALL_CELLS if full else own)
    run = Run(recipe, base, config, labelled, where, out, workers, place, teaching)
    made(out)
    _train(run, console, base.name)


def _range_of(text: str, option: str = "--patches") -> tuple[Amount, Amount]:
    """The least and the most to read, from 25%, 94, all or a range of two such, 10%-50%. Raises UsageError."""
    low, dash, high = text.partition("-")
    first, last = amount(low, option), amount(high if dash else low, option)
    if first is None or last is None or first.is_share != last.is_share or first.value > last.value:
        raise UsageError(f"{option} {text} is no range; write two counts or two shares that grow, as in 10%-50%.")
    return first, last


def _added(text: str | None, before: Sequence[Amount], method: str, blind: bool) -> tuple[Amount, Amount] | None:
    """The least and the most that a second look adds to what was read `before` it. Raises UsageError."""
    if text is None:
        return None
    if method != "lookwhere" or blind:
        what = "--train-selector without --look" if blind else f"--method {method}"
        raise UsageError(f"--second-look and {what} exclude each other; leave one of them out.")
    least, most = _range_of(text, "--second-look")
    if any(one.is_share != most.is_share for one in before):
        raise UsageError(f"--second-look {text} and what -k says must both be counts, or both shares.")
    largest = max(one.value for one in before)
    if most.is_share and largest + most.value > 1:
        raise UsageError(f"--second-look {text} and the {largest:.0%} before it are more than all cells.")
    return least, most


def _dropped(method: str, prune: str | None) -> PruneAmount | None:
    """What is to be dropped; of the method that is about it, half of the MACs. Raises UsageError."""
    if prune is not None and method in ("full", "dvt"):
        raise UsageError(
            f"--method {method} computes all cells in all blocks; leave --prune out, or take --method cropr."
        )
    text = "50%" if prune is None and method == "cropr" else prune
    return None if text is None else parse_prune(text, "--prune")


def _config(base: Loaded, recipe: FineTuning, labelled: LabelledSet, k: Amount) -> Config:
    """The new model's, for pictures such as these. Raises UsageError, ModelError for what can't be."""
    from lookwhere_cli.models.pruning.cropr import check_own_schedule
    from lookwhere_cli.models.pruning.schedule import pruning_of
    from lookwhere_cli.training.finetune.finetune import typical_size
    from lookwhere_cli.training.finetune.start import config_for, with_second_look

    try:
        config = config_for(base.config, recipe.shape, labelled.kind, labelled.classes, typical_size(labelled))
        config = replace(config, k=_possible(k, config))
        if recipe.added:
            config = with_second_look(config, recipe.added[1])
            _possible(config.looks[-1], config)
        check_own_schedule(config, pruning_of(config))
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure
    return config


def _grids(text: str | None, method: str) -> tuple[int | tuple[int, int], ...]:
    """A cascade's grids, from 7,10,14 (sides) or 6x8,12x16 (rows x columns). Raises UsageError."""
    if text is None:
        return ()
    if method != "dvt":
        raise UsageError(f"--exits {text} are a cascade's grids; they go with --method dvt.")
    sides = [part.strip().split("x") for part in text.split(",")]
    if not all(len(one) in (1, 2) and all(side.isdecimal() and int(side) for side in one) for one in sides):
        raise UsageError(f"--exits {text} are no grids; write sides that grow, 7,10,14, or rows x columns, 6x8,12x16.")
    return tuple(int(one[0]) if len(one) == 1 else (int(one[0]), int(one[1])) for one in sides)


def _possible(k: Amount, config: Config) -> Amount:
    cells = config.cells
    if not k.is_share and k.value > cells:
        raise UsageError(f"k = {k} is more than the {cells} cells of the model's {config.grid[0]} x {config.grid[1]}.")
    return k


def _steering(labelled: LabelledSet, look: Path | None, train_selector: bool, dropped: PruneAmount | None) -> Steering:
    """Masks themselves tell where classes meet; without masks or a word, the extractor's attention has to.

    Raises UsageError where that would see only what has not been dropped.
    """
    if look or (train_selector and labelled.kind == "masks"):
        return "look"
    if train_selector and dropped is not None:
        raise UsageError(
            "--train-selector follows the attention of the last block, which does not see what --prune dropped; leave "
            "one of them out, or tell the selector with --look."
        )
    return "attention" if train_selector else "frozen"


def _loaded(name: str, quiet: bool) -> Loaded:
    from lookwhere_cli.checkpoints.resolve import load_model

    ensure_downloaded(name, quiet)
    return load_model(name, device="cpu")


def _look(source: Path, labelled: LabelledSet) -> Regions:
    from lookwhere_cli.data.regions import read_regions

    return read_regions(source, labelled.root, [example.path for example in labelled.examples])


def _train(run: Run, console: Console, start: str) -> None:
    from lookwhere_cli.data.splits import write_split
    from lookwhere_cli.training.record import finish_fine_tuning

    done = run.resume()
    if done:
        say(console, f"Taken up after {done:,} of {run.total:,} steps.")
    main = run.accelerator.is_main_process
    if main:
        write_split(run.out, run.labelled)
    columns = (PlainTextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=run.total, completed=done)
        try:
            for moment in run.train():
                progress.update(task, advance=1, description=_told(moment))
                if moment.epoch:
                    say(progress.console, _epoch(moment))
        except KeyboardInterrupt:
            say(
                console,
                f"Stopped; {run.saved:,} of {run.total:,} steps are kept, and the same command goes on from there.",
            )
            raise
    if main:
        finish_fine_tuning(run, shlex.join(["lookwhere", *sys.argv[1:]]), start)
        best = run.best
        reached = f"{best['score']:.1%} on the pictures held back"
        say(console, f"The model is in {run.out}, as of epoch {best['epoch']:.0f}: {reached}.")


def _told(moment: Moment) -> str:
    return "  ".join(f"{name} {moment.step[name]:.3f}" for name in ("loss", "task", "look") if name in moment.step)


def _epoch(moment: Moment) -> str:
    from lookwhere_cli.show.scores import TITLES

    epoch = moment.epoch or {}
    figures = [
        f"{TITLES.get(name, name)} {value:.1%}"
        for name, value in epoch.items()
        if name in TITLES or name.startswith("exit ")
    ]
    loss, rate = f"loss {epoch['loss']:.3f}", f"{epoch['images_per_second']:.1f} images/s"
    return "  ".join([f"epoch {epoch['epoch']:.0f}", loss, *figures, rate])
