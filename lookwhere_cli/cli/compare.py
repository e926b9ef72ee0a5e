"""`lookwhere compare`: LookWhere, Token Cropr, DVT and the full ViT on the same labelled pictures."""

from __future__ import annotations

import difflib
import json
import shlex
import sys
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
from lookwhere_cli.cli.output import ProgressBars, make_folder
from lookwhere_cli.cli.train import train
from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.show.console import make_console, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from lookwhere_cli.evaluation.compare.comparison import Comparison, Entrant
    from lookwhere_cli.evaluation.compare.report import Cost

TRAIN = "Training"
METHODS = ("full", "lookwhere", "cropr", "dvt", "pruned", "auto")
"""Those that have a model of their own."""
RESULTS, TABLE, PLOT, PAGE = "comparison.json", "comparison.md", "pareto.png", "comparison.html"
DECISIVE = ("dvt", "auto")
"""Methods that leave a picture when they are sure of its class; a mask has many."""
TWO_LOOKS = {"patches": "10%-25%", "second_look": "25%"}
PRUNED = "50%"  # of the blocks' MACs, in training
SHOWN = 384  # pixels of a side of the page's pictures


def compare(
    data: asked.Data,
    out: Annotated[Path, typer.Option(metavar="DIR", help="For models, figures, plot and page.", show_default=False)],
    use: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD=MODEL",
            help="A trained model, instead of training one; may be repeated.",
            rich_help_panel=MODEL,
            show_default=False,
        ),
    ] = None,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Who takes part: full, lookwhere, cropr, dvt, pruned, auto. (default: --use's, or all)",
            rich_help_panel=MODEL,
            show_default=False,
        ),
    ] = None,
    classes: asked.Classes = None,
    label_column: asked.LabelColumn = None,
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
        bool, typer.Option("--time/--no-time", help="Take times and memory.", rich_help_panel=OUTPUT)
    ] = True,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train several methods alike, and measure what each costs and reaches on labelled pictures or masks.

    Examples:

      lookwhere compare pictures/ --out comparison/

      lookwhere compare pictures/ --use full=my-full-vit --use lookwhere=my-model --out comparison/
    """
    given = _given(use or ())
    wanted = _methods(methods or ",".join(given or METHODS))
    settings = {"amounts": _shares("patches", patches), "prunes": _shares("prune", prune)}
    settings["budgets"] = _shares("budget", budget)
    make_folder(out)
    for name in (RESULTS, TABLE, PLOT, PAGE):
        check_free(out / name, overwrite)

    from lookwhere_cli.data.read import read_examples
    from lookwhere_cli.evaluation.compare.candidates import Settings, entrants
    from lookwhere_cli.evaluation.compare.comparison import compare as measure
    from lookwhere_cli.evaluation.compare.comparison import judge_for
    from lookwhere_cli.evaluation.compare.report import as_dict
    from lookwhere_cli.metrics.eval_set import part_of

    labelled = read_examples(data, classes=classes, label_column=label_column)
    judge_for(labelled)
    read = {"classes": classes, "label_column": label_column, "val_share": val_share, "split_file": split_file}
    recipe = {"epochs": epochs, "model": model, "size": size, "augment": augment, "batch_size": batch_size, "lr": lr}
    recipe |= {"layer_decay": layer_decay, "seed": seed, "device": device, "dtype": dtype, "workers": workers}
    recipe |= {"quiet": quiet}
    models = {name: given[name] for name in wanted if name in given}
    for name in wanted:
        if name in models:
            ensure_downloaded(models[name], quiet)
        elif name not in DECISIVE or labelled.kind != "masks":
            models[name] = _trained(name, data, out / name, read | recipe | {"coarse": coarse})
    labelled, part = part_of(labelled, None, split_file, Path(models["full"]))
    console = make_console(stderr=True)
    shown = ProgressBars(console, quiet)
    taking_part = entrants(models, Settings(**settings), labelled, shown, {"device": device})
    comparison = measure(taking_part, labelled, shown)
    costs = _costs(taking_part, comparison, timed)
    results = as_dict(comparison, costs, part, shlex.join(["lookwhere", *sys.argv[1:]]))
    _show(results)
    _write_all(out, results, comparison)
    for sentence in comparison.failed:
        say(console, f"Error: {sentence}")
    if comparison.failed:
        raise typer.Exit(1)


def _methods(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in METHODS:
            near = difflib.get_close_matches(name, METHODS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METHODS)}."
            raise UsageError(f"--methods {text} names no method {name!r}; {hint}")
    if "full" not in names:
        raise UsageError(f"--methods {text} leaves out full, which all others are set against.")
    return names


def _given(pairs: Sequence[str]) -> dict[str, str]:
    """Models by method."""
    models = {}
    for pair in pairs:
        name, equals, model = pair.partition("=")
        if not equals or name not in METHODS or not model:
            raise UsageError(f"--use {pair} is no method with its model; write, for instance, full=my-full-vit.")
        models[name] = model
    return models


def _shares(option: str, text: str) -> list[float]:
    """Shares, as users write them: 25%,0.5. Raises UsageError."""
    try:
        found = [Amount.parse(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"--{option} {error}.") from error
    if not all(one.is_share for one in found):
        raise UsageError(f"--{option} {text} must be shares; write, for instance, 25%,50%.")
    return sorted({float(one.value) for one in found})


def _trained(name: str, data: Path, folder: Path, told: Mapping[str, Any]) -> str:
    """Train a method's model, or go on with it; the folder that it is in."""
    say(make_console(stderr=True, quiet=told["quiet"]), f"Training {name}.")
    chooses = name in ("lookwhere", "pruned", "auto")
    own: dict[str, Any] = {"method": "lookwhere" if chooses else name, "coarse": told["coarse"] if chooses else 0}
    own |= TWO_LOOKS if name == "auto" else {}
    own |= {"prune": PRUNED if name in ("cropr", "pruned") else None}
    train(data, folder, **{**told, **own})
    return str(folder)


