"""Rows of pictures that are read in windows: written one by one, with progress, and kept so that a run can go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import typer

from lookwhere_cli.cli.output import track, track_by_lines
from lookwhere_cli.cli.results import Result, ResultOutput, say_error_or_note
from lookwhere_cli.cli.summary import Tally, say_done, say_failures, stopped, wrote
from lookwhere_cli.cli.window_options import Manners, WindowRequest
from lookwhere_cli.cli.window_resume import PictureKeys, begin_journal, kept_sentence, say_outdated
from lookwhere_cli.cli.window_run import OpenWindows, WindowRun
from lookwhere_cli.errors import PictureError
from lookwhere_cli.options import Options
from lookwhere_cli.output.files import is_device
from lookwhere_cli.output.rows import WindowCounts
from lookwhere_cli.pipeline import failed_answer
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted, on_one_line
from lookwhere_cli.windows.journal import WindowJournal
from lookwhere_cli.windows.picture import WindowReading, open_windows

if TYPE_CHECKING:
    from lookwhere_cli.predictor import Predictor

T = TypeVar("T")


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

    out: the file of rows, or None. settings: how the model is used. journal: where finished windows are kept, if not
    beside the file of rows. files: what must not exist, but for `overwrite`; by default the file of rows.
    """

    def __init__(
        self,
        predictor: Predictor,
        request: WindowRequest,
        settings: Options,
        out: Path | None,
        overwrite: bool,
        journal: WindowJournal | None = None,
        files: Sequence[Path] | None = None,
    ) -> None:
        self.predictor, self.request, self.out = predictor, request, out
        self._key = PictureKeys(predictor, request, settings)
        rows = None if out is None or is_device(out) else out
        self._journal = journal or (None if rows is None else WindowJournal(rows, request.rows))
        self._files = files if files is not None else [] if rows is None else [rows]
        self._overwrite, self._quiet = overwrite, False

    def begin(self, pictures: Sequence[str], quiet: bool) -> None:
        """Say what an earlier run left, and drop what is of other pictures, models or options.

        Raises UsageError for a file that exists, unless it is what a stopped run of the same command left, or is to be
        overwritten.
        """
        self._quiet = quiet
        if self._journal is not None:
            for sentence in begin_journal(self._journal, map(self._key, pictures), self._files, self._overwrite):
                say_done(sentence, quiet)

    @contextmanager
    def open(self, picture: str) -> Iterator[WindowReading]:
        """Open a picture; see `open_windows`."""
        keeper = None if self._journal is None else self._journal.picture(self._key(picture))
        with open_windows(self.predictor, picture, self.request.options, keeper) as reading:
            if keeper is not None and self._journal is not None and keeper.is_outdated:
                say_outdated(self._journal.path, picture, self._quiet)
            yield reading

    def end(self, is_written: bool) -> None:
        """Remove what was kept, if the output is whole; else leave it, to go on from there."""
        if self._journal is not None:
            (self._journal.remove if is_written else self._journal.leave)()

    @property
    def kept_in(self) -> str:
        """Return the sentence about what a stopped run leaves; empty if it leaves nothing."""
        if self._journal is None:
            return ""
        return kept_sentence([self._journal.path] if self._journal.has_windows else [])


def write_in_windows(
    run: WindowRun,
    pictures: Sequence[str],
    destination: AbstractContextManager[ResultOutput],
    manners: Manners,
    what: str = "",
) -> None:
    """Write the rows of all pictures to a destination, say what was done, and exit with 1 if something failed.

    what: what a file holds, for the sentence at the end: "the boxes of 3 pictures"; by default its rows.
    """
    run.begin(pictures, manners.quiet)
    with destination as output:
        tally = write_windows(run, pictures, output, manners)
    run.end(is_written=not tally.windows.failed)
    if run.out is None or manners.quiet:
        say_failures(tally.pictures)
    else:
        what = what or counted(tally.pictures.done, "picture")
        say_done(f"{wrote(what, run.out, tally.pictures.failed)} {tally.sentence}", manners.quiet)
    say_tried_again(run, tally, manners.quiet)
    if not tally.is_complete:
        raise typer.Exit(1)


def say_tried_again(run: WindowRun, tally: WindowTally, quiet: bool) -> None:
    """Say how windows that can't be read are tried again, if there are such."""
    if tally.windows.failed and run.kept_in:
        say_done(f"{run.kept_in} It tries again what failed.", quiet)


def write_windows(run: WindowRun, pictures: Sequence[str], output: ResultOutput, manners: Manners) -> WindowTally:
    """Write the rows of all pictures, each after those of its windows if these are wanted.

    Raises PictureError at the first failure, if that is wanted.
    """
    done = failed = 0
    counts: list[WindowCounts] = []
    try:
        for picture in pictures:
            whole = _write_picture(run, picture, output, manners)
            done += 1
            failed += whole.row.error is not None
            counts += [] if whole.row.windows is None else [whole.row.windows]
            if whole.row.error is not None and manners.fail_fast:
                run.end(is_written=False)
                raise PictureError(whole.row.error)
            if output.messages:
                say_error_or_note(whole.row, output.console, manners.quiet)
    except KeyboardInterrupt:
        run.end(is_written=False)
        say(make_console(stderr=True), " ".join(filter(None, (stopped(done, len(pictures)), run.kept_in))))
        raise
    return WindowTally(Tally(done, failed), _sum(counts))


def _write_picture(run: WindowRun, picture: str, output: ResultOutput, manners: Manners) -> Result:
    """Write the rows of one picture; return the answer of the whole."""
    failure: str | None = None
    try:
        with run.open(picture) as reading:
            output.locate(reading.source)
            for answered in _with_progress(reading, picture, output, manners.quiet):
                if run.request.rows:
                    output.write(answered)
                if answered.row.error is not None and manners.fail_fast:
                    failure = answered.row.error
                    break
            else:
                whole = reading.whole()
                output.write(whole)
                return whole
    except PictureError as error:
        failure = str(error)
    answer = failed_answer(picture, failure or "")
    output.write(answer)
    return answer


def _with_progress(reading: OpenWindows, picture: str, output: ResultOutput, quiet: bool) -> Iterator[Result]:
    total = len(reading.plan.windows)
    if output.console.is_terminal or quiet:
        return track(reading.answers(), total, output.console, output.progress and not quiet)
    return track_by_lines(reading.answers(), total, output.console, on_one_line(picture), "windows")


def _sum(counts: Sequence[WindowCounts]) -> WindowCounts:
    names = ("total", "blank", "outside", "ranked_out", "failed")
    return WindowCounts(*(sum(getattr(one, name) for one in counts) for name in names))
