"""Files of rows: one for each shard, written whole or not at all, and what their footers tell."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

from lookwhere_cli.errors import OutputError
from lookwhere_cli.extras import require
from lookwhere_cli.jobs.folder import JobFolder
from lookwhere_cli.jobs.parquet import open_parquet, read_columns
from lookwhere_cli.output.files import writing
from lookwhere_cli.output.parquet import ParquetGroups

GROUP, GROUP_BYTES = 256, 32 << 20
"""Rows of a row group, and bytes of its arrays, at most."""


class PartSummary(NamedTuple):
    """How many rows a file has, and how many of them are failures."""

    rows: int
    failed: int


class PartWriter:
    """Writes records of one schema to a stream that stays open. name: of the file, for messages."""

    def __init__(self, stream: BinaryIO, schema: Any, name: str) -> None:
        self._groups, self._schema, self._name = ParquetGroups(stream, "A job"), schema, name
        self._bytes = 0

    def add(self, record: dict[str, Any]) -> None:
        """Add a record. Raises OutputError, for instance if the disk is full."""
        self._groups.add(record)
        self._bytes += sum(getattr(value, "nbytes", 0) for value in record.values())
        if len(self._groups) == GROUP or self._bytes > GROUP_BYTES:
            self._write_group()

    def close(self) -> None:
        """Complete the file. Raises OutputError."""
        with writing(self._name):
            self._groups.close(self._schema)

    def _write_group(self) -> None:
        with writing(self._name):
            self._groups.write_group(self._schema)
        self._bytes = 0


def encoded(record: dict[str, Any], schema: Any) -> bytes:
    """Return one record as a Parquet file."""
    stream = BytesIO()
    writer = PartWriter(stream, schema, "a row")
    writer.add(record)
    writer.close()
    return stream.getvalue()


def decoded(content: bytes) -> list[dict[str, Any]]:
    """Return the records of a small Parquet file."""
    records: list[dict[str, Any]] = read_columns(open_parquet(BytesIO(content))).to_pylist()
    return records


def summary_of(folder: JobFolder, name: str) -> PartSummary:
    """Return what a file's footer tells. Raises OutputError for a damaged file."""
    arrow = require("pyarrow", "parquet", "A job")
    with folder.open(name) as stream:
        try:
            metadata = open_parquet(stream).metadata
        except (arrow.ArrowInvalid, OSError) as error:
            raise OutputError(
                f"{folder.name}/{name} is damaged ({error}); remove it, and the same command does its pictures again."
            ) from error
    return PartSummary(metadata.num_rows, metadata.num_rows - _empty(metadata, "error"))


def failures_in(folder: JobFolder, name: str, most: int) -> list[str]:
    """Return the first errors of a file's rows."""
    arrow = require("pyarrow.compute", "parquet", "A job")
    with folder.open(name) as stream:
        table = read_columns(open_parquet(stream), ["error"])
    errors: list[str] = arrow.drop_null(table.column("error")).slice(0, most).to_pylist()
    return errors


def _empty(metadata: Any, column: str) -> int:
    """Count the rows without a value in a column of text."""
    index = metadata.schema.names.index(column)
    groups: Iterable[Any] = (metadata.row_group(group).column(index) for group in range(metadata.num_row_groups))
    return sum(group.statistics.null_count for group in groups)
