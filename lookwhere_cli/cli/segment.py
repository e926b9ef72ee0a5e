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
from lookwhere_cli.cli.films import check_film_options, say_skipped_frames, with_frames
from lookwhere_cli.cli.job_options import run_as_job
from lookwhere_cli.cli.mask_output import MASK_FILES, WINDOW_FORMATS, MaskFiles, MaskFormat, MaskRequest, write_files
from lookwhere_cli.cli.options import OUTPUT, Format
from lookwhere_cli.cli.output import check_full_rows, make_folder, row_format
from lookwhere_cli.cli.results import ResultOutput, rows_output, terminal_output, write_results
from lookwhere_cli.cli.summary import Tally, listed, say_done, say_failures, wrote
from lookwhere_cli.cli.window_options import Manners, WindowRequest, may_replace, window_request
from lookwhere_cli.errors import UsageError
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.output.files import check_free
from lookwhere_cli.output.masks.paths import output_paths
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.text import counted

Overlay = Annotated[
    bool, typer.Option("--overlay", help="Also draw the classes on the pictures.", rich_help_panel=OUTPUT)
]
Masks = Annotated[
    MaskFormat | None,
    typer.Option(metavar="FORMAT", help="png; tif (with --window), geojson, rle.", rich_help_panel=OUTPUT),
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
    format: Masks = None,
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
    folder, windows = Path(out), window_request(context)
    request = MaskRequest(_mask_files(format, windows, folder, overwrite), overlay, overwrite)
    _check_rows(rows, rows_format, full_rows, may_replace(windows, rows, overwrite))
    from lookwhere_cli.cli.pictures import pictures_of

    files = output_paths(pictures_of(paths, quiet)[: context.params["limit"]], paths, folder)
    request.check(files)
    check_film_options(context, list(files))
    name = model_from_option(context, "segment", DEFAULT_SEGMENTER, quiet)

    from lookwhere_cli.cli.cards import segmented_card, window_mask_card
    from lookwhere_cli.cli.window_rows import kept_rows_of
    from lookwhere_cli.cli.window_segment import has_unread_windows, segment_in_windows
    from lookwhere_cli.loading import load
    from lookwhere_cli.segmenter import Segmenter
    from lookwhere_cli.show.colours import class_colours

    segmenter = Segmenter(load(name, settings))
    labels, colours = segmenter.labels, class_colours(len(segmenter.labels))
    kept_rows = kept_rows_of(segmenter, windows, settings, list(files), rows)
    pending = request.pending(files, labels, partial(has_unread_windows, kept_rows.keys))
    _say_skipped(len(files) - len(pending), len(files), quiet)
    if not kept_rows.begin(pending, overwrite, quiet) and not pending:
        return
    pictures = with_frames(context, list(pending), request.skips(pending))
    make_folder(folder)
    columns = CsvColumns(classes=labels, full=full_rows, windows=windows is not None)
    card = partial(window_mask_card if windows else segmented_card, colours=colours, with_map=not no_map)
    destination = _destination(rows, rows_format, columns, card)
    if windows is not None:
        manners = Manners(quiet, fail_fast)
        segment_in_windows(segmenter, windows, request, pending, kept_rows, destination, manners)
        return
    with request.masks.open(labels, colours) as write_mask, destination as output:
        results = write_files(segmenter, request, pending, pictures, write_mask, colours)
        tally = write_results(results, output, pictures, quiet, fail_fast)
    say_skipped_frames(pictures, quiet)
    _say_end(tally, request.kinds(pending), folder, quiet)


def _mask_files(format: MaskFormat | None, windows: WindowRequest | None, folder: Path, overwrite: bool) -> MaskFiles:
    """Return the format of masks. Raises UsageError for one that can't be written, or not in windows."""
    chosen = format or ("png" if windows is None else "tif")
    if windows is not None and chosen not in WINDOW_FORMATS:
        raise UsageError(f"--format {chosen} holds a whole mask in memory; with --window, use tif or geojson.")
    files = MASK_FILES[chosen](folder, overwrite)
    files.check_library()
    return files


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


def _say_end(tally: Tally, kinds: Sequence[str], out: Path, quiet: bool) -> None:
    """Say what was written; exit with 1 if pictures failed."""
    if quiet:
        say_failures(tally)
    say_done(wrote(f"{listed(kinds)} of {counted(tally.done - tally.failed, 'picture')}", out, tally.failed), quiet)
    if tally.failed:
        raise typer.Exit(1)


def _say_skipped(skipped: int, total: int, quiet: bool) -> None:
    if skipped:
        sentence = (
            f"Skipped {skipped:,} of {counted(total, 'picture')} whose masks exist already; --overwrite replaces them."
        )
        say_done(sentence, quiet)
