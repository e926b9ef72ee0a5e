"""How far a job is: from the files in its folder alone, so that any process may ask."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from lookwhere_cli.errors import UsageError
from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.job import Manifest, read_manifest
from lookwhere_cli.jobs.names import SUCCESS, part_name, shard_of
from lookwhere_cli.jobs.parts import PartSummary, failures_in, summary_of
from lookwhere_cli.jobs.reports import WorkerReport, read_reports

SILENT = 60.0
"""Seconds beyond its next report after which a worker counts as gone."""
_READERS = 16  # files whose footers are read at once


@dataclass(frozen=True)
class JobStatus:
    """How far a job is.

    parts: the rows of each shard that is done. workers: those that report. success: whether the job is marked as done.
    """

    manifest: Manifest
    parts: dict[int, PartSummary]
    workers: tuple[WorkerReport, ...] = ()
    success: bool = False

    @property
    def written(self) -> int:
        """Rows in files that are complete."""
        return sum(part.rows for part in self.parts.values())

    @property
    def done(self) -> int:
        """Pictures that have a row, in files that are not complete too."""
        return self.written + sum(worker.done for worker in self._busy())

    @property
    def failed(self) -> int:
        """How many of these rows are failures."""
        return sum(part.failed for part in self.parts.values()) + sum(worker.failed for worker in self._busy())

    @property
    def is_complete(self) -> bool:
        """True if every shard is done."""
        return len(self.parts) == self.manifest.shards

    @property
    def rate(self) -> float:
        """Pictures per second of all workers together."""
        return sum(worker.rate for worker in self.workers)

    @property
    def seconds_left(self) -> float | None:
        """Seconds until all is done at this rate; None if nothing is known of it."""
        return (self.manifest.pictures - self.done) / self.rate if self.rate else None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        workers = [
            {
                "host": worker.host,
                "pid": worker.pid,
                "slice": worker.slice_name,
                "shard": worker.shard,
                "done": worker.done,
                "failed": worker.failed,
                "pictures_per_second": round(worker.rate, 3),
                "peak_memory": worker.memory,
            }
            for worker in self.workers
        ]
        return {
            "command": self.manifest.command,
            "model": self.manifest.model,
            "pictures": self.manifest.pictures,
            "done": self.done,
            "failed": self.failed,
            "shards": self.manifest.shards,
            "shards_done": len(self.parts),
            "pictures_per_second": round(self.rate, 3),
            "seconds_left": self.seconds_left and round(self.seconds_left),
            "success": self.success,
            "workers": workers,
        }

    def _busy(self) -> list[WorkerReport]:
        return [worker for worker in self.workers if worker.shard is not None and worker.shard not in self.parts]


class Watch:
    """Reads a job's status again and again; the footer of each file only once."""

    def __init__(self, folder: JobFolder, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self._parts: dict[int, PartSummary] = {}

    def status(self) -> JobStatus:
        """Return the status now. Raises OutputError for a damaged file of rows."""
        names = self._folder.names()
        shards = {shard for name in names if (shard := shard_of(name)) is not None and shard < self._manifest.shards}
        self._parts = {shard: part for shard, part in self._parts.items() if shard in shards}
        new = sorted(shards - self._parts.keys())
        with ThreadPoolExecutor(_READERS) as pool:
            summaries = pool.map(lambda shard: summary_of(self._folder, part_name(shard)), new)
            self._parts |= dict(zip(new, summaries, strict=True))
        now = time.time()
        workers = tuple(one for one in read_reports(self._folder).values() if _is_alive(one, now))
        return JobStatus(self._manifest, dict(self._parts), workers, SUCCESS in names)

    def failures(self, shard: int, most: int) -> list[str]:
        """Return the first errors of a shard that is done."""
        return failures_in(self._folder, part_name(shard), most)


def status_of(folder: JobFolder) -> JobStatus:
    """Return how far the job in a folder is. Raises UsageError if there is none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"There is no job in {folder.name!r}; name the folder that a job writes to (--out).")
    return Watch(folder, manifest).status()


def _is_alive(worker: WorkerReport, now: float) -> bool:
    return now - worker.time < worker.next_within + SILENT
