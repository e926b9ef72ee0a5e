"""`lookwhere compare`: LookWhere, Token Cropr, DVT and the full ViT on the same labelled pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.options import MODEL, OUTPUT, READING
from lookwhere_cli.cli.output import ProgressBars, make_folder, stop_at_failure
from lookwhere_cli.cli.runs import command_line
from lookwhere_cli.cli.summary import failures, listed, say_done
from lookwhere_cli.cli.train import train
from lookwhere_cli.encodings import encode_text
from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.output.numbers import to_json
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted, near_names

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from lookwhere_cli.data.examples import LabelledSet
    from lookwhere_cli.evaluation.compare.candidates import ComparisonSettings
    from lookwhere_cli.evaluation.compare.comparison import Comparison
    from lookwhere_cli.evaluation.compare.report import MachineCosts

TRAIN = "Training"
METHODS = ("full", "lookwhere", "cropr", "dvt", "pruned", "auto")
"""The methods with a model of their own."""
RESULTS, TABLE, PLOT, PAGE = "comparison.json", "comparison.md", "pareto.png", "comparison.html"
CASCADES = ("dvt", "auto")
"""Methods that stop once they are certain of a picture's label: of these every picture must have exactly one."""
SELECTING = ("lookwhere", "pruned", "auto")
"""Methods whose model has a selector."""
TWO_LOOKS = {"patches": "10%-25%", "second_look": "25%"}
TRAIN_OPTIONS = (
    *("classes", "label_column", "val_share", "split_file", "epochs", "model", "size", "augment", "batch_size", "lr"),
    *("layer_decay", "seed", "device", "dtype", "workers", "fail_fast", "quiet"),
)
"""Options that are handed on to `lookwhere train`."""
PRUNED = "50%"  # of the blocks' MACs, in training
SHOWN = 384  # pixels: side of the page's pictures


