"""CSV files as rows of named fields, each with its line number."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lookwhere_cli.data.text_file import read_text_file
from lookwhere_cli.encodings import composed
from lookwhere_cli.errors import DataError

DELIMITERS = (",", ";", "\t")
_SPELLED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


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
    """Read a CSV file whose first line names the columns; empty lines are skipped.

    It is UTF-8 or UTF-16, with fields divided by commas, semicolons or tabs, whichever divides the first line into most
    columns; a line `sep=;` before that one, as Excel writes it, decides. Raises UsageError if the file can't be read,
    DataError if it is not such a CSV file or has two columns of one name.
    """
    text = read_text_file(file, repr(str(file)))  # line ends unchanged: a file name may contain a line break
    delimiter, skipped = _dialect(text)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
    try:
        lines = [(reader.line_num, fields) for fields in reader if any(fields)]
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} of {str(file)!r} is not CSV: {error}.") from error
    return _table(file, lines[skipped:], delimiter)


def _dialect(text: str) -> tuple[str, int]:
    """Return what divides the fields, and the number of lines before the one that names the columns."""
    declared = re.match(r"(?i)\"?sep=([,;\t|])\"?[,;\t]*\s*?[\r\n]", text)
    if declared is not None:
        return declared[1], 1
    start = StringIO(text, newline="")
    columns = {one: len(next(csv.reader(start, delimiter=one), [])) for one in DELIMITERS if start.seek(0) == 0}
    return max(DELIMITERS, key=columns.__getitem__), 0


def _table(file: Path, lines: list[tuple[int, list[str]]], delimiter: str) -> Table:
    if len(lines) < 2:
        raise DataError(f"{str(file)!r} has no rows; put the columns' names on its first line and the rows below it.")
    columns = [composed(name.strip()) for name in lines[0][1]]
    _check_distinct(file, columns)
    rows = []
    for line, fields in lines[1:]:
        while len(fields) > len(columns) and not fields[-1].strip():
            fields.pop()  # spreadsheets end rows with empty fields
        if len(fields) != len(columns):
            raise DataError(
                f"Line {line} of {str(file)!r} has {len(fields)} fields, but the first line names {len(columns)} "
                f'columns; put a field that contains a {_SPELLED[delimiter]} in quotes: "a{delimiter}b".'
            )
        rows.append(TableRow(line, dict(zip(columns, fields, strict=True))))
    return Table(file, tuple(columns), tuple(rows))


def _check_distinct(file: Path, columns: Sequence[str]) -> None:
    """Raise DataError for two columns of one name; upper and lower case are the same, and columns without name free."""
    first: dict[str, str] = {}
    for column in filter(None, columns):
        if column.casefold() in first:
            raise DataError(
                f"{str(file)!r} has two columns of one name, {first[column.casefold()]!r} and {column!r}; rename or "
                "remove one of them."
            )
        first[column.casefold()] = column
