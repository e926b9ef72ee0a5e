"""How far a job is while it runs (a live table, or a line every minute), and what it did."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lookwhere_cli.cli.output import LineTimer
from lookwhere_cli.cli.summary import duration, failures, say_done
from lookwhere_cli.jobs.engine import Engine
from lookwhere_cli.jobs.folder import open_folder
from lookwhere_cli.jobs.job import Job
from lookwhere_cli.jobs.names import part_name
from lookwhere_cli.jobs.parts import failures_in
from lookwhere_cli.jobs.reports import WorkerReport
from lookwhere_cli.jobs.run import JobRun, run_job
from lookwhere_cli.jobs.slices import Slice
from lookwhere_cli.jobs.status import JobStatus
from lookwhere_cli.show.console import make_console, say
from lookwhere_cli.text import counted

MOST_FAILURES = 20
"""Sentences about failed pictures that are printed; all of them are in the column `error`."""


def run_and_show(job: Job, engine: Engine, part: Slice, params: Mapping[str, Any]) -> None:
    """Run a job; show how far it is, unless `quiet`, and what failed. Raises typer.Exit with 1 if rows are failures."""
    console = make_console(stderr=True)
    with _own_stderr() as console.file, _display(console, params["quiet"]) as display:
        progress = _Progress(job, display, console)
        try:
            run = run_job(job, engine, part, params["overwrite"], progress.show)
        except KeyboardInterrupt:
            say(console, progress.stopped())
            raise
        progress.say_failures(run.status)
    say_done(sentence_of(run, job.folder), params["quiet"] and not run.status.failed)
    if run.status.failed:
        raise typer.Exit(1)


@contextmanager
def _own_stderr() -> Iterator[TextIO]:
    """Yield standard error under a descriptor of its own: an engine hides what libraries print to the usual one."""
    try:
        copy = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # a stream that is no file, as in notebooks
        yield sys.stderr
        return
    with open(copy, "w", encoding=sys.stderr.encoding, errors="backslashreplace") as stream:  # noqa: PTH123
        yield stream


class _Progress:
    """What has been seen of a job so far."""

    def __init__(self, job: Job, display: Any, console: Console) -> None:
        self._folder, self._display, self._console = job.folder, display, console
        self._last: JobStatus | None = None
        self._said, self._seen = 0, set[int]()

    def show(self, status: JobStatus) -> None:
        """Show a status."""
        if self._last is None:  # failures of earlier runs were said by these
            self._seen.update(status.parts)
        self._last = status
        self.say_failures(status)
        self._display(status)

    def say_failures(self, status: JobStatus) -> None:
        """Print why pictures failed, of shards that are done since; not more than a few."""
        for shard in sorted(status.parts.keys() - self._seen):
            self._seen.add(shard)
            if status.parts[shard].failed and self._said < MOST_FAILURES:
                for error in failures_in(open_folder(self._folder), part_name(shard), MOST_FAILURES - self._said):
                    say(self._console, f"Error: {error}")
                    self._said += 1
                if self._said == MOST_FAILURES:
                    say(self._console, "Further failures are in the column error only.")

    def stopped(self) -> str:
        """Return the sentence for Ctrl-C."""
        if self._last is None:
            return "Stopped before the first shard; the same command starts again."
        done, total = self._last.written, self._last.manifest.pictures
        return f"Stopped: {done:,} of {counted(total, 'picture')} are done; the same command goes on from there."


def sentence_of(run: JobRun, folder: str) -> str:
    """Return what a run did: "Wrote 20,000 rows in 20 shards to out/ (3 failed)."."""
    status, manifest = run.status, run.status.manifest
    written = status.written - run.begun_with
    if written:
        earlier = f", after {run.begun_with:,} of earlier runs" if run.begun_with else ""
        text = f"Wrote {counted(written, 'row')} to {folder}{earlier}"
    else:
        text = f"There was nothing left to do in {folder}, which has {counted(status.written, 'row')}"
    rest = manifest.shards - len(status.parts)
    open_shards = f"; {rest:,} of {counted(manifest.shards, 'shard')} are not done yet" if rest else ""
    return f"{text}{failures(status.failed)}{open_shards}."


@contextmanager
def _display(console: Console, quiet: bool) -> Iterator[Any]:
    """Yield a function that shows a status: nowhere, in a table that changes, or as a line now and then."""
    if quiet:
        yield lambda status: None
    elif console.is_terminal:
        with Live(console=console, transient=True, auto_refresh=False, redirect_stdout=False) as live:
            yield lambda status: live.update(status_table(status), refresh=True)
    else:
        yield _Lines(console)


class _Lines:
    """Prints a line every minute."""

    def __init__(self, console: Console) -> None:
        self._console, self._timer = console, LineTimer()

    def __call__(self, status: JobStatus) -> None:
        if self._timer.is_due():
            say(self._console, status_line(status))
            self._timer.restart()


def status_line(status: JobStatus) -> str:
    """Return "12,000 of 20,000 pictures done, 3 failed, 85.2 pictures/s, 2 min left.", on one line."""
    parts = [f"{status.done:,} of {counted(status.manifest.pictures, 'picture')} done"]
    parts += [f"{status.failed:,} failed"] if status.failed else []
    if not status.is_complete and status.rate:
        parts += [f"{status.rate:.1f} pictures/s"]
        parts += [] if status.seconds_left is None else [f"{duration(status.seconds_left)} left"]
    return ", ".join(parts) + "."


def status_table(status: JobStatus) -> RenderableType:
    """Return the line, and below it a table of the workers."""
    if not status.workers:
        return Text(status_line(status))
    table = Table("Worker", "Shard", "Done", "Failed", "Pictures/s", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for worker in sorted(status.workers, key=lambda one: (one.host, one.pid)):
        table.add_row(*_cells(worker, status))
    return Group(Text(status_line(status)), table)


def _cells(worker: WorkerReport, status: JobStatus) -> tuple[str, ...]:
    name = f"{worker.host} {worker.pid}"
    if worker.shard is None:
        return name, "", "", "", f"{worker.rate:.1f}"
    size = status.manifest.size_of(worker.shard)
    return name, f"{worker.shard}", f"{worker.done:,}/{size:,}", f"{worker.failed:,}", f"{worker.rate:.1f}"