def compare(
    context: typer.Context,
    data: asked.Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="For models, figures, plot and page.", show_default=False)],
    use: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD=MODEL",
            help="A trained model, instead of training one; repeatable.",
            rich_help_panel=MODEL,
            show_default=False,
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="full, lookwhere, cropr, dvt, pruned, auto. (default: those of --use, or all)",
            rich_help_panel=MODEL,
            show_default=False,
        ),
    ] = None,
    classes: asked.Classes = None,
    label_column: asked.LabelColumn = None,
    label_map: asked.LabelMap = None,
    pictures: asked.Pictures = None,
    val_share: asked.ValShare = 0.2,
    split_file: asked.SplitFile = None,
    model: asked.Start = DEFAULT_CLASSIFIER,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="For each method.", rich_help_panel=TRAIN)] = 12,
    size: asked.Size = None,
    coarse: asked.Coarse = 0,
    patches: Annotated[
        str, typer.Option(metavar="K,K,...", help="LookWhere's cells: shares.", rich_help_panel=READING)
    ] = "10%,25%,50%",
    prune: Annotated[
        str, typer.Option(metavar="P,P,...", help="Shares of MACs that pruning keeps to.", rich_help_panel=READING)
    ] = "35%,50%,75%",
    budget: Annotated[
        str, typer.Option(metavar="B,B,...", help="Cascades': shares of their last stage.", rich_help_panel=READING)
    ] = "40%,60%,80%",
    augment: asked.Augment = 0,
    batch_size: asked.Batch = 32,
    lr: asked.Rate = 3e-4,
    layer_decay: asked.LayerDecay = 0.75,
    seed: asked.Seed = 0,
    device: options.Device = "auto",
    dtype: asked.Dtype = "auto",
    workers: asked.Workers = 1,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Measure times and memory.", rich_help_panel=OUTPUT)
    ] = True,
    overwrite: options.Overwrite = False,
    fail_fast: asked.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train several methods alike, and measure their scores and costs on labelled pictures or masks.

    Examples:

      lookwhere compare pictures/ --out comparison/

      lookwhere compare pictures/ --use full=my-full-vit --use lookwhere=my-model --out comparison/
    """
    check_extra("train", "lookwhere compare")
    given = _models_of(use or ())
    selected = _methods(methods or ",".join(given or METHODS))
    shares = [_shares("patches", patches), _shares("prune", prune), _shares("budget", budget)]
    _fetch(selected, given, model, quiet)
    make_folder(out)
    for name in (RESULTS, TABLE, PLOT, PAGE):
        check_free(out / name, overwrite)
    from lookwhere_cli.evaluation.compare.candidates import ComparisonSettings

    labelled = _read_set(context.params)
    models = _models(context, labelled, selected, given)
    _compare(context, labelled, models, ComparisonSettings(*shares))


def _read_set(arguments: dict[str, Any]) -> LabelledSet:
    """Read the labelled set; say what was changed or left out. Raises UsageError, DataError."""
    from lookwhere_cli.data.read import read_examples

    given = {name: arguments[name] for name in ("classes", "label_column", "label_map", "pictures")}
    labelled = read_examples(arguments["data"], **given)
    for note in labelled.notes:
        say(make_console(stderr=True, quiet=arguments["quiet"]), note)
    return labelled


def _models_of(pairs: Sequence[str]) -> dict[str, str]:
    """Read METHOD=MODEL pairs: the models by method. Raises UsageError."""
    models = {}
    for pair in pairs:
        name, equals, model = pair.partition("=")
        if not equals or name not in METHODS or not model:
            raise UsageError(f"--use {pair} is not a method with its model; write, for instance, full=my-full-vit.")
        models[name] = model
    return models


def _methods(text: str) -> list[str]:
    """Read names of methods, each once. Raises UsageError."""
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in METHODS:
            near = near_names(name, METHODS, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METHODS)}."
            raise UsageError(f"--methods {text} has the unknown method {name!r}; {hint}")
    if "full" not in names:
        raise UsageError(f"--methods {text} leaves out full, which all others are compared with; add it.")
    return names


def _shares(option: str, text: str) -> list[float]:
    """Read shares as users write them: 25%,0.5. Raises UsageError."""
    try:
        amounts = [Amount.parse(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--{option} {error}.") from error
    if not all(amount.is_share for amount in amounts):
        raise UsageError(f"--{option} {text} must be shares; write, for instance, 25%,50%.")
    return sorted({float(amount.value) for amount in amounts})


def _fetch(selected: Sequence[str], given: Mapping[str, str], start: str, quiet: bool) -> None:
    """Fetch the models given for the selected methods, and the one from which others are trained. Raises ModelError."""
    for model in dict.fromkeys(given.get(method, start) for method in selected):
        ensure_downloaded(model, quiet)


def _models(
    context: typer.Context, labelled: LabelledSet, selected: Sequence[str], given: Mapping[str, str]
) -> dict[str, str]:
    """Return a model for each method: the given one, or one that is trained now."""
    models = {name: given[name] for name in selected if name in given}
    from lookwhere_cli.heads.training.registry import TRAINING_HEADS

    has_one_label = TRAINING_HEADS[labelled.kind].has_one_label
    single_labels = has_one_label and all(len(example.classes) == 1 for example in labelled.examples)
    for name in selected:
        if name not in models and (single_labels or name not in CASCADES):
            models[name] = _train(context, name)
    return models


def _train(context: typer.Context, name: str) -> str:
    """Train a method's model, or resume its training; return its folder."""
    arguments = context.params
    folder = arguments["out"] / name
    say(make_console(stderr=True, quiet=arguments["quiet"]), f"Training {name}.")
    selects = name in SELECTING
    own: dict[str, Any] = {"method": "lookwhere" if selects else name, "coarse": arguments["coarse"] if selects else 0}
    own |= TWO_LOOKS if name == "auto" else {}
    own |= {"prune": PRUNED if name in ("cropr", "pruned") else None}
    train(arguments["data"], folder, **{option: arguments[option] for option in TRAIN_OPTIONS}, **own)
    return str(folder)


