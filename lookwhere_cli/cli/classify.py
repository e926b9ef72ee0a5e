"""`lookwhere classify`: what is in each picture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from rich.console import Console

from lookwhere_cli.checkpoints.names import DEFAULT_CLASSIFIER
from lookwhere_cli.cli import options
from lookwhere_cli.cli.fetching import have
from lookwhere_cli.cli.options import OUTPUT, Format
from lookwhere_cli.cli.output import row_output, say, tracked
from lookwhere_cli.errors import PictureError
from lookwhere_cli.files import check_free
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.rows import Row

if TYPE_CHECKING:
    from lookwhere_cli.predictor import Answer


def classify(
    paths: options.Paths,
    k: options.Cells = None,
    size: options.Size = None,
    crop: options.Crop = False,
    stretch: options.Stretch = False,
    max_pixels: options.MaxPixels = Reading.max_pixels,
    background: options.Background = "white",
    model: options.Model = DEFAULT_CLASSIFIER,
    thumbnail: options.Thumbnail = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "float32",
    batch_size: options.BatchSize = 32,
    workers: options.Workers = None,
    top: options.Top = 5,
    format: Annotated[
        Format | None,
        typer.Option(metavar="FORMAT", help="text, json, jsonl, csv or parquet.", rich_help_panel=OUTPUT),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to a file instead.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: options.Overwrite = False,
    no_map: Annotated[bool, typer.Option("--no-map", help="Labels only.", rich_help_panel=OUTPUT)] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first bad picture.", rich_help_panel=OUTPUT)
    ] = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what is in each picture, reading only the patches that matter.

    Examples:

      lookwhere classify photos/ -k 25%

      lookwhere classify photos/ "more/**/*.jpg" --format csv --out labels.csv
    """
    amount, how, behind = options.amount(k), options.mode(crop, stretch), options.colour(background)
    if out is not None:
        check_free(out, overwrite)

    from lookwhere_cli.images.find import find_pictures
    from lookwhere_cli.loading import load

    pictures = find_pictures(paths)
    have(model, quiet)
    predictor = load(
        model,
        k=amount,
        size=size,
        mode=how,
        thumbnail=thumbnail,
        top=top,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        workers=workers,
        max_pixels=max_pixels,
        background=behind,
    )
    in_view = format is None and out is None and sys.stdout.isatty()
    with _view(not no_map) if in_view else _rows(out, format or "text") as telling:
        failed = _tell(predictor.answers(pictures), telling, len(pictures), quiet, fail_fast)
    if failed:
        raise typer.Exit(1)


class _Telling(NamedTuple):
    """Where answers go; the console for the bar, and for errors and notes where the answers don't show them."""

    answer: Callable[[Answer], None]
    console: Console
    bar: bool
    words: bool


@contextmanager
def _view(with_map: bool) -> Iterator[_Telling]:
    from lookwhere_cli.cli.cards import answer_card

    console = Console()
    yield _Telling(lambda answer: console.print(answer_card(answer, console, with_map)), console, bar=True, words=False)


@contextmanager
def _rows(out: Path | None, format: str) -> Iterator[_Telling]:
    console = Console(stderr=True)
    # A bar would be torn apart by rows on the same terminal.
    bar = console.is_terminal and (out is not None or not sys.stdout.isatty())
    with row_output(out, format) as write:
        yield _Telling(lambda answer: write(answer.row), console, bar, words=True)


def _tell(answers: Iterator[Answer], telling: _Telling, total: int, quiet: bool, fail_fast: bool) -> int:
    """Pass all answers on; gives the number of pictures that failed."""
    done = failed = 0
    try:
        for answer in tracked(answers, total, telling.console, telling.bar and not quiet):
            done += 1
            failed += answer.row.error is not None
            telling.answer(answer)
            if answer.row.error is not None and fail_fast:
                raise PictureError(answer.row.error)
            if telling.words:
                _say_of(answer.row, telling.console, quiet)
    except KeyboardInterrupt:
        say(telling.console, f"Stopped: {done} of {total} pictures are done.")
        raise
    if failed and total > 1:
        say(telling.console, f"{failed} of {total} pictures failed.")
    return failed


def _say_of(row: Row, console: Console, quiet: bool) -> None:
    if row.error is not None:
        say(console, f"Error: {row.error}")
    elif row.note and not quiet:
        say(console, f"{row.path}: {row.note}")
