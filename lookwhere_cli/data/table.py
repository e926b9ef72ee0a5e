"""CSV files as rows of named fields, each with its line number."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lookwhere_cli.errors import DataError, UsageError


@dataclass(frozen=True)
class TableRow:
    """One row of a table.

    line: the number of the line in the file on which the row ends. fields: the text of each column, unchanged.
    """

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """The columns and rows of a CSV file, in the file's order."""

    file: Path
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]

    def texts(self, column: str) -> list[str]:
        """Return each row's text in a column, without surrounding spaces."""
        return [row.fields[column].strip() for row in self.rows]

    def column(self, names: Sequence[str]) -> str | None:
        """Return the first of `names` that is a column, spelled as in the file; upper and lower case are the same."""
        spelled = {column.casefold(): column for column in self.columns}
        return next((spelled[name] for name in names if name in spelled), None)

    def place(self, row: TableRow) -> str:
        """Return the row's line and file, to begin a message with."""
        return f"Line {row.line} of {str(self.file)!r}"


def read_table(file: Path) -> Table:
    """Read a CSV file in UTF-8 whose first line names the columns; empty lines are skipped.

    Raises UsageError if the file can't be read, DataError if it is not such a CSV file.
    """
    try:
        content = file.read_bytes().decode("utf-8-sig")  # unchanged: a file name may contain a line break
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{str(file)!r} is not a CSV in UTF-8; save it as UTF-8.") from error
    reader = csv.reader(StringIO(content, newline=""))
    try:
        lines = [(reader.line_num, fields) for fields in reader if fields]
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} of {str(file)!r} is not CSV: {error}.") from error
    return _table(file, lines)


def _table(file: Path, lines: list[tuple[int, list[str]]]) -> Table:
    if len(lines) < 2:
        raise DataError(f"{str(file)!r} has no rows; put the columns' names on its first line and the rows below it.")
    columns = [name.strip() for name in lines[0][1]]
    for line, fields in lines[1:]:
        if len(fields) != len(columns):
            raise DataError(
                f"Line {line} of {str(file)!r} has {len(fields)} fields, but the first line names {len(columns)} "
                'columns; put a field that contains a comma in quotes: "a,b".'
            )
    rows = (TableRow(line, dict(zip(columns, fields, strict=True))) for line, fields in lines[1:])
    return Table(file, tuple(columns), tuple(rows))
