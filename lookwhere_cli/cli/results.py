"""Results of pictures, one by one: cards in the terminal or rows in a file or pipe, with progress, errors and notes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rich.console import Console, RenderableType

from lookwhere_cli.cli.output import number_of, row_output, track
from lookwhere_cli.cli.summary import Tally, stopped
from lookwhere_cli.errors import PictureError
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.show.console import make_console, say


class Result(Protocol):
    """A result of any command: it has the picture's row."""

    @property
    def row(self) -> Row:
        """The picture's row; with `error` if it failed."""
        ...


def _nowhere(source: Any) -> None:
    pass


class ResultOutput(NamedTuple):
    """Where results go.

    write: writes or prints a result.
    console: for the progress bar and messages.
    progress: whether a progress bar may be shown.
    messages: whether errors and notes are printed here, because `write` does not show them.
    locate: called with the pixels of a picture before the results of its windows are written.
    """

    write: Callable[[Any], None]
    console: Console
    progress: bool
    messages: bool
    locate: Callable[[Any], None] = _nowhere


@contextmanager
def terminal_output(card: Callable[[Any, Console], RenderableType]) -> Iterator[ResultOutput]:
    """Print each result as a card."""
    console = make_console()
    yield ResultOutput(lambda result: console.print(card(result, console)), console, progress=True, messages=False)


@contextmanager
def rows_output(out: Path | None, format: str, columns: CsvColumns) -> Iterator[ResultOutput]:
    """Write each result's row to the file `out`, or to standard output. columns: of CSV."""
    console = make_console(stderr=True)
    # Rows on the same terminal would break the progress bar.
    progress = console.is_terminal and (out is not None or not sys.stdout.isatty())
    with row_output(out, format, columns) as write:
        yield ResultOutput(lambda result: write(result.row), console, progress, messages=True)


def write_results(
    results: Iterator[Result], output: ResultOutput, total: int | Sized, quiet: bool, fail_fast: bool
) -> Tally:
    """Write all results, and return how many there are.

    total: the number of pictures, or what tells it. quiet: no progress and no notes. fail_fast: raise PictureError at
    the first failure.
    """
    done = failed = 0
    said: set[tuple[str, str | None]] = set()
    try:
        for result in track(results, total, output.console, output.progress and not quiet):
            done += 1
            failed += result.row.error is not None
            output.write(result)
            if result.row.error is not None and fail_fast:
                raise PictureError(result.row.error)
            if output.messages:
                is_news = result.row.frame is None or (result.row.path, result.row.note) not in said
                say_error_or_note(result.row, output.console, quiet or not is_news)
                if result.row.frame is not None:  # what is said of a film is said once
                    said.add((result.row.path, result.row.note))
    except KeyboardInterrupt:
        say(output.console, stopped(done, number_of(total)))
        raise
    return Tally(done, failed)


def say_error_or_note(row: Row, console: Console, quiet: bool) -> None:
    """Print why a picture failed or, unless `quiet`, what there is to note about it."""
    if row.error is not None:
        say(console, f"Error: {row.error}")
    elif row.note and not quiet:
        say(console, f"{row.path}: {row.note}")
