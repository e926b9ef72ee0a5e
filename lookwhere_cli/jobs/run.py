"""A run of a job: prepare, do the shards that are missing, and mark the job as done once none is."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from lookwhere_cli.jobs.engine import Engine
from lookwhere_cli.jobs.folder import JobFolder, LocalFolder, open_folder
from lookwhere_cli.jobs.job import Job, Manifest
from lookwhere_cli.jobs.locks import LOCKS, held
from lookwhere_cli.jobs.names import MANIFEST, OURS, SUCCESS, list_name
from lookwhere_cli.jobs.plan import ShardPlan
from lookwhere_cli.jobs.prepare import clear, prepare
from lookwhere_cli.jobs.remote import is_remote
from lookwhere_cli.jobs.reports import forget_reports
from lookwhere_cli.jobs.slices import Slice
from lookwhere_cli.jobs.status import JobStatus, Watch

ALL = Slice()
REMOTE_TICK = 10.0
"""Seconds between two looks at a folder in a remote store."""

Show = Callable[[JobStatus], None]
"""Shows how far the job is."""


class JobRun(NamedTuple):
    """What a run has done.

    status: at the end. begun_with: rows that earlier runs had written. mine: shards of the run's slice.
    missing: shards of that slice that are not done.
    """

    status: JobStatus
    begun_with: int
    mine: int
    missing: int


def run_job(job: Job, engine: Engine, part: Slice = ALL, overwrite: bool = False, show: Show | None = None) -> JobRun:
    """Do the shards of a slice that are not done yet.

    overwrite: begin anew. show: called before the first shard, then about every second. Raises what `prepare`, locks
    and the engine raise.
    """
    folder = open_folder(job.folder)
    with _tidied(folder, part), held(folder, part):
        if overwrite:
            clear(folder)
        manifest = prepare(folder, job, part.is_all)
        watch = Watch(folder, manifest)
        before = watch.status()
        if show is not None:
            show(before)
        mine = part.shards(manifest.shards)
        pending = [shard for shard in mine if shard not in before.parts]
        if pending:
            forget_reports(folder, part.name)
            engine.run(pending, _plan(job, manifest, part), _ticking(folder, watch, show))
        status = _finished(folder, watch)
    return JobRun(status, before.written, len(mine), sum(shard not in status.parts for shard in mine))


@contextmanager
def _tidied(folder: JobFolder, part: Slice) -> Iterator[None]:
    """If the block fails before a job has begun, leave nothing of it on this machine's disk."""
    is_new = isinstance(folder, LocalFolder) and not folder.path.exists()
    try:
        yield
    except BaseException:
        if isinstance(folder, LocalFolder) and not folder.exists(MANIFEST):
            with suppress(OSError):  # another member is here
                (folder.path / LOCKS / part.name).unlink()
                for place in (LOCKS, OURS, *([""] if is_new else [])):
                    (folder.path / place).rmdir()
        raise


def _plan(job: Job, manifest: Manifest, part: Slice) -> ShardPlan:
    return ShardPlan(
        job.command,
        job.model,
        job.options,
        job.folder,
        list_name(manifest.digest),
        uuid.uuid4().hex,
        part.name,
        base=os.getcwd(),  # noqa: PTH109 - text
        is_relative=any(not (is_remote(name) or os.path.isabs(name)) for name in (job.folder, *job.inputs)),  # noqa: PTH117
        settings=dict(job.settings),
    )


def _finished(folder: JobFolder, watch: Watch) -> JobStatus:
    """Return the status; mark the job as done if it is."""
    status = watch.status()
    if status.is_complete and not status.success:
        folder.write(SUCCESS, b"")
        status = watch.status()
    return status


def _ticking(folder: JobFolder, watch: Watch, show: Show | None) -> Callable[[], None]:
    """Return a function that shows the status, not more often than the folder bears."""
    every = REMOTE_TICK if is_remote(folder.name) else 0.5
    last = 0.0

    def tick() -> None:
        """Show the job's status, at most once in `every` seconds."""
        nonlocal last
        if show is not None and time.monotonic() - last > every:
            show(watch.status())
            last = time.monotonic()

    return tick
