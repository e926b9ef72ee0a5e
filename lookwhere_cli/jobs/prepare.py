"""Before a job's shards: its list of pictures, and the manifest, written once and compared by every later run."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from lookwhere_cli.checkpoints.configs import config_digest
from lookwhere_cli.checkpoints.exported import exported_revision, is_exported
from lookwhere_cli.checkpoints.layout import WEIGHTS
from lookwhere_cli.checkpoints.names import ModelLocation
from lookwhere_cli.checkpoints.resolve import find
from lookwhere_cli.errors import UsageError
from lookwhere_cli.jobs.apart import call_apart
from lookwhere_cli.jobs.entries import Entry, ListSummary, write_list
from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.inputs import find_entries
from lookwhere_cli.jobs.job import Job, Manifest, check_same, manifest_of, read_manifest, write_manifest
from lookwhere_cli.jobs.masks import ENDINGS
from lookwhere_cli.jobs.names import OURS, SUCCESS, list_name, shard_of
from lookwhere_cli.jobs.remote import is_remote
from lookwhere_cli.output.masks.paths import check_no_clash, output_paths

_NOWHERE = Path("lookwhere-remote-output")
"""Stands for an output folder that is not on this machine."""


def prepare(folder: JobFolder, job: Job, is_alone: bool = True) -> Manifest:
    """List the pictures, and return the job's manifest; it is written if this run is the first.

    is_alone: no other member of the job runs; a job without any rows may then be replaced by another one. Raises
    UsageError for inputs that can't be used, for a folder that holds something else, and for a job that was begun
    otherwise.
    """
    begun = read_manifest(folder)
    if begun is None:
        check_unused(folder)
    with TemporaryDirectory(prefix="lookwhere-") as place:
        file = Path(place) / "pictures.parquet"
        summary = _listed(job, file)
        if not summary.pictures:
            raise UsageError("There is no picture to do; check the inputs and --limit.")
        model = find(job.model)
        revision, config = revision_of(model), config_digest(model.folder)
        now = manifest_of(job, revision, config, summary.pictures, summary.digest)
        if begun is not None and begun != now and is_alone and _has_no_rows(folder):
            clear(folder)
            begun = None
        if begun is None:
            folder.put(file, list_name(summary.digest))
            begun = _begin(folder, now)
    check_same(begun, now, folder.name)
    return begun


def _begin(folder: JobFolder, now: Manifest) -> Manifest:
    """Write the manifest, and return it, or the one of another member that was faster."""
    if (begun := read_manifest(folder)) is not None:
        return begun
    write_manifest(folder, now)
    return read_manifest(folder) or now


def _has_no_rows(folder: JobFolder) -> bool:
    return not any(shard_of(name) is not None for name in folder.names())


def check_unused(folder: JobFolder) -> None:
    """Raise UsageError for a folder with files that are not a job's: they would be taken for its rows, or lost."""
    files = folder.names()
    if files:
        raise UsageError(
            f"The folder {folder.name!r} holds files, {files[0]!r} among them, but no job; choose a new or empty one."
        )


def clear(folder: JobFolder) -> None:
    """Remove a job's rows and all that is known of it, but for locks; masks are replaced one by one."""
    for name in folder.names():
        if name == SUCCESS or shard_of(name) is not None:
            folder.remove(name)
    for place in ("journal", "attempts", "workers"):  # before the manifest: another job must not find them
        folder.remove_all(f"{OURS}/{place}")
    for name in folder.names(OURS):
        folder.remove(f"{OURS}/{name}")


def _listed(job: Job, file: Path) -> ListSummary:
    """Write the list in a process of its own, so that its memory is given back; standard input is read here."""
    if "-" in job.inputs:
        return list_pictures(job, file)
    return call_apart(list_pictures, job, file)


def list_pictures(job: Job, file: Path) -> ListSummary:
    """Write the list of a job's pictures to a file of this machine. Raises UsageError for inputs that can't be used."""
    entries: Iterable[Entry] = islice(find_entries(job.inputs, job.column), job.limit)
    if "format" in job.settings:
        entries = with_stems(list(entries), job)
    return write_list(file, entries, job.shard_size)


def with_stems(entries: list[Entry], job: Job) -> list[Entry]:
    """Return the pictures with the paths of their own files; those in the output folder itself are left out.

    Raises UsageError if two of them would share a file.
    """
    out = _NOWHERE if is_remote(job.folder) else Path(job.folder)
    paths = output_paths([entry.path for entry in entries], job.inputs, out)
    ending = ENDINGS[job.settings["format"]]
    if ending and not is_remote(job.folder):
        check_no_clash(paths, [ending])
    return [
        entry._replace(stem=paths[entry.path].stem.relative_to(out).as_posix())
        for entry in entries
        if entry.path in paths
    ]


def revision_of(model: ModelLocation) -> str:
    """Return what tells one state of a model's weights from another, without loading them."""
    if model.commit is not None:
        return model.commit
    if is_exported(model.folder):
        return exported_revision(model)
    with (model.folder / WEIGHTS).open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
        header = stream.read(min(length, 100_000_000))
        try:
            recorded = json.loads(header).get("__metadata__", {}).get("revision")
        except ValueError:
            recorded = None
        if recorded:
            return str(recorded)
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]
