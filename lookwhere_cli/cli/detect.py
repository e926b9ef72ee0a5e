"""`lookwhere detect`: boxes around things."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookwhere_cli.checkpoints.layout import DEFAULT_DETECTOR
from lookwhere_cli.cli import options
from lookwhere_cli.cli.box_output import (
    BoxFormat,
    BoxRequest,
    PictureFiles,
    box_request,
    box_rows,
    check_masks_fit,
    check_windows_fit,
)
from lookwhere_cli.cli.fetching import model_from_option
from lookwhere_cli.cli.film_output import check_film, film_request, film_writer
from lookwhere_cli.cli.films import say_skipped_frames, with_frames, without_frames
from lookwhere_cli.cli.job_options import run_as_job
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.cli.output import make_folder
from lookwhere_cli.cli.results import terminal_output, write_results
from lookwhere_cli.cli.summary import Tally, listed, say_done, say_failures, wrote
from lookwhere_cli.cli.window_options import Manners, may_replace, window_request
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.cli.results import ResultOutput
    from lookwhere_cli.predictor import Predictor

BOXES = "Boxes"

Conf = Annotated[float, typer.Option(metavar="P", help="Least score of a box.", rich_help_panel=BOXES)]
Iou = Annotated[float, typer.Option(metavar="P", help="Overlap from which boxes are one thing.", rich_help_panel=BOXES)]
MaxBoxes = Annotated[int, typer.Option(metavar="N", help="Boxes per picture or window.", rich_help_panel=BOXES)]
Only = Annotated[str | None, typer.Option(metavar="A,B", help="Classes to look for.", rich_help_panel=BOXES)]
Masks = Annotated[bool, typer.Option("--masks", help="Find the mask of each box, too.", rich_help_panel=BOXES)]
Format = Annotated[
    BoxFormat | None,
    typer.Option(
        metavar="FORMAT",
        help="text, json, jsonl, csv, parquet, coco, geojson, yolo, voc. (default: by --out)",
        rich_help_panel=OUTPUT,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(metavar="PATH", help="File; a folder for yolo, voc, --overlay, jobs.", rich_help_panel=OUTPUT),
]
Overlay = Annotated[bool, typer.Option("--overlay", help="Draw the boxes on the pictures.", rich_help_panel=OUTPUT)]


def detect(
    context: typer.Context,
    paths: options.Paths,
    conf: Conf = 0.25,
    iou: Iou = 0.5,
    max_boxes: MaxBoxes = 300,
    only: Only = None,
    masks: Masks = False,
    k: options.Cells = None,
    size: options.Size = None,
    coarse: options.Coarse = None,
    prune: options.Prune = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = MAX_PIXELS,
    background: options.Background = "white",
    bands: options.Bands = None,
    stretch_range: options.StretchRange = None,
    model: options.Model = DEFAULT_DETECTOR,
    thumbnail: options.Thumbnail = None,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    memory: options.Memory = None,
    format: Format = None,
    out: Out = None,
    overlay: Overlay = False,
    overwrite: options.Overwrite = False,
    no_map: options.NoMap = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find things and draw boxes around them, reading only the patches that matter.

    Examples:

      lookwhere detect photos/ --out boxes.csv

      lookwhere detect photos/ --conf 0.4 --only danger --overlay --out overlays/
    """
    settings = options.options_from(context)
    if run_as_job(context, "detect", settings, DEFAULT_DETECTOR):
        return
    windows = window_request(context)
    place = None if out is None else Path(out)
    request = box_request(place, format, overlay, may_replace(None if overlay else windows, place, overwrite))
    if windows is not None:
        check_windows_fit(request, windows.rows, masks)
    film_file = check_film(context, request)
    if masks:
        check_masks_fit(request, drawn=film_file is not None)

    from lookwhere_cli.cli.pictures import pictures_of

    found = pictures_of(paths, quiet)[: context.params["limit"]]
    pictures, film = with_frames(context, found), film_request(context, found)
    files = None if request.out is None else PictureFiles(request, found, paths)
    name = model_from_option(context, "detect", DEFAULT_DETECTOR, quiet)

    from lookwhere_cli.loading import load

    predictor = load(name, settings)
    predictor.pipeline.head.check("detect", name)
    in_terminal = format is None and out is None and film is None and sys.stdout.isatty()
    if windows is not None:
        from lookwhere_cli.cli.window_detect import detect_in_windows

        manners, whole = Manners(quiet, fail_fast), without_frames(pictures)
        detect_in_windows(predictor, windows, settings, request, files, whole, in_terminal, overwrite, manners)
        return
    if files is not None:
        _write_files(context, predictor, request, files)
        return
    destination = _cards(no_map) if in_terminal else box_rows(request, predictor.config.labels)
    with destination as output, film_writer(film, quiet) as draw:
        tally = write_results(map(draw, predictor.answers(pictures)), output, pictures, quiet, fail_fast)
    _say_end(tally, f"the boxes of {counted(tally.done - tally.failed, 'picture')}", request.file, quiet)


def _cards(no_map: bool) -> AbstractContextManager[ResultOutput]:
    from lookwhere_cli.cli.cards import box_card

    return terminal_output(partial(box_card, with_map=not no_map))


def _write_files(context: typer.Context, predictor: Predictor, request: BoxRequest, files: PictureFiles) -> None:
    """Write a file of boxes, an overlay, or both for each picture."""
    from lookwhere_cli.output.boxes.folders import BOX_FOLDERS

    quiet = context.params["quiet"]
    out, labels = request.out, predictor.config.labels
    assert out is not None
    make_folder(out)
    folder = None if request.folder is None else BOX_FOLDERS[request.folder](out, labels, request.overwrite)
    pending = files.pending(folder)
    skipped = len(files.paths) - len(pending)
    if skipped and not quiet:
        say_done(f"Skipped {counted(skipped, 'picture')} whose files exist already; --overwrite replaces them.", quiet)
    if not pending:
        return
    pictures = with_frames(context, list(pending), files.skips(folder))
    with box_rows(request, labels) as output:
        results = files.write(predictor, folder, pictures)
        tally = write_results(results, output, pictures, quiet, context.params["fail_fast"])
    say_skipped_frames(pictures, quiet)
    kinds = ["the boxes"] * (folder is not None) + ["overlays"] * request.overlay
    _say_end(tally, f"{listed(kinds)} of {counted(tally.done - tally.failed, 'picture')}", out, quiet)


def _say_end(tally: Tally, amount: str, out: Path | None, quiet: bool) -> None:
    """Say what was written; exit with 1 if pictures failed."""
    if out is None or quiet:
        say_failures(tally)
    else:
        say_done(wrote(amount, out, tally.failed), quiet)
    if tally.failed:
        raise typer.Exit(1)
