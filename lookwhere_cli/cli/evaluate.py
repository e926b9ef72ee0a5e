"""`lookwhere evaluate`: how good a model is on labelled pictures, and what that costs, at several k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli import window_cutting as cut
from lookwhere_cli.cli.fetching import check_teacher, ensure_downloaded
from lookwhere_cli.cli.found import say_found
from lookwhere_cli.cli.options import MODEL, OUTPUT, READING
from lookwhere_cli.cli.output import ProgressBars, make_folder, stop_at_failure
from lookwhere_cli.cli.runs import command_line
from lookwhere_cli.cli.summary import failures, listed, say_done
from lookwhere_cli.cli.usage import as_typed
from lookwhere_cli.encodings import encode_text
from lookwhere_cli.extras import check_extra
from lookwhere_cli.options import AUTO, MAX_PIXELS, Options
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.output.numbers import to_json
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.data.examples import LabelledSet
    from lookwhere_cli.evaluation.evaluate import EvaluationPlan
    from lookwhere_cli.evaluation.tiles import TiledPipeline
    from lookwhere_cli.evaluation.timm_classifier import TimmClassifier
    from lookwhere_cli.pipeline import Pipeline

RESULTS, TABLE, CURVE, CONFUSION = "results.json", "results.md", "accuracy.png", "confusion.png"

Amounts = Annotated[
    str | None,
    typer.Option(
        "--patches",
        "-k",
        metavar="K,K,...",
        help="Amounts: 94,25%,all; or auto. (default: the model's, 10%,25%,50%,all)",
        rich_help_panel=READING,
        show_default=False,
    ),
]
Full = Annotated[
    str | None, typer.Option(metavar="NAME", help="A full ViT: a model without selector.", rich_help_panel=MODEL)
]
TimmViT = Annotated[
    str | None, typer.Option(metavar="NAME", help="A timm ViT, FILE or NAME=FILE.", rich_help_panel=MODEL)
]
Tiles = Annotated[
    int | None, typer.Option(metavar="PX", help="Boxes: the full ViT on tiles of PX px.", rich_help_panel=MODEL)
]
TileOverlap = Annotated[
    float, typer.Option(metavar="P", help="Share of a tile in the next one.", rich_help_panel=MODEL)
]


def evaluate(
    context: typer.Context,
    data: asked.Data,
    classes: asked.Classes = None,
    label_column: asked.LabelColumn = None,
    label_map: asked.LabelMap = None,
    pictures: asked.Pictures = None,
    multi_label: asked.MultiLabel = False,
    split: asked.Part = None,
    split_file: asked.SplitFile = None,
    patches: Amounts = None,
    size: options.Size = None,
    coarse: options.Coarse = None,
    prune: options.Prune = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    model: options.Model = DEFAULT_CLASSIFIER,
    full: Full = None,
    teacher: TimmViT = None,
    tiles: Tiles = None,
    overlap: TileOverlap = 0.2,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    window: cut.Window = None,
    window_overlap: cut.WindowOverlap = None,
    task: cut.Task = None,
    negatives: cut.AllNegatives = None,
    unlabelled: cut.Unlabelled = "background",
    mpp: cut.Mpp = None,
    gsd: cut.Gsd = None,
    bands: options.Bands = None,
    stretch_range: options.StretchRange = None,
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    memory: options.Memory = None,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure the time of some pictures.", rich_help_panel=OUTPUT)
    ] = True,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures.", rich_help_panel=OUTPUT)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write figures, table and plots.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: options.Overwrite = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure a model on labelled pictures, at several k, next to random and central cells.

    Examples:

      lookwhere evaluate pictures/ --model my-model --out results/

      lookwhere evaluate labels.csv -k 25%,all --full my-full-vit --json results.json
    """
    check_extra("train", "lookwhere evaluate")
    chosen = options.options_from(context)
    amounts = _amounts(patches)
    _fetch(context)
    _check_outputs(json_file, out, overwrite)
    labelled = _read_set(context.params)
    plan = _plan(context, chosen, amounts)
    _evaluate(context, plan, labelled)


def _read_set(arguments: dict[str, Any]) -> LabelledSet:
    """Read the labelled set; say what was changed or left out. Raises UsageError, DataError, ModelError."""
    from lookwhere_cli.data.read import read_examples

    names = ("classes", "label_column", "label_map", "pictures", "multi_label")
    given = {name: arguments[name] for name in names}
    windows = cut.cutting_of(arguments, negatives="all")
    model_classes = _classes_of(arguments["model"])
    labelled = read_examples(arguments["data"], model_classes=model_classes, windows=windows, **given)
    for note in labelled.notes:
        say(make_console(stderr=True, quiet=arguments["quiet"]), note)
    return labelled


def _amounts(text: str | None) -> Sequence[Amount] | None:
    """Return the amounts of cells to measure; None for `auto`. Raises UsageError."""
    if text is not None and text.strip().lower() == AUTO:
        return None
    return options.amounts(text, as_typed(*options.PATCHES)) if text is not None else ()


def _classes_of(model: str) -> Sequence[str]:
    """Return the model's labels, from its config. Raises ModelError."""
    from lookwhere_cli.checkpoints.configs import read_config
    from lookwhere_cli.checkpoints.resolve import find

    return read_config(find(model).folder).labels


def _fetch(context: typer.Context) -> None:
    """Fetch models that are not here yet. Raises ModelError, also for a timm ViT that can't be fetched later."""
    arguments = context.params
    for name in filter(None, (arguments["model"], arguments["full"])):
        ensure_downloaded(name, arguments["quiet"])
    if arguments["teacher"]:
        check_teacher(arguments["teacher"])


