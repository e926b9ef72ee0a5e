"""`lookwhere train`: fine-tuning on labelled pictures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import train_options as options
from lookwhere_cli.cli import window_cutting as cut
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.found import say_found
from lookwhere_cli.cli.options import Bands, Debug, Quiet, StretchRange
from lookwhere_cli.cli.runs import (
    check_area,
    check_points,
    command_line,
    create_run_dir,
    device_type,
    is_main_process,
    mixed_precision,
    resume_run,
    train_with_progress,
    training_into,
)
from lookwhere_cli.cli.summary import duration, usage_of
from lookwhere_cli.cli.train_settings import (
    MOSAIC_AREA,
    CellSettings,
    cell_settings,
    check_masks,
    check_mosaic,
    parse_exits,
    parse_pruning,
    steering_for,
)
from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.amounts import Amount, PruneAmount
    from lookwhere_cli.checkpoints.folder import Loaded
    from lookwhere_cli.data.examples import LabelledSet
    from lookwhere_cli.data.regions import Regions
    from lookwhere_cli.models.chosen import Grid
    from lookwhere_cli.models.config import Config
    from lookwhere_cli.training.finetune.plan import FineTuningPlan
    from lookwhere_cli.training.finetune.recipe import FineTuning
    from lookwhere_cli.training.finetune.shape import Shape
    from lookwhere_cli.training.finetune.steering import Steering
    from lookwhere_cli.training.loop import Moment


def train(
    data: options.Data,
    out: options.Out,
    epochs: options.Epochs = 30,
    classes: options.Classes = None,
    label_column: options.LabelColumn = None,
    label_map: options.LabelMap = None,
    pictures: options.Pictures = None,
    multi_label: options.MultiLabel = False,
    val_share: options.ValShare = 0.2,
    group: options.Group = None,
    hold_out: options.HoldOut = None,
    split_file: options.SplitFile = None,
    model: options.Start = DEFAULT_CLASSIFIER,
    method: options.Method = "lookwhere",
    exits: options.Exits = None,
    teacher: options.Teacher = None,
    size: options.Size = None,
    thumbnail_size: options.Thumbnail = None,
    coarse: options.Coarse = 0,
    selector_depth: options.Depth = None,
    prune: options.Prune = None,
    prune_fusion: options.PruneFusion = False,
    pool: options.Pool = "cls",
    decoder: options.Decoder = 64,
    detail: options.Detail = 32,
    points: options.Points = 2,
    masks: options.Masks = False,
    patches: options.Patches = "25%-50%",
    default_k: options.DefaultK = None,
    second_look: options.SecondLook = None,
    look: options.Look = None,
    train_selector: options.TrainSelector = None,
    area: options.Area = (0.3, 1.0),
    flip: options.Flip = True,
    turn: options.Turn = False,
    colour: options.Colour = 0.3,
    mosaic: options.Mosaic = 0.0,
    augment: options.Augment = 0,
    erase: options.Erase = 0.0,
    batch_size: options.Batch = 32,
    lr: options.Rate = 3e-4,
    layer_decay: options.LayerDecay = 0.75,
    balance: options.Balance = 0.5,
    average: options.Average = 0.99,
    patience: options.Patience = 0,
    validate_every: options.ValidateEvery = 1,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    workers: options.Workers = 1,
    fail_fast: options.FailFast = False,
    window: cut.Window = None,
    window_overlap: cut.WindowOverlap = None,
    task: cut.Task = None,
    negatives: cut.Negatives = None,
    unlabelled: cut.Unlabelled = "background",
    mpp: cut.Mpp = None,
    gsd: cut.Gsd = None,
    bands: Bands = None,
    stretch_range: StretchRange = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a model for your own labels: one or several per picture, a class for each pixel, or boxes.

    Examples:

      lookwhere train pictures/ --out my-model

      lookwhere train labels.csv --multi-label --look boxes.csv --size 1024 -k 5%-10% --out my-model
    """
    given = dict(locals())  # all parameters, also where a function calls this one
    check_extra("train", "lookwhere train")
    cells = cell_settings(method, patches, default_k, second_look, bool(train_selector) and look is None)
    parsed = parse_exits(method, exits), parse_pruning(method, prune), check_points(points)
    with training_into(out):
        _fetch(model, teacher, quiet)
        used_device, console = device_type(device), make_console(stderr=True, quiet=quiet or not is_main_process())
        _train(_prepare(given, cells, parsed, used_device, console), console, out, workers, used_device, fail_fast)


_ParsedShape: TypeAlias = "tuple[tuple[int | Grid, ...], PruneAmount | None, int]"
"""Grids of a cascade, dropped tokens, and points along each side of a cell."""