def _costs(taking_part: Sequence[Entrant], comparison: Comparison, timed: bool) -> list[Cost]:
    from lookwhere_cli.bench.contest import costs_of
    from lookwhere_cli.evaluation.compare.report import Cost

    if not timed:
        return [Cost()] * len(taking_part)
    return costs_of(taking_part, [comparison.labelled.examples[place].path for place in comparison.places])


def _show(results: Mapping[str, Any]) -> None:
    from lookwhere_cli.show.comparison import caption, columns
    from lookwhere_cli.show.tables import terminal_table

    console = make_console()
    shown = columns(results, console.width)
    bold = " Bold: no other candidate is as accurate for fewer multiply-adds."
    best = "" if any(title == "front" for title, _ in shown) else bold
    console.print(terminal_table(shown, results["points"], "front", caption(results, shown) + best))


def _write_all(folder: Path, results: Mapping[str, Any], comparison: Comparison) -> None:
    from lookwhere_cli.show.comparison import markdown
    from lookwhere_cli.show.comparison_page import comparison_page
    from lookwhere_cli.show.pareto import pareto_plot

    page = comparison_page(results, _pictures(results), _classes(results, comparison))
    told = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    for name, text in ((RESULTS, told), (TABLE, markdown(results)), (PAGE, page)):
        with whole_file(folder / name) as stream, writing(folder / name):
            stream.write(text.encode())
    pareto_plot(results, folder / PLOT)


def _pictures(results: Mapping[str, Any]) -> dict[str, Image.Image]:
    """Those that the page shows, small."""
    from lookwhere_cli.images.decode import decode_file
    from lookwhere_cli.images.frame import Reading

    small = Reading(patch=1, size=SHOWN)
    return {one["path"]: decode_file(one["path"], small).image() for one in results["differences"]}


def _classes(results: Mapping[str, Any], comparison: Comparison) -> dict[tuple[str, str], NDArray[np.uint8]]:
    """For masks: what the page shows of each method, asked for once more, and of the truth."""
    from lookwhere_cli.data.masks import load_mask
    from lookwhere_cli.evaluation.compare.report import representatives
    from lookwhere_cli.segmenter import Segmenter

    if results["kind"] != "masks":
        return {}
    paths = [one["path"] for one in results["differences"]]
    found = {(one["path"], "truth"): load_mask(one["mask"]) for one in results["differences"]}
    for point in representatives(comparison.points):
        segmented = Segmenter(point.entrant.predictors[0]).segment(paths)
        found |= {
            (path, point.entrant.method): one.classes
            for path, one in zip(paths, segmented, strict=True)
            if one.classes is not None
        }
    return found
