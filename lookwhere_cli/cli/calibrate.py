"""`lookwhere calibrate`: how sure a cascade's stages must be to answer, for a budget."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lookwhere_cli.cli import options
from lookwhere_cli.cli import train_options as asked
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.output import ProgressBars
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.show.console import make_console, say

if TYPE_CHECKING:
    from lookwhere_cli.evaluation.calibrate import Calibration

UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def calibrate(
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
    max_pixels: options.MaxPixels = Reading.max_pixels,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find how sure each stage of a cascade must be to answer, so that pictures take a budget on average.

    Labels are not needed. Take pictures that the model was not trained on: of those it is too sure.

    Examples:

      lookwhere calibrate pictures/ --model my-dvt --budget 60% --out my-dvt-60

      lookwhere calibrate photos/ --model my-model --looks 12.5%,37.5% --budget 0.5G --out my-auto
    """
    reach = options.amounts(looks, "--looks") if looks else []
    wanted, how = amount(budget), options.mode(crop, stretch)
    _check_free(out, overwrite)
    ensure_downloaded(model, quiet)

    from lookwhere_cli.adaptive import adaptive
    from lookwhere_cli.evaluation.calibrate import ask_all, calibration, pictures_of, save_calibrated
    from lookwhere_cli.loading import load
    from lookwhere_cli.staged import StagedPredictor

    predictor = load(
        model,
        mode=how,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        max_pixels=max_pixels,
    )
    cascade = adaptive(predictor, reach) if reach or predictor.config.looks else predictor
    if not isinstance(cascade, StagedPredictor):
        raise ModelError(
            f"The model {model!r} answers in one stage, so there is nothing to calibrate; "
            "choose --looks (12.5%,37.5%), or train one that has several: lookwhere train --method dvt."
        )
    paths, part = pictures_of(data, label_column, split, split_file, cascade.loaded.folder)
    console = make_console(stderr=True)
    found = calibration(ask_all(cascade, paths, ProgressBars(console, quiet)), wanted)
    save_calibrated(cascade.loaded, found, out, shlex.join(["lookwhere", *sys.argv[1:]]))
    make_console().print(_table(found, "all" if part == "all" else f"the split {part}"))
    for sentence in found.failed:
        say(console, f"Error: {sentence}")
    if found.failed:
        raise typer.Exit(1)


def amount(text: str) -> int | float:
    """A budget: a share (60%, 0.6) as float, multiply-adds (0.9G, 900M) as int. Raises UsageError."""
    number, unit = text.strip(), 1.0
    for ending, factor in UNITS.items():
        if number.endswith(ending):
            number, unit = number.removesuffix(ending), factor
    try:
        value = float(number.removesuffix("%"))
    except ValueError:
        value = -1.0
    share = number.endswith("%") or (unit == 1 and "." in number)
    if not 0 < value < float("inf") or (number.endswith("%") and unit != 1):
        raise UsageError(f"--budget {text} is none; give a share (60%), or multiply-adds per picture (0.9G, 900M).")
    if number.endswith("%"):
        return value / 100
    return value if share else round(value * unit)


def _check_free(out: Path, overwrite: bool) -> None:
    """Raise UsageError, before any work is done, for a place that can't be the model's folder, or that is taken."""
    if out.is_file():
        raise UsageError(f"--out {str(out)!r} is a file; name a folder.")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"--out {str(out)!r} holds files already; choose another folder, or --overwrite.")


def _table(found: Calibration, part: str) -> Table:
    """A line for each stage, and what all came to."""
    spent = f"{found.macs / 1e9:.3f} GMACs on average, {found.macs / found.costs[-1]:.1%} of the last"
    caption = f"{found.pictures} pictures ({part}): {spent}."
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for title in ("exit", "answers from", "pictures", "GMACs by then"):
        table.add_column(title, justify="right")
    limits = [f"{one:.4f}" if one <= 1 else "never" for one in found.thresholds]
    for number, (limit, left, cost) in enumerate(
        zip([*limits, "all the rest"], found.shares, found.costs, strict=True), start=1
    ):
        table.add_row(f"{number}", limit, f"{left:.1%}", f"{cost / 1e9:.3f}")
    return table
