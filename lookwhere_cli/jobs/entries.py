"""The list of a job's pictures: where each one is, in a Parquet file with a row group for each shard."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from lookwhere_cli.extras import require
from lookwhere_cli.jobs.parquet import open_parquet, read_group


class Entry(NamedTuple):
    """A picture of the list.

    path: its name in rows. file: what is opened, if that is not the path itself: a remote address, or the file that
    holds the picture. place: the picture's row in that file (Parquet), or the byte at which it begins (tar).
    length: its bytes (tar). column: of the picture (Parquet). stem: the path of its own output files, without ending,
    below the job's folder.
    """

    path: str
    file: str | None = None
    place: int | None = None
    length: int | None = None
    column: str | None = None
    stem: str | None = None


class ListSummary(NamedTuple):
    """How many pictures a list has, and the hash of all of it."""

    pictures: int
    digest: str


_TEXTS = ("path", "file", "column", "stem")


def write_list(file: Path, entries: Iterable[Entry], shard_size: int) -> ListSummary:
    """Write the list, holding one shard of it at a time."""
    arrow, parquet = require("pyarrow", "parquet", "A job"), require("pyarrow.parquet", "parquet", "A job")
    schema = _schema(arrow)
    digest, pictures, rest = hashlib.sha256(), 0, iter(entries)
    with parquet.ParquetWriter(file, schema) as writer:
        while shard := list(islice(rest, shard_size)):
            columns = ([_stored(value) for value in values] for values in zip(*shard, strict=True))
            table = arrow.table(dict(zip(Entry._fields, columns, strict=True)), schema=schema)
            writer.write_table(table, row_group_size=shard_size)
            digest.update("".join(map(_line, shard)).encode("utf-8", "surrogateescape"))
            pictures += len(shard)
    return ListSummary(pictures, digest.hexdigest())


def read_shard(stream: BinaryIO, shard: int) -> list[Entry]:
    """Return the pictures of a shard, in order."""
    table = read_group(open_parquet(stream), shard)
    columns = [map(_restored, table.column(name).to_pylist()) for name in Entry._fields]
    return [Entry(*values) for values in zip(*columns, strict=True)]


def _schema(arrow: Any) -> Any:
    """Names are bytes: those of files need not be Unicode."""
    return arrow.schema([(name, arrow.binary() if name in _TEXTS else arrow.int64()) for name in Entry._fields])


def _stored(value: str | int | None) -> bytes | int | None:
    return os.fsencode(value) if isinstance(value, str) else value


def _restored(value: bytes | int | None) -> Any:
    return os.fsdecode(value) if isinstance(value, bytes) else value


def _line(entry: Entry) -> str:
    return "\0".join("" if value is None else str(value) for value in entry) + "\n"


def distinct(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield each entry once, by its path."""
    seen: set[str] = set()
    for entry in entries:
        if entry.path not in seen:
            seen.add(entry.path)
            yield entry
