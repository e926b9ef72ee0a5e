"""Output that Ctrl-C leaves complete, and progress bars."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from lookwhere_cli.cli.streams import is_unicode
from lookwhere_cli.cli.summary import duration
from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.extras import check_extra
from lookwhere_cli.interrupts import delayed
from lookwhere_cli.output.arrays import ARRAY_WRITERS
from lookwhere_cli.output.files import is_device, whole_file, writing
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.output.writers import ENDINGS, RowWriter, TextWriter, make_writer
from lookwhere_cli.show.console import PlainTextColumn, say

if TYPE_CHECKING:
    from lookwhere_cli.scoring.eval_set import ShowProgress

T = TypeVar("T")

PROGRESS_AFTER = 1.0  # seconds until a progress bar appears
LINE_EVERY = 60.0  # seconds between lines of progress


def row_format(out: Path | None, format: str | None, option: str = "--out", format_option: str = "--format") -> str:
    """Return the format of rows: `format` if it is given, else that of the file's ending.

    Standard output (None), devices and pipes have no ending: they get text. Raises UsageError for any other ending, and
    if the library of the format is missing, with the extra to install.
    """
    if format is None:
        format = _format_of_ending(out, option, format_option)
    check_parquet(format)
    return format


def check_parquet(format: str) -> None:
    """Raise UsageError, with the extra to install, if the format is Parquet and its library is missing."""
    if format == "parquet":
        check_extra("parquet", "The format parquet")


def check_full_rows(full_rows: bool, format: str) -> None:
    """Raise UsageError if --full-rows is given for a format that always has all fields."""
    if full_rows and format != "csv":
        raise UsageError(f"--full-rows adds columns to CSV, and the format is {format}; leave it out.")


def _format_of_ending(out: Path | None, option: str, format_option: str) -> str:
    if out is None or is_device(out):
        return "text"
    if out.suffix.lower() not in ENDINGS:
        raise UsageError(
            f"{option} {str(out)!r} must end in {', '.join(ENDINGS)}, which sets the format of the rows; for a file "
            f"of another name, give {format_option}."
        )
    return ENDINGS[out.suffix.lower()]


def row_output(out: Path | None, format: str, columns: CsvColumns) -> AbstractContextManager[Callable[[Row], None]]:
    """Return a context manager whose value writes rows to the file `out`, or to standard output; see `open_writer`."""

    def make(stream: BinaryIO) -> RowWriter:
        """Return a writer of rows; text on standard output keeps to what its encoding has."""
        if format == "text" and out is None and not is_unicode(sys.stdout):
            return TextWriter(stream, sys.stdout.encoding)
        return make_writer(format, stream, columns)

    return open_writer(open_rows(out, format), make, out or "standard output")


def array_output(out: Path) -> AbstractContextManager[Callable[..., None]]:
    """Return a context manager whose value writes rows and arrays, and of windows places, to a file; see `open_writer`.

    The ending of the file's name, .safetensors or .parquet, decides the format.
    """
    return open_writer(whole_file(out), ARRAY_WRITERS[out.suffix.lower()], out)


@contextmanager
def open_writer(
    opened: AbstractContextManager[BinaryIO], make_writer: Callable[[BinaryIO], Any], name: Path | str
) -> Iterator[Callable[..., None]]:
    """Make a writer for the opened stream, and yield a function that calls its `write`.

    If Ctrl-C or a PictureError ends the block, the output is completed with what was written, then the exception is
    raised again. A single write is never interrupted.

    name: of the stream, for error messages. Raises UsageError if the stream can't be opened, OutputError if a write
    fails.
    """
    interruption: KeyboardInterrupt | PictureError | None = None
    with opened as stream:
        with writing(name):
            writer = make_writer(stream)

        def write(*values: Any) -> None:
            """Write the values and flush them; a signal waits until they are whole. Raises OutputError."""
            with delayed(), writing(name):
                writer.write(*values)
                stream.flush()

        try:
            yield write
        except (KeyboardInterrupt, PictureError) as error:
            interruption = error
        with delayed(), writing(name):
            writer.close()
            stream.flush()
    if interruption is not None:
        raise interruption


def make_folder(folder: Path) -> None:
    """Make the folder `--out`, or one in it, and its parents. Raises UsageError if it can't be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {str(folder)!r} can't be made ({error.strerror}); choose another place.") from error


def track(items: Iterable[T], total: int | Sized, console: Console, visible: bool, title: str = "") -> Iterator[T]:
    """Yield the items; if `visible`, show a progress bar on the console once they take more than a second.

    total: how many there are, or what tells it: of films it is an estimate that comes true on the way.
    """
    bar = _progress_bar(console, title)
    task = bar.add_task(title, total=number_of(total), rate="")
    started = time.monotonic()
    try:
        for done, item in enumerate(items, start=1):
            yield item
            elapsed = time.monotonic() - started
            bar.update(task, completed=done, total=number_of(total), rate=f"{done / elapsed:.1f}/s")
            if visible and elapsed > PROGRESS_AFTER and not bar.live.is_started:
                bar.start()
    finally:
        if bar.live.is_started:
            bar.stop()


def number_of(total: int | Sized) -> int:
    """Return how many there are."""
    return total if isinstance(total, int) else len(total)


class LineTimer:
    """Tells when a line of progress is due: each minute, where standard error is a log and no terminal for a bar."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count a minute from now."""
        self._started = time.monotonic()

    def is_due(self) -> bool:
        """Return True once the minute is over."""
        return time.monotonic() - self._started >= LINE_EVERY


def track_by_lines(items: Iterable[T], total: int, console: Console, title: str, unit: str) -> Iterator[T]:
    """Yield the items, and print a line each minute: "a.tif: 100 of 630 windows, 8.2 windows/s, 1 min left."."""
    started, timer = time.monotonic(), LineTimer()
    for done, item in enumerate(items, start=1):
        yield item
        if timer.is_due() and done < total:
            rate = done / (time.monotonic() - started)
            left = duration((total - done) / rate)
            say(console, f"{title}: {done:,} of {total:,} {unit}, {rate:.1f} {unit}/s, {left} left.")
            timer.restart()


class ProgressBars:
    """A progress bar for each of several passes over pictures or, without a terminal, a line each minute."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    def __call__(self, items: Iterable[T], total: int, title: str) -> Iterable[T]:
        """Yield the items, with a progress bar titled `title`; see `track`."""
        if self._quiet or self._console.is_terminal:
            return track(items, total, self._console, not self._quiet, title)
        return track_by_lines(items, total, self._console, title, "pictures")


def stop_at_failure(progress: ProgressBars) -> ShowProgress:
    """Return a `progress` that raises PictureError at the first item that is the sentence of a failed picture."""

    def show(items: Iterable[T], total: int, title: str) -> Iterable[T]:
        """Yield the items up to the first sentence. Raises PictureError with that."""
        for item in progress(items, total, title):
            if isinstance(item, str):
                raise PictureError(item)
            yield item

    return show


def _progress_bar(console: Console, title: str) -> Progress:
    columns = (
        *((PlainTextColumn("{task.description}"),) if title else ()),
        BarColumn(),
        MofNCompleteColumn(),
        PlainTextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


@contextmanager
def open_rows(out: Path | None, format: str) -> Iterator[BinaryIO]:
    """Open the file of rows, or standard output (None). Raises UsageError for Parquet on a terminal."""
    if out is not None:
        with whole_file(out) as stream:
            yield stream
        return
    if format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is binary and would garble the terminal; name a file with --out.")
    yield sys.stdout.buffer
