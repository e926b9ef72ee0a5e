"""`lookwhere segment`: a class for each pixel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from lookwhere_cli.checkpoints.layout import DEFAULT_SEGMENTER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import model_from_option
from lookwhere_cli.cli.job_options import run_as_job
from lookwhere_cli.cli.mask_output import MASK_FILES, MaskFormat, MaskRequest, write_files
from lookwhere_cli.cli.options import OUTPUT, Format
from lookwhere_cli.cli.output import check_full_rows, make_folder, row_format
from lookwhere_cli.cli.results import ResultOutput, rows_output, terminal_output, write_results
from lookwhere_cli.cli.summary import Tally, listed, say_done, say_failures, wrote
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.output.files import check_free
from lookwhere_cli.output.masks.paths import output_paths
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.text import counted

Overlay = Annotated[
    bool, typer.Option("--overlay", help="Also draw the classes on the pictures.", rich_help_panel=OUTPUT)
]
RowsFormat = Annotated[
    Format | None,
    typer.Option(metavar="FORMAT", help="Of rows: text, json, jsonl, csv, parquet.", rich_help_panel=OUTPUT),
]


def segment(
    context: typer.Context,
    paths: options.Paths,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder for the masks.", rich_help_panel=OUTPUT)],
    k: options.Cells = None,
    size: options.Size = None,
    coarse: options.Coarse = None,
    prune: options.Prune = None,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    background: options.Background = "white",
    bands: options.Bands = None,
    stretch_range: options.StretchRange = None,
    model: options.Model = DEFAULT_SEGMENTER,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    memory: options.Memory = None,
    format: Annotated[
        MaskFormat,
        typer.Option(
            metavar="FORMAT",
            help="Of masks: png (default), rle, geojson.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ] = "png",
    overlay: Overlay = False,
    rows: options.RowsFile = None,
    rows_format: RowsFormat = None,
    full_rows: options.FullRows = False,
    overwrite: options.Overwrite = False,
    no_map: options.NoMap = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Label every pixel: write a mask for each picture, at its full size.

    Examples:

      lookwhere segment photos/ --out masks/

      lookwhere segment photos/ --out masks/ --overlay --rows shares.csv
    """
    settings = options.options_from(context)
    if run_as_job(context, "segment", settings, DEFAULT_SEGMENTER):
        return
    folder = Path(out)
    request = MaskRequest(MASK_FILES[format](folder, overwrite), overlay, overwrite)
    request.masks.check_library()
    _check_rows(rows, rows_format, full_rows, overwrite)
    from lookwhere_cli.cli.pictures import pictures_of

    files = output_paths(pictures_of(paths, quiet)[: context.params["limit"]], paths, folder)
    request.check(files)
    name = model_from_option(context, "segment", DEFAULT_SEGMENTER, quiet)

    from lookwhere_cli.cli.cards import segmented_card
    from lookwhere_cli.loading import load
    from lookwhere_cli.segmenter import Segmenter
    from lookwhere_cli.show.colours import class_colours

    segmenter = Segmenter(load(name, settings))
    labels, colours = segmenter.labels, class_colours(len(segmenter.labels))
    pending = request.pending(files, labels)
    _say_skipped(len(files) - len(pending), len(files), quiet)
    if not pending:
        return
    make_folder(folder)
    card = partial(segmented_card, colours=colours, with_map=not no_map)
    columns = CsvColumns(classes=labels, full=full_rows)
    with request.masks.open(labels, colours) as write_mask, _destination(rows, rows_format, columns, card) as output:
        results = write_files(segmenter, pending, write_mask, colours)
        tally = write_results(results, output, len(pending), quiet, fail_fast)
    _say_written(tally, request.kinds(pending), folder, quiet)
    if tally.failed:
        raise typer.Exit(1)


def _check_rows(rows: Path | None, format: Format | None, full_rows: bool, overwrite: bool) -> None:
    """Raise UsageError for rows that can't be written."""
    check_full_rows(full_rows, _format_of(rows, format))
    if rows is not None:
        check_free(rows, overwrite)


def _destination(
    rows: Path | None,
    format: Format | None,
    columns: CsvColumns,
    card: Callable[[Any, Console], RenderableType],
) -> AbstractContextManager[ResultOutput]:
    if rows is None and format is None and sys.stdout.isatty():
        return terminal_output(card)
    return rows_output(rows, _format_of(rows, format), columns)


def _format_of(rows: Path | None, format: Format | None) -> str:
    return row_format(rows, format, "--rows", "--rows-format")


def _say_written(tally: Tally, kinds: Sequence[str], out: Path, quiet: bool) -> None:
    if quiet:
        say_failures(tally)
    say_done(wrote(f"{listed(kinds)} of {counted(tally.done - tally.failed, 'picture')}", out, tally.failed), quiet)


def _say_skipped(skipped: int, total: int, quiet: bool) -> None:
    if skipped:
        sentence = (
            f"Skipped {skipped:,} of {counted(total, 'picture')} whose masks exist already; --overwrite replaces them."
        )
        say_done(sentence, quiet)
