"""`lookwhere features`: the features that a frozen model computes, as arrays in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookwhere_cli.checkpoints.layout import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import ensure_downloaded
from lookwhere_cli.cli.films import with_frames, without_frames
from lookwhere_cli.cli.job_options import run_as_job
from lookwhere_cli.cli.options import OUTPUT
from lookwhere_cli.cli.output import array_output, track
from lookwhere_cli.cli.summary import Tally, say_done, say_failures, stopped, wrote
from lookwhere_cli.cli.window_options import Manners, window_request
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.options import MAX_PIXELS
from lookwhere_cli.output.files import check_free, kept_files
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

if TYPE_CHECKING:
    from lookwhere_cli.heads.features import Features
    from lookwhere_cli.output.arrays import Arrays

ENDINGS = (".safetensors", ".parquet")


def features(
    context: typer.Context,
    paths: options.Paths,
    out: Annotated[
        str,
        typer.Option(metavar="FILE", help="A .safetensors or .parquet file, or DIR/.", rich_help_panel=OUTPUT),
    ],
    dense: Annotated[
        bool, typer.Option("--dense", help="One vector per cell, not one per picture.", rich_help_panel=OUTPUT)
    ] = False,
    maps: Annotated[bool, typer.Option("--maps", help="Include the selector maps.", rich_help_panel=OUTPUT)] = False,
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
    model: options.Model = DEFAULT_CLASSIFIER,
    thumbnail: options.Thumbnail = None,
    device: options.Device = "auto",
    runtime: options.Runtime = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    memory: options.Memory = None,
    overwrite: options.Overwrite = False,
    fail_fast: options.FailFast = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write features of pictures to a file: one vector per picture, or one per cell.

    Examples:

      lookwhere features photos/ --model dinov2-base --out cls.safetensors

      lookwhere features photos/ --dense --maps --stretch --out dense.parquet
    """
    settings = options.options_from(context)
    if run_as_job(context, "features", settings):
        return
    file, windows = Path(out), window_request(context)
    if file.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {out!r} must end in .safetensors or .parquet, which sets the format.")
    if file.suffix.lower() == ".parquet":
        check_extra("parquet", "A .parquet file")
    check_free(file, overwrite or (windows is not None and bool(kept_files(file))))

    from lookwhere_cli.cli.pictures import pictures_of

    pictures = with_frames(context, pictures_of(paths, quiet))
    ensure_downloaded(model, quiet)

    from lookwhere_cli.loading import load

    predictor = load(model, settings)
    if windows is not None:
        from lookwhere_cli.cli.window_features import features_in_windows

        arrays_of, found = partial(_arrays, maps=maps), without_frames(pictures)
        manners = Manners(quiet, fail_fast)
        features_in_windows(predictor, windows, arrays_of, (dense, maps), file, found, settings, manners, overwrite)
        return
    tally = _write(predictor.features(pictures, dense), file, maps, pictures, quiet, fail_fast)
    if quiet:
        say_failures(tally)
    say_done(wrote(f"the features of {counted(tally.done - tally.failed, 'picture')}", file, tally.failed), quiet)
    if tally.failed:
        raise typer.Exit(1)


def _write(features_of: Iterator[Features], out: Path, maps: bool, total: Sized, quiet: bool, fail_fast: bool) -> Tally:
    """Write all features. Return how many pictures were read, and how many failed.

    fail_fast: raise PictureError at the first failure.
    """
    console = make_console(stderr=True)
    done = failed = 0
    with array_output(out) as write:
        try:
            for one in track(features_of, total, console, console.is_terminal and not quiet):
                write(one.row, _arrays(one, maps))
                done += 1
                if one.row.error is not None:
                    if fail_fast:
                        raise PictureError(one.row.error)
                    failed += 1
                    say(console, f"Error: {one.row.error}")
        except KeyboardInterrupt:
            say(console, stopped(done, len(total)))
            raise
    return Tally(done, failed)


def _arrays(one: Features, maps: bool) -> Arrays:
    """Return the arrays to write for a picture, by name; none if it failed."""
    named = {"cls": one.cls, "dense": one.dense, "map": one.scores if maps else None}
    return {name: array for name, array in named.items() if array is not None}
