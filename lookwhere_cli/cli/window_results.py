"""Rows of pictures that are read in windows: written one by one, with progress, and kept so that a run can go on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import typer
from rich.console import Console

from lookwhere_cli.cli.output import track
from lookwhere_cli.cli.results import ResultOutput, say_error_or_note
from lookwhere_cli.cli.summary import Tally, duration, say_done, say_failures, stopped, wrote
from lookwhere_cli.cli.window_options import Manners, WindowRequest
from lookwhere_cli.errors import PictureError
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import check_free, is_device
from lookwhere_cli.output.rows import WindowCounts
from lookwhere_cli.pipeline import Answer, failed_answer
from lookwhere_cli.show.console import say
from lookwhere_cli.text import counted, on_one_line
from lookwhere_cli.windows.journal import WindowJournal, picture_key
from lookwhere_cli.windows.picture import WindowReading, open_windows
from lookwhere_cli.windows.run import WindowAnswer

if TYPE_CHECKING:
    from lookwhere_cli.predictor import Predictor

T = TypeVar("T")
LINE_EVERY = 60.0
"""Seconds between lines of progress where standard error is no terminal."""


class WindowTally(NamedTuple):
    """How many pictures have a result, how many of them failed, and what became of all windows."""

    pictures: Tally
    windows: WindowCounts

    @property
    def is_complete(self) -> bool:
        """True if neither a picture nor a window failed."""
        return not (self.pictures.failed or self.windows.failed)

    @property
    def sentence(self) -> str:
        """What became of the windows."""
        counts = self.windows
        skipped = {"blank": counts.blank, "outside of the regions": counts.outside, "ranked lower": counts.ranked_out}
        parts = [f"{count:,} {name}" for name, count in (skipped | {"failed": counts.failed}).items() if count]
        return f"Read {counts.read:,} of {counted(counts.total, 'window')}{', '.join(['', *parts])}."


class ResumableRun:
    """A run over pictures in windows whose finished windows are kept beside the output.

    out: the file of rows, or None. settings: how the model is used. Raises UsageError for a file that exists, unless it
    is what a stopped run of the same command left, or is to be overwritten.
    """

    def __init__(
        self, predictor: Predictor, request: WindowRequest, settings: Options, out: Path | None, overwrite: bool
    ) -> None:
        self.predictor, self.request = predictor, request
        self._settings = replace(settings, batch_size=1, workers=None, memory=None, device="auto")
        self._journal = None if out is None or is_device(out) else WindowJournal(out, request.rows)
        self.out, self._overwrite = out, overwrite

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Say what an earlier run left, and drop what is of other pictures, models or options."""
        journal = self._journal
        if journal is None:
            return
        is_there = journal.path.exists()
        keys = {self.key(picture) for picture in pictures}
        done = sum(map(journal.windows_of, keys))
        if self.out is not None and not done:
            check_free(self.out, self._overwrite)
        if journal.keep_only(keys) or (is_there and not done):
            say_done(f"What {journal.path} has of other pictures, models or options is not used.", quiet)
        if done:
            say_done(f"Going on from {journal.path}: {counted(done, 'window')} {_is(done)} finished.", quiet)

    def open(self, picture: str) -> AbstractContextManager[WindowReading]:
        """Open a picture; see `open_windows`."""
        keeper = None if self._journal is None else self._journal.picture(self.key(picture))
        return open_windows(self.predictor, picture, self.request.options, keeper)

    def key(self, picture: str) -> str:
        """Return what identifies a picture, with the model and all options that decide its rows."""
        info, options = self.predictor.info, self.request.options
        regions = None if options.roi is None else picture_key(options.roi)
        return picture_key(picture, info.name, info.revision, self._settings, options, regions, self.request.rows)

    def end(self, is_written: bool) -> None:
        """Remove what was kept, if the output is whole; else close it, to go on from there."""
        if self._journal is not None:
            (self._journal.remove if is_written else self._journal.close)()

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        if self._journal is None or not self._journal.path.exists():
            return ""
        return f"The windows that are finished are in {self._journal.path}; the same command goes on from there."


def write_in_windows(
    run: ResumableRun,
    pictures: Sequence[str],
    destination: AbstractContextManager[ResultOutput],
    manners: Manners,
    what: str = "",
) -> None:
    """Write the rows of all pictures to a destination, say what was done, and exit with 1 if something failed.

    what: what a file holds, for the sentence at the end: "the boxes of 3 pictures"; by default its rows.
    """
    with destination as output:
        tally = write_windows(run, pictures, output, manners)
    run.end(is_written=True)
    if run.out is None or manners.quiet:
        say_failures(tally.pictures)
    else:
        what = what or counted(tally.pictures.done, "picture")
        say_done(f"{wrote(what, run.out, tally.pictures.failed)} {tally.sentence}", manners.quiet)
    if not tally.is_complete:
        raise typer.Exit(1)


def write_windows(run: ResumableRun, pictures: Sequence[str], output: ResultOutput, manners: Manners) -> WindowTally:
    """Write the rows of all pictures, each after those of its windows if these are wanted.

    Raises PictureError at the first failure, if that is wanted.
    """
    run.begin(pictures, manners.quiet)
    done = failed = 0
    counts: list[WindowCounts] = []
    try:
        for picture in pictures:
            whole = _write_picture(run, picture, output, manners)
            done += 1
            failed += whole.row.error is not None
            counts += [] if whole.row.windows is None else [whole.row.windows]
            if whole.row.error is not None and manners.fail_fast:
                raise PictureError(whole.row.error)
            if output.messages:
                say_error_or_note(whole.row, output.console, manners.quiet)
    except KeyboardInterrupt:
        run.end(is_written=False)
        say(output.console, " ".join(filter(None, (stopped(done, len(pictures)), run.kept_in))))
        raise
    return WindowTally(Tally(done, failed), _sum(counts))


def _write_picture(run: ResumableRun, picture: str, output: ResultOutput, manners: Manners) -> Answer:
    """Write the rows of one picture; return the answer of the whole."""
    failure: str | None = None
    try:
        with run.open(picture) as reading:
            for answered in _with_progress(reading, picture, output, manners.quiet):
                if run.request.rows:
                    output.write(answered)
                if answered.row.error is not None and manners.fail_fast:
                    failure = answered.row.error
                    break
            else:
                whole: Answer = reading.whole()
                output.write(whole)
                return whole
    except PictureError as error:
        failure = str(error)
    answer = failed_answer(picture, failure or "")
    output.write(answer)
    return answer


def _with_progress(reading: WindowReading, picture: str, output: ResultOutput, quiet: bool) -> Iterator[WindowAnswer]:
    total = len(reading.plan.windows)
    if output.console.is_terminal or quiet:
        return track(reading.answers(), total, output.console, output.progress and not quiet)
    return _with_lines(reading.answers(), total, output.console, picture)


def _with_lines(items: Iterable[T], total: int, console: Console, picture: str) -> Iterator[T]:
    """Yield the items, and print a line each minute."""
    started = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= LINE_EVERY and done < total:
            said, rate = now, done / (now - started)
            left = duration((total - done) / rate)
            say(console, f"{on_one_line(picture)}: {done:,} of {total:,} windows, {rate:.1f} windows/s, {left} left.")


def _sum(counts: Sequence[WindowCounts]) -> WindowCounts:
    names = ("total", "blank", "outside", "ranked_out", "failed")
    return WindowCounts(*(sum(getattr(one, name) for one in counts) for name in names))


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
