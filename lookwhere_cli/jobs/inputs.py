"""From what a user names (pictures, folders, tables, tar files, remote addresses) to the list of pictures."""

from __future__ import annotations

import codecs
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.find import find_pictures, natural_path_key
from lookwhere_cli.images.formats import named_like_picture
from lookwhere_cli.images.large.names import is_remote_raster
from lookwhere_cli.images.names import StandardInput
from lookwhere_cli.jobs.entries import Entry, distinct
from lookwhere_cli.jobs.remote import StoreError, file_system, is_remote, is_web, retried
from lookwhere_cli.jobs.tables import parquet_entries, table_paths
from lookwhere_cli.jobs.tars import tar_entries

TABLES = (".parquet", ".csv", ".tsv")
TARS = (".tar",)
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def is_only_for_jobs(argument: str) -> bool:
    """Return True for a table, a tar file or a remote address, which hold pictures or name them for jobs."""
    if is_remote_raster(argument):
        return False
    return is_remote(argument) or argument.lower().endswith((*TABLES, *TARS, *_COMPRESSED))


def find_entries(arguments: Sequence[str], column: str | None = None) -> Iterator[Entry]:
    """Yield each picture that the arguments name, in order, once.

    An argument is anything that `find_pictures` takes; a Parquet or CSV file of paths, or a Parquet file with pictures
    inside; a tar file; an address in a remote store of any of these, of a prefix, or a pattern. column: that of the
    tables; by default the first of the usual names. Raises UsageError and DataError for what can't be used, StoreError
    if a remote store keeps failing.
    """
    return distinct(_expanded(arguments, column))


def _expanded(arguments: Iterable[str], column: str | None) -> Iterator[Entry]:
    for needs_job, group in groupby(_without_lists(arguments), is_only_for_jobs):
        if needs_job:
            for argument in group:
                yield from _from_one(argument, column)
        else:
            yield from map(Entry, _local_pictures(list(group)))


def _without_lists(arguments: Iterable[str]) -> Iterator[str]:
    """Yield the arguments; a list of which a line needs a job is replaced by its lines."""
    for argument in arguments:
        lines = _lines(argument[1:]) if argument.startswith("@") and not os.path.lexists(argument) else []
        yield from lines if any(map(is_only_for_jobs, lines)) else [argument]


def _lines(path: str) -> list[str]:
    try:
        content = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError:
        return []  # find_pictures says what is wrong
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(line) for line in (one.removesuffix(b"\r") for one in content.split(separator)) if line]


def _local_pictures(arguments: list[str]) -> list[str]:
    pictures = find_pictures(arguments)
    if any(isinstance(picture, StandardInput) for picture in pictures):
        raise UsageError("A picture on standard input is no job; give a list of paths there, or leave the - out.")
    return pictures


def _from_one(argument: str, column: str | None) -> Iterator[Entry]:
    if argument.lower().endswith(_COMPRESSED):
        raise UsageError(
            f"{argument!r} is a compressed tar file, in which no picture can be reached by itself; unpack it, or "
            "decompress it to a .tar file."
        )
    files = _remote_files(argument) if is_remote(argument) else _local_files(argument)
    for file in files:
        yield from _in_file(file, column)


def _local_files(argument: str) -> list[str]:
    if os.path.isfile(argument):  # noqa: PTH113 - the argument may hold any bytes
        return [argument]
    matches = sorted(glob.glob(argument, recursive=True), key=natural_path_key)  # noqa: PTH207 - keeps what was typed
    return matches or find_pictures([argument])  # which says what is near, or takes a folder of that name


def _remote_files(address: str) -> list[str]:
    """Return the addresses of the files that an address names: itself, what matches a pattern, what a prefix holds."""
    if is_web(address):
        return [address]
    system, path = file_system(address)
    try:
        found = retried(lambda: _listed(system, path), f"Listing {address}")
    except StoreError:
        raise
    except Exception as error:  # fsspec's file systems raise errors of their own
        raise UsageError(f"{address!r} can't be listed: {error or type(error).__name__}.") from error
    if not found:
        raise UsageError(f"There is no picture at {address!r}; check the address.")
    return [system.unstrip_protocol(name) for name in sorted(found, key=natural_path_key)]


def _listed(system: object, path: str) -> list[str]:
    if glob.has_magic(path):
        return [name for name in system.glob(path) if _is_readable(name)]  # type: ignore[attr-defined]
    if system.isfile(path):  # type: ignore[attr-defined]
        return [path]
    return [name for name in system.find(path) if named_like_picture(name)]  # type: ignore[attr-defined]


def _is_readable(name: str) -> bool:
    return named_like_picture(name) or name.lower().endswith((*TABLES, *TARS))


def _in_file(file: str, column: str | None) -> Iterator[Entry]:
    """Yield the pictures of a table or a tar file; any other file is one."""
    name = file.lower()
    if name.endswith(TARS):
        yield from tar_entries(file)
    elif name.endswith(".parquet"):
        inside = parquet_entries(file, column)
        yield from inside if inside is not None else _named_in(file, column)
    elif name.endswith(TABLES):
        yield from _named_in(file, column)
    else:
        yield Entry(file, file) if is_remote(file) else Entry(file)


def _named_in(table: str, column: str | None) -> Iterator[Entry]:
    """Yield the pictures that a table names."""
    for path in table_paths(table, column):
        yield Entry(path, path) if is_remote(path) else Entry(path)
