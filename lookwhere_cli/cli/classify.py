"""`lookwhere classify`: labels for each picture."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import model_from_option
from lookwhere_cli.cli.job_options import run_as_job
from lookwhere_cli.cli.options import OUTPUT, Format
from lookwhere_cli.cli.output import check_full_rows, row_format
from lookwhere_cli.cli.results import rows_output, terminal_output, write_results
from lookwhere_cli.cli.summary import Tally, say_done, say_failures, wrote
from lookwhere_cli.cli.window_options import Manners, may_replace, window_request
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.output.files import check_free
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.text import counted


def classify(
    context: typer.Context,
    paths: options.Paths,
    k: options.CellsOrAuto = None,
    size: options.Size = None,
    coarse: options.Coarse = None,
    prune: options.Prune = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    background: options.Background = "white",
    bands: options.Bands = None,
    stretch_range: options.StretchRange = None,
    model: options.Model = DEFAULT_CLASSIFIER,
    thumbnail: options.Thumbnail = None,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    memory: options.Memory = None,
    top: options.Top = 5,
    format: Annotated[
        Format | None,
        typer.Option(
            metavar="FORMAT", help="text, json, jsonl, csv, parquet. (default: by --out)", rich_help_panel=OUTPUT
        ),
    ] = None,
    out: options.RowsPlace = None,
    full_rows: options.FullRows = False,
    overwrite: options.Overwrite = False,
    no_map: options.NoMap = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Label each picture, reading only the patches that matter.

    Examples:

      lookwhere classify photos/ -k 25%

      lookwhere classify photos/ "more/**/*.jpg" --out labels.csv
    """
    settings = options.options_from(context, auto=True)
    if run_as_job(context, "classify", settings, DEFAULT_CLASSIFIER):
        return
    windows = window_request(context)
    file = None if out is None else Path(out)
    rows_format = row_format(file, format)
    check_full_rows(full_rows, rows_format)
    if file is not None:
        check_free(file, may_replace(windows, file, overwrite))

    from lookwhere_cli.cli.pictures import pictures_of

    pictures = pictures_of(paths, quiet)[: context.params["limit"]]
    name = model_from_option(context, "classify", DEFAULT_CLASSIFIER, quiet)

    from lookwhere_cli.cli.cards import answer_card, window_card
    from lookwhere_cli.loading import load

    predictor = load(name, settings).labelling()
    if format is None and file is None and sys.stdout.isatty() and not (windows and windows.rows):
        destination = terminal_output(window_card if windows else partial(answer_card, with_map=not no_map))
    else:
        columns = CsvColumns(min(top, len(predictor.config.labels)), full=full_rows, windows=windows is not None)
        destination = rows_output(file, rows_format, columns)
    if windows is not None:
        from lookwhere_cli.cli.window_results import ResumableRun, write_in_windows

        run = ResumableRun(predictor, windows, settings, file, overwrite)
        write_in_windows(run, pictures, destination, Manners(quiet, fail_fast))
        return
    with destination as output:
        tally = write_results(predictor.answers(pictures), output, len(pictures), quiet, fail_fast)
    _say_end(tally, file, quiet)


def _say_end(tally: Tally, file: Path | None, quiet: bool) -> None:
    """Say what was written; exit with 1 if pictures failed."""
    if file is None or quiet:
        say_failures(tally)
    else:
        say_done(wrote(counted(tally.done, "row"), file, tally.failed), quiet)
    if tally.failed:
        raise typer.Exit(1)