def _check_outputs(json_file: Path | None, out: Path | None, overwrite: bool) -> None:
    """Make the folder. Raises UsageError for a file that exists already or can't be written."""
    if out is not None:
        make_folder(out)
        for name in (RESULTS, TABLE, CURVE, CONFUSION):
            check_free(out / name, overwrite)
    if json_file is not None:
        check_free(json_file, overwrite)


def _plan(context: typer.Context, chosen: Options, amounts: Sequence[Amount] | None) -> EvaluationPlan:
    """Load all models. The full ViT and the timm ViT keep their own size and read cells only.

    amounts: None for `-k auto`. Raises UsageError, ModelError.
    """
    from lookwhere_cli.evaluation.evaluate import TIMED, EvaluationPlan, amounts_for
    from lookwhere_cli.loading import load
    from lookwhere_cli.strategies.registry import check_amount

    arguments = context.params
    pipeline = load(arguments["model"], replace(chosen, k=AUTO if amounts is None else None)).pipeline
    for amount in amounts or ():
        check_amount(amount, pipeline.reader.reading.size, pipeline.config.patch)
    full, teacher = arguments["full"], arguments["teacher"]
    return EvaluationPlan(
        pipeline,
        () if amounts is None else amounts_for(pipeline, amounts),
        full and load(full, replace(chosen, k=ALL_CELLS, size=None, coarse=None, prune=None)).pipeline,
        teacher and _timm_classifier(teacher, pipeline.runtime.device),
        TIMED if arguments["timed"] else 0,
        arguments["tiles"] and _tiles(context, pipeline, chosen),
        None if amounts is None else _at_random(arguments["model"], pipeline, chosen),
    )


def _at_random(model: str, pipeline: Pipeline, chosen: Options) -> Pipeline | None:
    """Load the model again, by modules that import torch, with pruning at random.

    None if it does not prune, or is exported with its pruning.
    """
    from lookwhere_cli.checkpoints.exported import is_exported

    if pipeline.config.prune is None or is_exported(pipeline.info.folder):
        return None
    from lookwhere_cli.evaluation.random_pruning import pruned_at_random

    return pruned_at_random(model, replace(chosen, k=None)).pipeline


def _timm_classifier(name: str, device: str) -> TimmClassifier:
    """Load a timm ViT, by modules that import torch. Raises ModelError."""
    from lookwhere_cli.evaluation.timm_classifier import TimmClassifier
    from lookwhere_cli.training.timm_models import load_vit

    return TimmClassifier(load_vit(name), device=device)


def _tiles(context: typer.Context, pipeline: Pipeline, chosen: Options) -> TiledPipeline:
    """Return the full ViT, or else the model itself, reading all cells of tiles. Raises UsageError."""
    from lookwhere_cli.evaluation.tiles import tiled
    from lookwhere_cli.loading import load

    arguments = context.params
    if arguments["full"]:
        pipeline = load(arguments["full"], replace(chosen, k=ALL_CELLS, size=None, coarse=None, prune=None)).pipeline
    return tiled(pipeline, arguments["tiles"], arguments["overlap"])


def _evaluate(context: typer.Context, plan: EvaluationPlan, labelled: LabelledSet) -> None:
    """Measure, print and write; exit with 1 if pictures could not be read."""
    from lookwhere_cli.evaluation.evaluate import evaluate as measure
    from lookwhere_cli.evaluation.report import as_dict
    from lookwhere_cli.scoring.splits import select_split

    arguments, console = context.params, make_console(stderr=True)
    say_found(labelled, make_console(stderr=True, quiet=arguments["quiet"]))
    labelled, split = select_split(labelled, arguments["split"], arguments["split_file"], plan.pipeline.info.folder)
    fail_fast, bars = arguments["fail_fast"], ProgressBars(console, arguments["quiet"])
    evaluation = measure(plan, labelled, stop_at_failure(bars) if fail_fast else bars, fail_fast)
    results = as_dict(evaluation, split, command_line())
    _print_table(results)
    if arguments["json_file"] is not None:
        _write(arguments["json_file"], _as_json(results))
    if arguments["out"] is not None:
        _write_all(arguments["out"], results)
    places = [str(place) for place in (arguments["out"], arguments["json_file"]) if place is not None]
    if places:
        measured = f"{counted(evaluation.pictures, 'picture')}{failures(len(evaluation.failed))}"
        say_done(f"Wrote the figures of {measured} to {listed(places)}.", arguments["quiet"])
    for sentence in evaluation.failed:
        say(console, f"Error: {sentence}")
    if evaluation.failed:
        raise typer.Exit(1)


def _print_table(results: dict[str, Any]) -> None:
    from lookwhere_cli.show.scores import caption, columns, ordered
    from lookwhere_cli.show.tables import terminal_table

    console = make_console()
    shown = columns(results, console.width)
    console.print(terminal_table(shown, ordered(results), "headline", caption(results, shown)))


def _write_all(folder: Path, results: dict[str, Any]) -> None:
    from lookwhere_cli.show.score_plots import accuracy_plot, confusion_plot
    from lookwhere_cli.show.scores import markdown

    _write(folder / RESULTS, _as_json(results))
    _write(folder / TABLE, markdown(results))
    accuracy_plot(results, folder / CURVE)
    if results["confusion"] is not None:
        confusion_plot(results, folder / CONFUSION)


def _as_json(results: dict[str, Any]) -> str:
    return to_json(results, indent=1) + "\n"


def _write(file: Path, text: str) -> None:
    with whole_file(file) as stream, writing(file):
        stream.write(encode_text(text))
