"""One run for each slice of a job: locks that vanish with their process, or leases where a place has no locks."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lookwhere_cli.errors import LookWhereError, UsageError
from lookwhere_cli.jobs.folder import JobFolder, LocalFolder
from lookwhere_cli.jobs.names import OURS
from lookwhere_cli.jobs.slices import Slice, first_overlap
from lookwhere_cli.output.files import writing
from lookwhere_cli.output.locks import lock

LOCKS = f"{OURS}/locks"
LEASE = 180.0
"""Seconds after which a lease that was not renewed counts no more."""
RENEWED = 30.0
"""Seconds between two renewals."""


@contextmanager
def held(folder: JobFolder, mine: Slice) -> Iterator[None]:
    """Keep a slice of the job for this process until the block ends.

    Raises UsageError if another process has the same slice or one that overlaps with it.
    """
    if isinstance(folder, LocalFolder) and (stream := _locked(folder.path / LOCKS, mine)) is not None:
        with stream:
            yield
        return
    with _leased(folder, mine):
        yield


def _locked(place: Path, mine: Slice) -> ExitStack | None:
    """Lock the slice's file; return what unlocks it, or None if the disk has no locks."""
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(place / mine.name, os.O_RDWR | os.O_CREAT, 0o666)
    kept = ExitStack()
    kept.callback(os.close, descriptor)
    try:
        has_lock = lock(descriptor)
        if has_lock is None:
            kept.close()
            return None
        if not has_lock:
            raise _refusal(mine, mine)
        running = (name for name in os.listdir(place) if _is_locked(place / name))  # noqa: PTH208 - names only
        if (other := first_overlap(mine, running)) is not None:
            raise _refusal(mine, other)
    except BaseException:
        kept.close()
        raise
    return kept


def _is_locked(file: Path) -> bool:
    """Return True if another process, or this one, has the lock."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        return lock(descriptor) is False
    finally:
        os.close(descriptor)


@contextmanager
def _leased(folder: JobFolder, mine: Slice) -> Iterator[None]:
    """Keep a small file fresh that tells others of this run."""
    owner = {"id": uuid.uuid4().hex, "host": socket.gethostname(), "pid": os.getpid()}
    file = f"{LOCKS}/{mine.name}"
    running = [name for name in folder.names(LOCKS) if _is_fresh(folder, f"{LOCKS}/{name}")]
    other = mine if mine.name in running else first_overlap(mine, running)
    if other is not None:
        raise _refusal(mine, other)
    _renew(folder, file, owner)
    if (_read(folder, file) or {}).get("id") != owner["id"]:  # another run began in the same moment
        raise _refusal(mine, mine)
    ended = threading.Event()
    thread = threading.Thread(target=_keep_fresh, args=(folder, file, owner, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        folder.remove(file)


def _keep_fresh(folder: JobFolder, file: str, owner: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(RENEWED):
        try:
            _renew(folder, file, owner)
        except LookWhereError:  # the store is away: rows can't be written either, which is said elsewhere
            continue


def _renew(folder: JobFolder, file: str, owner: dict[str, Any]) -> None:
    folder.write(file, json.dumps({**owner, "time": time.time()}).encode())


def _is_fresh(folder: JobFolder, file: str) -> bool:
    """Return False for a lease that ran out, and for one of a process of this machine that is gone."""
    lease = _read(folder, file)
    if lease is None or time.time() - lease.get("time", 0.0) > LEASE:
        return False
    return lease.get("host") != socket.gethostname() or _runs(lease.get("pid", 0))


def _read(folder: JobFolder, file: str) -> dict[str, Any] | None:
    try:
        lease = json.loads(folder.read(file))
    except (FileNotFoundError, ValueError):
        return None
    return lease if isinstance(lease, dict) else None


def _runs(pid: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(pid))


def _refusal(mine: Slice, other: Slice) -> UsageError:
    if other == mine and mine.is_all:
        sentence = "Another run does this job already; wait until it ends, or choose another folder."
    elif other == mine:
        sentence = f"Another run does the slice {mine.number}/{mine.count} already; give each member its own."
    elif other.is_all:
        sentence = "A run without --shards does all of this job already; wait until it ends."
    elif mine.is_all:
        sentence = f"Runs of its slices ({other.number}/{other.count}) do this job already; give --shards, or wait."
    else:
        sentence = (
            f"A run does the slice {other.number}/{other.count} of this job already; all members need the same number "
            f"of slices, and this one has {mine.count}."
        )
    return UsageError(sentence)