def _prepare(
    given: Mapping[str, Any], cells: CellSettings, parsed: _ParsedShape, device: str, console: Console
) -> FineTuningPlan:
    """Read the data and the models. given: the command's parameters. Raises UsageError, DataError, ModelError."""
    precision, labelled = mixed_precision(given["dtype"], device), _read_set(given)
    check_masks(given["masks"], labelled)
    check_mosaic(given["mosaic"], given["area"], labelled, given["look"])
    look, stored = given["look"], _stored(given["out"])
    steering = steering_for(given["method"], labelled, look, given["train_selector"], parsed[1])
    start, taught_by = _load(given["model"]), _load(given["teacher"]) if given["teacher"] else None
    shape = _shape({**given, "size": cut.model_size(given, start.config.patch)}, parsed)
    recipe = _going_on(_recipe(given, cells, shape, steering, precision), given["out"])
    regions = _read_regions(look, labelled, stored) if look and steering == "look" else None
    usable = _drop_unusable(labelled, console, given["fail_fast"])
    labelled = _split(usable, given["val_share"], given["seed"], given["hold_out"] or (), stored)
    return _plan(recipe, start, labelled, regions, taught_by, cells.own, stored.get("typical"))


def _fetch(model: str, teacher: str | None, quiet: bool) -> None:
    """Fetch the models that are not here yet, before anything heavy is imported. Raises ModelError."""
    for name in filter(None, (model, teacher)):
        ensure_downloaded(name, quiet)


def _shape(given: Mapping[str, Any], parsed: _ParsedShape) -> Shape:
    """Return the new model's shape. given: the command's parameters."""
    from lookwhere_cli.training.finetune.shape import Shape

    grids, dropped, points = parsed
    shape = Shape(given["method"], given["size"], given["thumbnail_size"], given["coarse"], given["selector_depth"])
    shape = replace(shape, pool=given["pool"], prune=dropped, prune_fusion=given["prune_fusion"] or None)
    shape = replace(shape, decoder_channels=given["decoder"], decoder_detail=given["detail"])
    return replace(shape, points=points, exits=grids, masks=given["masks"])


def _recipe(
    given: Mapping[str, Any], cells: CellSettings, shape: Shape, steering: Steering, precision: str
) -> FineTuning:
    """Return the recipe. given: the command's parameters. Raises UsageError."""
    from lookwhere_cli.training.augment import Augmentation
    from lookwhere_cli.training.finetune.recipe import FineTuning
    from lookwhere_cli.training.optim import Rates

    augmentation = Augmentation(check_area(given["area"], MOSAIC_AREA), flip=given["flip"], turn=given["turn"])
    augmentation = replace(augmentation, colour=given["colour"], magnitude=given["augment"], erase=given["erase"])
    augmentation = replace(augmentation, mosaic=given["mosaic"])
    recipe = FineTuning(given["epochs"], given["batch_size"], cells.trained, cells.added, shape, steering, augmentation)
    recipe = replace(recipe, rates=Rates(given["lr"], given["layer_decay"]), balance=given["balance"])
    recipe = replace(recipe, average=given["average"], patience=given["patience"], precision=precision)
    return replace(recipe, validate_every=given["validate_every"], seed=given["seed"])


def _going_on(recipe: FineTuning, out: Path) -> FineTuning:
    """Return the recipe, as a continuation of the run in the folder if that has fewer epochs. Raises DataError."""
    from lookwhere_cli.training.checkpoint import stored_identity

    stored = stored_identity(out)
    return recipe if stored is None else recipe.going_on_from(stored)


def _read_set(given: Mapping[str, Any]) -> LabelledSet:
    """Read the labelled set. given: the command's parameters. Raises UsageError, DataError."""
    from lookwhere_cli.data.read import read_examples
    from lookwhere_cli.data.splits import read_split

    names = ("classes", "label_column", "label_map", "pictures", "multi_label", "group")
    options = {name: given[name] for name in names}
    labelled = read_examples(given["data"], windows=cut.cutting_of(given, negatives="1"), **options)
    if any(example.objects is not None for example in labelled.examples):
        check_extra("detect", "The score of boxes")
    return read_split(given["split_file"], labelled) if given["split_file"] else labelled


def _stored(out: Path) -> dict[str, Any]:
    """Return what the folder's checkpoint knows of the pictures that its run began with. Raises DataError."""
    from lookwhere_cli.training.checkpoint import stored_pictures

    stored = stored_pictures(out)
    return stored if isinstance(stored, dict) else {}


def _read_regions(source: Path, labelled: LabelledSet, stored: Mapping[str, Any]) -> Regions:
    """Read the regions of all pictures, also of those that were there when the run began. Raises as `read_regions`."""
    from lookwhere_cli.data.regions import read_regions
    from lookwhere_cli.images.find import natural_path_key

    paths = {example.path for example in labelled.examples} | {one[0] for one in stored.get("examples", ())}
    return read_regions(source, labelled.root, sorted(paths, key=natural_path_key))


def _load(name: str) -> Loaded:
    from lookwhere_cli.checkpoints.resolve import load_model

    return load_model(name, device="cpu")


