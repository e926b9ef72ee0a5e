"""How far each worker is, in a small file of its own: what tables and `jobs status` show, whatever the engine."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.names import OURS

REPORTS = f"{OURS}/workers"


@dataclass(frozen=True)
class WorkerReport:
    """One worker at a moment.

    shard: that it does now; None if it waits. done, failed: pictures of that shard. total: pictures since it started.
    seconds: of work since its model was loaded. loading: seconds that loading took. memory: its peak in bytes, 0 where
    that is not known. time: of the report. next_within: seconds until the next one, at most, while pictures come.
    """

    host: str
    pid: int
    session: str
    slice_name: str
    shard: int | None = None
    done: int = 0
    failed: int = 0
    total: int = 0
    seconds: float = 0.0
    loading: float = 0.0
    memory: int = 0
    time: float = 0.0
    next_within: float = 1.0

    @property
    def rate(self) -> float:
        """Pictures per second since the model was loaded."""
        return self.total / self.seconds if self.seconds else 0.0


class Reporter:
    """Writes a worker's reports, not more often than the folder bears."""

    def __init__(self, folder: JobFolder, session: str, slice_name: str, loading: float) -> None:
        self._folder, self._session, self._slice, self._loading = folder, session, slice_name, loading
        self._file = f"{REPORTS}/{uuid.uuid4().hex[:12]}.json"
        self._host, self._started, self._written = socket.gethostname(), time.monotonic(), 0.0
        self._shard: int | None = None
        self._done = self._failed = self._total = 0

    def begin(self, shard: int) -> None:
        """Say which shard comes next."""
        self._shard, self._done, self._failed = shard, 0, 0
        self._write()

    def count(self, failed: bool) -> None:
        """Count a picture."""
        self._done, self._failed, self._total = self._done + 1, self._failed + failed, self._total + 1
        if time.monotonic() - self._written > self._folder.seconds_between_reports:
            self._write()

    def finish(self) -> None:
        """Say that the shard is done."""
        self._shard, self._done, self._failed = None, 0, 0
        self._write()

    def _write(self) -> None:
        report = WorkerReport(
            self._host,
            os.getpid(),
            self._session,
            self._slice,
            self._shard,
            self._done,
            self._failed,
            self._total,
            round(time.monotonic() - self._started, 3),
            round(self._loading, 3),
            peak_memory(),
            time.time(),
            self._folder.seconds_between_reports,
        )
        with suppress(LookWhereError):  # a report is no result; what can't be written is said for the rows
            self._folder.write(self._file, json.dumps(asdict(report)).encode())
        self._written = time.monotonic()


def read_reports(folder: JobFolder) -> dict[str, WorkerReport]:
    """Return the newest report of each worker, of earlier runs too, by its file."""
    reports = {}
    for name in folder.names(REPORTS):
        with suppress(FileNotFoundError, ValueError, TypeError):
            values: Mapping[str, object] = json.loads(folder.read(f"{REPORTS}/{name}"))
            reports[name] = WorkerReport(**values)  # type: ignore[arg-type] # our own file
    return reports


def forget_reports(folder: JobFolder, slice_name: str) -> None:
    """Remove what the workers of earlier runs of a slice left."""
    for name, report in read_reports(folder).items():
        if report.slice_name == slice_name:
            folder.remove(f"{REPORTS}/{name}")


def peak_memory() -> int:
    """Return the most bytes of memory that this process has held; 0 where the system does not tell."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return 0
