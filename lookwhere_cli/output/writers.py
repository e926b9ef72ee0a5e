"""Writers of rows: plain text, JSON, JSON Lines, CSV and Parquet.

All write to a binary stream and hold a bounded number of rows. Closed at any time, also halfway through a folder, they
leave a complete file.
"""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from lookwhere_cli.output.parquet import ParquetGroups, row_schema, row_types
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.text import escape_formula, on_one_line

NO_ANSWERS = CsvColumns()
PARQUET_GROUP = 256  # rows of a row group


class RowWriter(ABC):
    """Writes rows to a binary stream, which stays open."""

    @abstractmethod
    def write(self, row: Row) -> None:
        """Write a row, or hold it for a later call. Raises OSError if the stream does."""

    @abstractmethod
    def close(self) -> None:
        """Write the rows still held, and what completes the format."""


class LineWriter(RowWriter):
    """A format of one line for each row."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    @abstractmethod
    def line(self, row: Row) -> str:
        """Return the row's line, without its end."""

    def write(self, row: Row) -> None:
        """Write the row's line."""
        self._stream.write(self.line(row).encode() + b"\n")

    def close(self) -> None:
        """Do nothing: every line is written at once."""


class TextWriter(LineWriter):
    """A line for each picture, between tabs: path, window if it has one, then labels, shares and boxes, or the error.

    encoding: of a terminal; letters that it lacks are escaped.
    """

    def __init__(self, stream: BinaryIO, encoding: str = "utf-8") -> None:
        super().__init__(stream)
        self._encoding = encoding

    def write(self, row: Row) -> None:
        """Write the row's line."""
        self._stream.write(self.line(row).encode(self._encoding, "backslashreplace") + b"\n")

    def line(self, row: Row) -> str:
        """Return the line, control characters escaped."""
        results = [f"{label.label} {label.probability:.1%}" for label in row.labels]
        results += [f"{share.label} {share.share:.1%}" for share in row.shares]
        results += [f"{found.label} {found.score:.1%} at {_pixels(found.box)}" for found in row.boxes or ()]
        parts = results if row.error is None else [f"error: {row.error}"]
        window = [] if row.window is None else [_pixels(row.window)]
        return "\t".join(map(on_one_line, (row.path, *window, *parts)))


class JsonLinesWriter(LineWriter):
    """A JSON object on each line."""

    def line(self, row: Row) -> str:
        """Return the row as a JSON object."""
        return _json(row.to_dict())


class CsvWriter(LineWriter):
    """A header, then a record for each picture, with the same columns for all; text can't become a formula."""

    def __init__(self, stream: BinaryIO, columns: CsvColumns = NO_ANSWERS) -> None:
        """Write the header."""
        super().__init__(stream)
        self._columns = columns
        self._write(columns.titles())

    def line(self, row: Row) -> str:
        """Return the row's record."""
        return _record(self._columns.record(row))

    def _write(self, cells: Sequence[Any]) -> None:
        self._stream.write(_record(cells).encode() + b"\n")


class JsonWriter(RowWriter):
    """A JSON array, an object on each line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._separator = b"[\n"

    def write(self, row: Row) -> None:
        """Write the row as the next element."""
        self._stream.write(self._separator + _json(row.to_dict()).encode())
        self._separator = b",\n"

    def close(self) -> None:
        """Write the end of the array."""
        self._stream.write(b"[]\n" if self._separator == b"[\n" else b"\n]\n")


class ParquetWriter(RowWriter):
    """A Parquet file with nested columns and a row group for every 256 pictures."""

    def __init__(self, stream: BinaryIO) -> None:
        """Write nothing yet. Raises UsageError if pyarrow is missing."""
        self._groups = ParquetGroups(stream, "The format parquet")
        self._schema = row_schema(self._groups.arrow, row_types(self._groups.arrow))

    def write(self, row: Row) -> None:
        """Add a row; each 256th call writes a row group."""
        self._groups.add(row.to_dict())
        if len(self._groups) == PARQUET_GROUP:
            self._groups.write_group(self._schema)

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._groups.close(self._schema)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "), allow_nan=False)


def _pixels(box: Sequence[float]) -> str:
    return " ".join(f"{edge:.0f}" for edge in box)


def _record(cells: Sequence[Any]) -> str:
    line = io.StringIO()
    safe = [escape_formula(cell) if isinstance(cell, str) else cell for cell in cells]
    csv.writer(line, lineterminator="\r\n").writerow(safe)  # it quotes cells that hold \r or \n only with this end
    return line.getvalue().removesuffix("\r\n")


WRITERS: dict[str, Callable[[BinaryIO], RowWriter]] = {
    "text": TextWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
}
"""The writers by the name of their format."""
ENDINGS = {".txt": "text", ".json": "json", ".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
"""The formats by the ending of a file's name."""


def make_writer(format: str, stream: BinaryIO, columns: CsvColumns) -> RowWriter:
    """Return the writer of a format. columns: of CSV; other formats have all fields."""
    return CsvWriter(stream, columns) if format == "csv" else WRITERS[format](stream)