def _drop_unusable(labelled: LabelledSet, console: Console, fail_fast: bool) -> LabelledSet:
    from lookwhere_cli.data.checks import drop_unusable
    from lookwhere_cli.data.splits import without_test

    labelled = without_test(labelled)
    with console.status("Checking the pictures"):
        usable, problems = drop_unusable(labelled, fail_fast)
    for sentence in problems:
        say(console, f"Skipped: {sentence}")
    return usable


def _split(
    labelled: LabelledSet, val_share: float, seed: int, hold_out: Sequence[str], stored: Mapping[str, Any]
) -> LabelledSet:
    """Split the examples, or return those of the run that is resumed, if some of its pictures are gone."""
    from lookwhere_cli.data.splits import split_examples
    from lookwhere_cli.training.resuming import restored_examples

    restored = restored_examples(labelled, stored.get("examples"))
    if restored is not None:
        return restored
    return split_examples(labelled, val_share=val_share, seed=seed, hold_out=hold_out)


def _plan(
    recipe: FineTuning,
    start: Loaded,
    labelled: LabelledSet,
    regions: Regions | None,
    teacher: Loaded | None,
    k: Amount,
    size: Sequence[int] | None,
) -> FineTuningPlan:
    """Return the plan of a run whose model reads k cells by default. Raises UsageError, ModelError.

    size: the typical size of the pictures, as the run knows it that is resumed.
    """
    from lookwhere_cli.training.finetune.plan import FineTuningPlan, typical_size

    typical = (size[0], size[1]) if size else typical_size(labelled)
    try:
        config = _config(recipe, start.lookwhere.config, labelled, k, typical)
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure
    return FineTuningPlan(recipe, start, config, labelled, regions, teacher, typical)


def _config(recipe: FineTuning, base: Config, labelled: LabelledSet, k: Amount, typical: tuple[int, int]) -> Config:
    """Return the new model's config. Raises UsageError, ModelError, ValueError for an impossible one."""
    from lookwhere_cli.models.pruning.schedule import check_own_schedule, pruning_of
    from lookwhere_cli.training.finetune.model_config import config_for, with_second_look

    config = config_for(base, recipe.shape, labelled.kind, labelled.classes, typical, recipe.steering)
    config = replace(config, k=_check_count(k, config))
    if recipe.added:
        config = with_second_look(config, recipe.added[1])
        _check_count(config.looks[-1], config)
    check_own_schedule(config, pruning_of(config))
    return config


def _check_count(k: Amount, config: Config) -> Amount:
    cells = config.cells
    if not k.is_share and k.value > cells:
        raise UsageError(
            f"k = {k} is more than the {cells} cells of the model's grid of {config.grid[0]} x {config.grid[1]}."
        )
    return k


def _train(plan: FineTuningPlan, console: Console, out: Path, workers: int, device: str, fail_fast: bool) -> None:
    from lookwhere_cli.data.splits import write_split
    from lookwhere_cli.show.scores import score_with_metric
    from lookwhere_cli.training.loop import Run
    from lookwhere_cli.training.record import finish_fine_tuning

    started = time.monotonic()
    _say_found(plan.labelled, console)
    run = Run(plan, out, workers, device)
    is_main = run.accelerator.is_main_process
    create_run_dir(out)
    resume_run(run, console)
    if is_main:
        write_split(out, plan.labelled)
    train_with_progress(run, console, _describe, _report_epoch, fail_fast)
    if is_main:
        finish_fine_tuning(run, plan, command_line())
        best = f"best epoch {run.best['epoch']:.0f}: {score_with_metric(run.best)}"
        pictures = counted(len(plan.labelled.of("val")), "validation picture")
        spent = duration(time.monotonic() - started)
        say(
            console,
            f"Saved {out} ({best} on {pictures}) in {spent}; next: {usage_of(plan.config, out)}",
        )


def _say_found(labelled: LabelledSet, console: Console) -> None:
    classes = counted(len(labelled.classes), "class", "classes")
    validation = counted(len(labelled.of("val")), "validation picture")
    say(console, f"{classes}, {len(labelled.of('train')):,} training, {validation}.")
    say_found(labelled, console)


def _describe(moment: Moment) -> str:
    return "  ".join(f"{name} {moment.step[name]:.3f}" for name in ("loss", "task", "look") if name in moment.step)


def _report_epoch(moment: Moment) -> str | None:
    from lookwhere_cli.show.scores import TITLES

    if moment.epoch is None:
        return None
    scores = [
        f"{TITLES.get(name, name)} {value:.1%}"
        for name, value in moment.epoch.items()
        if name in TITLES or name.startswith("exit ")
    ]
    loss, rate = f"loss {moment.epoch['loss']:.3f}", f"{moment.epoch['images_per_second']:.1f} images/s"
    return "  ".join([f"epoch {moment.epoch['epoch']:.0f}", loss, *scores, rate])