def _compare(
    context: typer.Context, labelled: LabelledSet, models: Mapping[str, str], settings: ComparisonSettings
) -> None:
    """Measure, print and write; exit with 1 if pictures could not be read."""
    from lookwhere_cli.evaluation.compare.candidates import CandidateMaker
    from lookwhere_cli.evaluation.compare.comparison import compare as measure
    from lookwhere_cli.evaluation.compare.report import as_dict
    from lookwhere_cli.scoring.splits import select_split

    arguments, console = context.params, make_console(stderr=True)
    labelled, split = select_split(labelled, None, arguments["split_file"], Path(models["full"]))
    fail_fast, bars = arguments["fail_fast"], ProgressBars(console, arguments["quiet"])
    progress = stop_at_failure(bars) if fail_fast else bars
    candidates = CandidateMaker(settings, labelled, {"device": arguments["device"]}, progress).make(models)
    comparison = measure(candidates, labelled, progress, fail_fast)
    results = as_dict(comparison, _costs(comparison, arguments["timed"]), split, command_line())
    _print_table(results)
    _write_all(arguments["out"], results, comparison)
    compared = f"{counted(len(comparison.places), 'picture')}{failures(len(comparison.failed))}"
    say_done(f"Wrote {listed((RESULTS, TABLE, PLOT, PAGE))} for {compared} to {arguments['out']}.", arguments["quiet"])
    for sentence in comparison.failed:
        say(console, f"Error: {sentence}")
    if comparison.failed:
        raise typer.Exit(1)


def _costs(comparison: Comparison, timed: bool) -> list[MachineCosts]:
    from lookwhere_cli.bench.candidates import measure_costs
    from lookwhere_cli.evaluation.compare.report import MachineCosts

    if not timed:
        return [MachineCosts()] * len(comparison.points)
    paths = [comparison.labelled.examples[place].path for place in comparison.places]
    return measure_costs([point.candidate for point in comparison.points], paths)


def _print_table(results: Mapping[str, Any]) -> None:
    from lookwhere_cli.show.comparison import caption, columns
    from lookwhere_cli.show.tables import terminal_table

    console = make_console()
    shown = columns(results, console.width)
    bold = " Bold: no other setting scores as high with fewer MACs."
    front = "" if any(title == "front" for title, _ in shown) else bold
    console.print(terminal_table(shown, results["points"], "front", caption(results, shown) + front))


def _write_all(folder: Path, results: Mapping[str, Any], comparison: Comparison) -> None:
    from lookwhere_cli.show.comparison import markdown
    from lookwhere_cli.show.comparison_page import comparison_page
    from lookwhere_cli.show.pareto import pareto_plot

    page = comparison_page(results, _pictures(results, comparison.labelled.root), _class_maps(results, comparison))
    text = to_json(results, indent=1) + "\n"
    for name, content in ((RESULTS, text), (TABLE, markdown(results)), (PAGE, page)):
        with whole_file(folder / name) as stream, writing(folder / name):
            stream.write(encode_text(content))
    pareto_plot(results, folder / PLOT)


def _pictures(results: Mapping[str, Any], root: Path) -> dict[str, Image.Image]:
    """Return the pictures that the page shows, small, by path."""
    from lookwhere_cli.images.frame import Reading
    from lookwhere_cli.images.large.parts import decode_part

    small = Reading(patch=1, size=SHOWN)
    return {one["path"]: decode_part(str(root / one["path"]), small).image() for one in results["differences"]}


def _class_maps(results: Mapping[str, Any], comparison: Comparison) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """Return the masks that the page shows, by path and method or "truth"; each method answers once more."""
    from lookwhere_cli.data.masks import load_mask
    from lookwhere_cli.evaluation.compare.report import typical_points
    from lookwhere_cli.segmenter import Segmenter

    root = comparison.labelled.root
    masks = {one["path"]: one["mask"] for one in results["differences"] if one["mask"]}
    pictures = [str(root / path) for path in masks]
    class_maps = {(path, "truth"): load_mask(str(root / mask)) for path, mask in masks.items()}
    for point in typical_points(comparison.points) if masks else ():
        for path, segmented in zip(masks, Segmenter(point.candidate.predictor).segment(pictures), strict=True):
            if segmented.classes is not None:
                class_maps[path, point.candidate.method] = segmented.classes
    return class_maps
