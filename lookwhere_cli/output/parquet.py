"""What Parquet files of rows and of features share: the types of a row's columns, and writing by row group."""

from collections.abc import Mapping
from typing import Any, BinaryIO

from lookwhere_cli.extras import require
from lookwhere_cli.output.rows import COLUMNS, SCHEMA, WindowCounts


class ParquetGroups:
    """A Parquet file on a stream, for records that are collected into row groups.

    Raises UsageError, which names the extra to install and `purpose`, if pyarrow is missing.
    """

    def __init__(self, stream: BinaryIO, purpose: str) -> None:
        self.arrow = require("pyarrow", "parquet", purpose)
        self._parquet = require("pyarrow.parquet", "parquet", purpose)
        self._stream = stream
        self._records: list[dict[str, Any]] = []
        self._file: Any = None

    def __len__(self) -> int:
        return len(self._records)

    def __del__(self) -> None:
        # After a failed write, pyarrow's own destructor would write to the closed stream and print an error.
        if getattr(self, "_file", None) is not None:
            self._file.is_open = False

    def add(self, record: dict[str, Any]) -> None:
        """Add a record to the current row group."""
        self._records.append(record)

    def write_group(self, schema: Any) -> None:
        """Write the current row group, if it has records. The schema is the same in every call."""
        if self._file is None:
            self._file = self._parquet.ParquetWriter(self._stream, schema)
        if self._records:
            self._file.write_table(self.arrow.Table.from_pylist(self._records, schema=schema))
        self._records = []

    def close(self, schema: Any) -> None:
        """Write the last row group and the footer."""
        self.write_group(schema)
        self._file.close()


def row_schema(arrow: Any, types: Mapping[str, Any]) -> Any:
    """Return pyarrow's schema for columns of these types, with the version of the format of rows in its metadata."""
    return arrow.schema(list(types.items()), metadata={"schema": str(SCHEMA)})


def row_types(arrow: Any) -> dict[str, Any]:
    """Return pyarrow's type for each column of a row."""
    text, integer, number = arrow.string(), arrow.int64(), arrow.float64()
    types = dict.fromkeys(COLUMNS, integer)
    types |= dict.fromkeys(("path", "model", "revision", "mask", "note", "error"), text)
    types |= dict.fromkeys(("grid", "coarse", "window"), arrow.list_(integer))
    types["windows"] = arrow.struct(dict.fromkeys(WindowCounts(0).to_dict(), integer).items())
    types |= {"cells": arrow.list_(arrow.list_(integer)), "seconds": number}
    box = [("label", text), ("index", integer), ("score", number), ("box", arrow.list_(number))]
    box.append(("mask", arrow.struct([("size", arrow.list_(integer)), ("counts", text)])))
    types["boxes"] = arrow.list_(arrow.struct(box))
    for column, value in (("labels", "probability"), ("shares", "share")):
        types[column] = arrow.list_(arrow.struct([("label", text), ("index", integer), (value, number)]))
    return types
