"""Tables that name pictures (Parquet, CSV), and Parquet files that hold them, as the Hub's data sets do."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NamedTuple, cast

from lookwhere_cli.data.table import read_table
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.jobs.entries import Entry
from lookwhere_cli.jobs.parquet import open_parquet, read_batches
from lookwhere_cli.jobs.remote import file_system, is_remote, retried
from lookwhere_cli.text import near_names, unescape_formula

PICTURES, PATHS = ("image", "img", "picture", "bytes"), ("path", "file", "filename", "file_name", "image_path", "url")
"""The usual names of a column with pictures inside, and of one with paths, in the order in which they are tried."""
ROWS = 10_000
"""Rows that are read at a time."""


class _Column(NamedTuple):
    """A column of a Parquet file. leaf: the name of what holds the pictures' names, "" if there is none."""

    name: str
    holds_pictures: bool
    leaf: str = ""


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file of this machine or of a remote store. Raises UsageError if it can't be opened."""
    try:
        if is_remote(file):
            system, path = file_system(file)
            stream = retried(lambda: system.open(path, "rb"), f"Reading {file}")
        else:
            stream = Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise UsageError(f"{file!r} can't be read: {error.strerror or error}.") from error
    with stream:
        yield cast("BinaryIO", stream)


def parquet_entries(file: str, column: str | None) -> Iterator[Entry] | None:
    """Return the pictures inside a Parquet file; None if its column holds paths.

    A picture's path is the file's, the number of the row from 0 and, where there is one, the picture's own name:
    train.parquet/17/cat.jpg. Raises UsageError for a file without such a column, DataError for one that is damaged.
    """
    with _parquet_file(file) as parquet:
        chosen = _column(parquet.schema_arrow, file, column)
    return _inside(file, chosen) if chosen.holds_pictures else None


def _inside(file: str, column: _Column) -> Iterator[Entry]:
    with _parquet_file(file) as parquet:
        names = _values(parquet, column.leaf) if column.leaf else iter([None] * parquet.metadata.num_rows)
        for row, name in enumerate(names):
            own = f"/{name}" if name else ""
            yield Entry(f"{file}/{row}{own}", file, row, column=column.name)


def table_paths(table: str, column: str | None) -> Iterator[str]:
    """Yield the paths that a table names.

    A relative one is looked up from the current folder or, if the first of them is not there, beside the table.
    Raises UsageError if there is none.
    """
    read = _parquet_paths if table.lower().endswith(".parquet") else _csv_paths
    paths = filter(None, read(table, column))
    first = next(paths, None)
    if first is None:
        raise UsageError(f"{table!r} names no picture.")
    folder = _folder_of(table, first)
    for path in chain([first], paths):
        yield path if is_remote(path) or os.path.isabs(path) else folder + path  # noqa: PTH117


def _folder_of(table: str, path: str) -> str:
    """Return what stands before relative paths, "" for the current folder."""
    if is_remote(table):
        return f"{table.rpartition('/')[0]}/"
    beside = os.path.join(os.path.dirname(table), "")  # noqa: PTH118, PTH120 - as typed
    return beside if not os.path.lexists(path) and os.path.lexists(beside + path) else ""


def _parquet_paths(file: str, column: str | None) -> Iterator[str]:
    with _parquet_file(file) as parquet:
        yield from _values(parquet, _column(parquet.schema_arrow, file, column).name)


def _csv_paths(file: str, column: str | None) -> Iterator[str]:
    with _on_this_machine(file) as local:
        table = read_table(local)
    name = table.column([one.casefold() for one in ([column] if column else [*PATHS, *PICTURES])])
    if name is None:
        raise _no_column(file, table.columns, column)
    yield from (unescape_formula(row.fields[name]).strip() for row in table.rows)


@contextmanager
def _on_this_machine(file: str) -> Iterator[Path]:
    """Yield the path of a file, fetched if it is remote."""
    if not is_remote(file):
        yield Path(file)
        return
    with TemporaryDirectory(prefix="lookwhere-") as place, opened(file) as stream:
        local = Path(place) / (file.rpartition("/")[2] or "table")
        local.write_bytes(stream.read())
        yield local


@contextmanager
def _parquet_file(file: str) -> Iterator[Any]:
    arrow = require("pyarrow", "parquet", f"{file!r}")
    with opened(file) as stream:
        try:
            yield open_parquet(stream, f"{file!r}")
        except arrow.ArrowInvalid as error:
            raise DataError(f"{file!r} is not a Parquet file, or it is damaged: {error}.") from error


def _values(parquet: Any, leaf: str) -> Iterator[Any]:
    """Yield the values of a column, or of a field of one (image.path), a few at a time."""
    for batch in read_batches(parquet, ROWS, [leaf]):
        column = batch.column(0)
        for name in leaf.split(".")[1:]:
            column = column.field(name)
        yield from column.to_pylist()


def _column(schema: Any, file: str, wanted: str | None) -> _Column:
    """Return the column of that name, or the first of the usual ones. Raises UsageError."""
    names = {name.casefold(): name for name in schema.names}
    usual = [wanted.casefold()] if wanted else [*PICTURES, *PATHS]
    name = next((names[one] for one in usual if one in names), None)
    if name is None:
        raise _no_column(file, schema.names, wanted)
    return _described(schema.field(name), file)


def _described(field: Any, file: str) -> _Column:
    types = require("pyarrow.types", "parquet", f"{file!r}")
    if types.is_binary(field.type) or types.is_large_binary(field.type):
        return _Column(field.name, holds_pictures=True)
    if types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
        leaf = f"{field.name}.path" if field.type.get_field_index("path") >= 0 else ""
        return _Column(field.name, holds_pictures=True, leaf=leaf)
    if types.is_string(field.type) or types.is_large_string(field.type):
        return _Column(field.name, holds_pictures=False)
    raise UsageError(
        f"The column {field.name!r} of {file!r} holds {field.type}; pictures are bytes or a struct with bytes, and "
        "paths are text."
    )


def _no_column(file: str, columns: Sequence[str], wanted: str | None) -> UsageError:
    listed = ", ".join(map(repr, columns))
    if wanted is None:
        return UsageError(f"{file!r} has no column of a usual name; choose one with --column: {listed}.")
    near = near_names(wanted, columns, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {listed}."
    return UsageError(f"{file!r} has no column {wanted!r}; {hint}")
