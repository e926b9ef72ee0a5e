"""`lookwhere evaluate`: how good a model is on labelled pictures, and what that costs, at several k."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.options import MODEL, OUTPUT, READING
from lookwhere_cli.cli.output import ProgressBars
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.output.files import check_free, whole_file, writing
from lookwhere_cli.show.console import make_console, say

if TYPE_CHECKING:
    from lookwhere_cli.evaluation.evaluate import Contest
    from lookwhere_cli.predictor import Predictor

RESULTS, TABLE, CURVE, CONFUSION = "results.json", "results.md", "accuracy.png", "confusion.png"


def evaluate(
    data: asked.Data,
    classes: asked.Classes = None,
    label_column: asked.LabelColumn = None,
    multi_label: asked.MultiLabel = False,
    split: asked.Part = None,
    split_file: asked.SplitFile = None,
    k: Annotated[
        str | None,
        typer.Option(
            "--patches",
            "-k",
            metavar="K,K,...",
            help="Amounts: 94,25%,all; or auto. (default: the model's, 10%,25%,50%,all)",
            rich_help_panel=READING,
            show_default=False,
        ),
    ] = None,
    size: options.Size = None,
    coarse: options.Coarse = None,
    prune: options.Prune = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = Reading.max_pixels,
    model: options.Model = DEFAULT_CLASSIFIER,
    full: Annotated[
        str | None, typer.Option(metavar="NAME", help="A full ViT: a model without selector.", rich_help_panel=MODEL)
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(metavar="NAME", help="A timm ViT, FILE or NAME=FILE.", rich_help_panel=MODEL)
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Take the time of some pictures.", rich_help_panel=OUTPUT)
    ] = True,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all figures.", rich_help_panel=OUTPUT)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write figures, table and plots.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure a model on labelled pictures, at several k, beside random and central cells.

    Examples:

      lookwhere evaluate pictures/ --model my-model --out results/

      lookwhere evaluate labels.csv -k 25%,all --full my-full-vit --json results.json
    """
    amounts = options.amounts_or_auto(k)
    _check_outputs(json_file, out, overwrite)
    how = options.mode(crop, stretch)
    own = {"size": size, "coarse": coarse, "prune": options.pruning(prune)}

    from lookwhere_cli.data.read import read_examples
    from lookwhere_cli.evaluation.evaluate import evaluate as measure
    from lookwhere_cli.evaluation.report import as_dict
    from lookwhere_cli.metrics.eval_set import part_of

    read = {"mode": how, "device": device, "dtype": dtype, "batch_size": batch_size, "workers": workers}
    labelled = read_examples(data, classes=classes, label_column=label_column, multi_label=multi_label)
    read["max_pixels"] = max_pixels
    contest = _contest(model, full, teacher, amounts, quiet, timed, own, read)
    labelled, part = part_of(labelled, split, split_file, contest.predictor.loaded.folder)
    console = make_console(stderr=True)
    evaluation = measure(contest, labelled, ProgressBars(console, quiet))
    results = as_dict(evaluation, part, shlex.join(["lookwhere", *sys.argv[1:]]))
    _show(results)
    if json_file is not None:
        _write(json_file, results)
    if out is not None:
        _write_all(out, results)
    for sentence in evaluation.failed:
        say(console, f"Error: {sentence}")
    if evaluation.failed:
        raise typer.Exit(1)


def _check_outputs(json_file: Path | None, out: Path | None, overwrite: bool) -> None:
    """Make the folder. Raises UsageError for a file that is there already or can't be written."""
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {out} can't be made ({error.strerror}); choose another place.") from None
        for name in (RESULTS, TABLE, CURVE, CONFUSION):
            check_free(out / name, overwrite)
    if json_file is not None:
        check_free(json_file, overwrite)


def _contest(
    model: str,
    full: str | None,
    teacher: str | None,
    amounts: Sequence[Amount] | Literal["auto"],
    quiet: bool,
    timed: bool,
    own: dict[str, Any],
    read: dict[str, Any],
) -> Contest:
    """read: how all are used; own: how only the model under test is."""
    from lookwhere_cli.evaluation.evaluate import TIMED, Contest, amounts_for
    from lookwhere_cli.evaluation.timm_classifier import Full
    from lookwhere_cli.loading import load, possible
    from lookwhere_cli.training.timm_models import load_vit

    ensure_downloaded(model, quiet)
    predictor: Predictor = load(model, k="auto" if amounts == "auto" else None, **own, **read)
    for amount in () if amounts == "auto" else amounts:
        possible(amount, predictor.reading.size, predictor.config.patch)
    if full is not None:
        ensure_downloaded(full, quiet)
    return Contest(
        predictor,
        () if amounts == "auto" else amounts_for(predictor, amounts),
        None if full is None else load(full, k=ALL_CELLS, **read),
        None if teacher is None else Full(load_vit(teacher), device=str(predictor.loaded.device)),
        TIMED if timed else 0,
    )


def _show(results: dict[str, Any]) -> None:
    from lookwhere_cli.show.scores import caption, columns, ordered
    from lookwhere_cli.show.tables import terminal_table

    console = make_console()
    shown = columns(results, console.width)
    console.print(terminal_table(shown, ordered(results), "headline", caption(results)))


def _write(path: Path, results: dict[str, Any]) -> None:
    text = json.dumps(results, indent=1, ensure_ascii=False) + "\n"
    with whole_file(path) as stream, writing(path):
        stream.write(text.encode())


def _write_all(folder: Path, results: dict[str, Any]) -> None:
    from lookwhere_cli.show.score_plots import accuracy_plot, confusion_plot
    from lookwhere_cli.show.scores import markdown

    _write(folder / RESULTS, results)
    with whole_file(folder / TABLE) as stream, writing(folder / TABLE):
        stream.write(markdown(results).encode())
    accuracy_plot(results, folder / CURVE)
    if results["confusion"] is not None:
        confusion_plot(results, folder / CONFUSION)
