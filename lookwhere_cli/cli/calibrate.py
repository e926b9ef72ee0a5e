"""`lookwhere calibrate`: the confidence from which each stage of a cascade answers, for a budget."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookwhere_cli.cli import options
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.output import ProgressBars, stop_at_failure
from lookwhere_cli.cli.runs import command_line
from lookwhere_cli.cli.summary import failures, say_done, usage_of
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.options import MAX_PIXELS, Options
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.amounts import Amount
    from lookwhere_cli.evaluation.calibrate import Calibration
    from lookwhere_cli.pipeline import Pipeline

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def calibrate(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Pictures: a folder, or what train takes.", show_default=False),
    ],
    model: options.Model,
    budget: Annotated[
        str, typer.Option(metavar="B", help="Per picture: 60% of the last stage's MACs, or 0.9G.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The calibrated model's folder.", show_default=False)],
    looks: Annotated[
        str | None,
        typer.Option(
            metavar="K,K,...",
            help="For -k auto: cells read after each look, 12.5%,37.5%. (default: the model's)",
            show_default=False,
        ),
    ] = None,
    label_column: asked.LabelColumn = None,
    split: asked.Part = None,
    split_file: asked.SplitFile = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    memory: options.Memory = None,
    overwrite: options.Overwrite = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the confidence at which each stage of a cascade answers, so that pictures cost a budget on average.

    Labels are not needed. Take pictures that the model was not trained on: with those it is too confident.

    Examples:

      lookwhere calibrate pictures/ --model my-dvt --budget 60% --out my-dvt-60

      lookwhere calibrate photos/ --model my-model --looks 12.5%,37.5% --budget 0.5G --out my-auto
    """
    chosen, allowed = options.options_from(context), parse_budget(budget)
    amounts = options.amounts(looks, "--looks") if looks else []
    _check_free(out, overwrite)
    ensure_downloaded(model, quiet)

    from lookwhere_cli.evaluation.calibrate import calibrate as find_thresholds
    from lookwhere_cli.evaluation.calibrate import measure_confidences, pictures_of, save_calibrated
    from lookwhere_cli.scoring.variants import staged_strategy

    pipeline = _load_staged(model, chosen, amounts)
    paths, part = pictures_of(data, label_column, split, split_file, pipeline.info.folder)
    console = make_console(stderr=True)
    progress = ProgressBars(console, quiet)
    confidences = measure_confidences(pipeline, paths, stop_at_failure(progress) if fail_fast else progress)
    calibration = find_thresholds(confidences, allowed)
    save_calibrated(pipeline, calibration, out, command_line())
    make_console().print(_table(calibration, "all" if part == "all" else f"the split {part}"))
    pictures = f"{counted(calibration.pictures, 'picture')}{failures(len(calibration.failed))}"
    usage = usage_of(pipeline.config, out) + (" -k auto" if staged_strategy(pipeline).config.looks else "")
    say_done(f"Saved {out}, calibrated on {pictures}; next: {usage}", quiet)
    for sentence in calibration.failed:
        say(console, f"Error: {sentence}")
    if calibration.failed:
        raise typer.Exit(1)


def parse_budget(text: str) -> int | float:
    """Read a budget: a share (60%, 0.6) as float, multiply-adds (0.9G, 900M) as int. Raises UsageError."""
    number, unit = text.strip(), 1.0
    for ending, factor in UNITS.items():
        if number.endswith(ending):
            number, unit = number.removesuffix(ending), factor
    is_percentage = number.endswith("%")
    try:
        value = float(number.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf") or (is_percentage and unit != 1):
        raise UsageError(
            f"--budget {text} is not a budget; give a share (60%), or multiply-adds per picture (0.9G, 900M)."
        )
    if is_percentage:
        return value / 100
    return value if unit == 1 and "." in number else round(value * unit)


def _load_staged(model: str, chosen: Options, looks: Sequence[Amount]) -> Pipeline:
    """Load a cascade. Raises ModelError for a model with a single stage, UsageError for impossible looks."""
    from lookwhere_cli.checkpoints.exported import is_exported
    from lookwhere_cli.loading import load
    from lookwhere_cli.scoring.variants import staged_strategy, with_looks

    pipeline = load(model, chosen).pipeline
    if is_exported(pipeline.info.folder):
        raise ModelError(f"The model {model!r} is exported, which can't be calibrated; calibrate the one it is from.")
    stages = looks or pipeline.config.looks
    if stages:
        return with_looks(pipeline, stages)
    staged_strategy(pipeline)
    return pipeline


def _check_free(out: Path, overwrite: bool) -> None:
    """Raise UsageError, before any work is done, for a file and for a folder that is not empty."""
    if out.is_file():
        raise UsageError(f"--out {str(out)!r} is a file; give a folder.")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"--out {str(out)!r} is not empty; choose another folder, or --overwrite.")


def _table(calibration: Calibration, part: str) -> Table:
    """Return a table with a line for each stage, and the mean cost below it."""
    costs = calibration.costs
    spent = f"{calibration.macs / 1e9:.3f} GMACs on average, {calibration.macs / costs[-1]:.1%} of the last"
    caption = f"{counted(calibration.pictures, 'picture')} ({part}): {spent}."
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for title in ("exit", "answers from", "pictures", "GMACs by then"):
        table.add_column(title, justify="right")
    limits = [f"{threshold:.4f}" if threshold <= 1 else "never" for threshold in calibration.thresholds]
    lines = zip([*limits, "all the rest"], calibration.shares, costs, strict=True)
    for number, (limit, share, macs) in enumerate(lines, start=1):
        table.add_row(f"{number}", limit, f"{share:.1%}", f"{macs / 1e9:.3f}")
    return table
