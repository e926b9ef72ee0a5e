"""Telling of pictures one by one: to a terminal or as rows, with a bar, errors and notes beside."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from rich.console import Console, RenderableType

from lookwhere_cli.cli.output import row_output, tracked
from lookwhere_cli.errors import PictureError
from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.console import make_console, say


class Told(Protocol):
    """What is told of a picture has its row."""

    @property
    def row(self) -> Row: ...  # noqa: D102


class Telling(NamedTuple):
    """Where answers go; the console for the bar, and for errors and notes where the answers don't show them."""

    answer: Callable[[Any], None]
    console: Console
    bar: bool
    words: bool


@contextmanager
def in_view(card: Callable[[Any, Console], RenderableType]) -> Iterator[Telling]:
    """Each answer as a card in the terminal."""
    console = make_console()
    yield Telling(lambda answer: console.print(card(answer, console)), console, bar=True, words=False)


@contextmanager
def as_rows(out: Path | None, format: str) -> Iterator[Telling]:
    """Each answer's row, to a file or to standard output."""
    console = make_console(stderr=True)
    # A bar would be torn apart by rows on the same terminal.
    bar = console.is_terminal and (out is not None or not sys.stdout.isatty())
    with row_output(out, format) as write:
        yield Telling(lambda answer: write(answer.row), console, bar, words=True)


def tell(answers: Iterator[Told], telling: Telling, total: int, quiet: bool, fail_fast: bool) -> int:
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
