"""Where rows go, whole, also when Ctrl-C comes; and the progress bar beside them."""

import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.output.arrays import ARRAY_WRITERS, Arrays
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.writers import WRITERS
from lookwhere_cli.show.console import PlainTextColumn

T = TypeVar("T")

PATIENCE = 1.0  # seconds without a progress bar


def row_output(out: Path | None, format: str) -> AbstractContextManager[Callable[[Row], None]]:
    """A function that writes rows to a file or to standard output; see `output`."""
    return output(_stream(out, format), WRITERS[format], out or "standard output")


def array_output(out: Path) -> AbstractContextManager[Callable[[Row, Arrays], None]]:
    """A function that writes rows with arrays by name to a file of the ending's format; see `output`."""
    return output(whole_file(out), ARRAY_WRITERS[out.suffix.lower()], out)


@contextmanager
def output(
    opened: AbstractContextManager[BinaryIO], format: Callable[[BinaryIO], Any], name: Path | str
) -> Iterator[Callable[..., None]]:
    """A function that writes to the opened stream in some format.

    Ctrl-C, or a PictureError that ends the work early, completes the output with the rows that are done and goes on.
    Raises UsageError where nothing can be written, OutputError where writing fails midway.
    """
    stopped: KeyboardInterrupt | PictureError | None = None
    with opened as stream:
        with writing(name):
            writer = format(stream)

        def write(*given: Any) -> None:
            with _uninterrupted(), writing(name):
                writer.write(*given)
                stream.flush()

        try:
            yield write
        except (KeyboardInterrupt, PictureError) as reason:
            stopped = reason
        with _uninterrupted(), writing(name):
            writer.close()
            stream.flush()
    if stopped is not None:
        raise stopped


def make_folder(folder: Path) -> None:
    """Make the folder that `--out` names, or one in it, where it is missing. Raises UsageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise UsageError(
            f"--out {str(folder)!r} can't be made ({failure.strerror}); choose another place."
        ) from failure


def tracked(items: Iterable[T], total: int, console: Console, visible: bool, title: str = "") -> Iterator[T]:
    """The items, with a progress bar on the console once they take more than a second."""
    named = (PlainTextColumn("{task.description}"),) if title else ()
    columns = (
        *named,
        BarColumn(),
        MofNCompleteColumn(),
        PlainTextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
    task = bar.add_task(title, total=total, rate="")
    started = time.monotonic()
    try:
        for done, item in enumerate(items, start=1):
            yield item
            elapsed = time.monotonic() - started
            bar.update(task, completed=done, rate=f"{done / elapsed:.1f}/s")
            if visible and elapsed > PATIENCE and not bar.live.is_started:
                bar.start()
    finally:
        if bar.live.is_started:
            bar.stop()


class Tracking:
    """A progress bar for each pass through pictures, with the pass's title."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console, self._quiet = console, quiet

    def __call__(self, items: Iterable[T], total: int, title: str) -> Iterable[T]:
        """The items, as they are drawn."""
        return tracked(items, total, self._console, self._console.is_terminal and not self._quiet, title)


@contextmanager
def _stream(out: Path | None, format: str) -> Iterator[BinaryIO]:
    if out is not None:
        with whole_file(out) as stream:
            yield stream
        return
    if format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is binary and would garble the terminal; name a file with --out.")
    yield sys.stdout.buffer


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, so that what it writes is whole."""
    held: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt
