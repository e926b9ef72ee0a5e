"""A CSV file as rows of named fields, each with the number of its line."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from lookwhere_cli.errors import DataError, UsageError


@dataclass(frozen=True)
class Row:
    """A row: `line` is where it ends in the file, `fields` maps a column's name to the text as it stands there."""

    line: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A CSV's columns and rows, in the file's order."""

    file: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def texts(self, column: str) -> list[str]:
        """Each row's text in a column, without the spaces around it."""
        return [row.fields[column].strip() for row in self.rows]

    def column(self, names: Sequence[str]) -> str | None:
        """The first of `names` that the table has, as the table spells it: upper and lower case are alike."""
        spelled = {column.casefold(): column for column in self.columns}
        return next((spelled[name] for name in names if name in spelled), None)


def read_table(file: Path) -> Table:
    """Read a CSV in UTF-8 whose first line names the columns; empty lines are passed over.

    Raises UsageError if the file can't be read, DataError if it is no such CSV.
    """
    try:
        content = file.read_bytes().decode("utf-8-sig")  # as it stands: a file's name may hold a line's end
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{str(file)!r} is not a CSV in UTF-8; save it as UTF-8.") from error
    reader = csv.reader(StringIO(content, newline=""))
    try:
        lines = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} of {str(file)!r} is not CSV: {error}.") from error
    return _table(file, lines)


def _table(file: Path, lines: list[tuple[int, list[str]]]) -> Table:
    if len(lines) < 2:
        raise DataError(f"{str(file)!r} holds no rows; write the columns' names into its first line, then the rows.")
    columns = [name.strip() for name in lines[0][1]]
    for line, row in lines[1:]:
        if len(row) != len(columns):
            raise DataError(
                f"Line {line} of {str(file)!r} has {len(row)} fields, but the first line names {len(columns)} columns; "
                'a field that holds a comma stands in quotes: "a,b".'
            )
    rows = (Row(line, dict(zip(columns, row, strict=True))) for line, row in lines[1:])
    return Table(file, tuple(columns), tuple(rows))


def offer(name: str, known: Iterable[str]) -> str:
    """A sentence with the known names that are nearly `name`, or with the first ten of all."""
    known = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    return f"There {'is' if len(known) == 1 else 'are'}: {listed(known)}."


def listed(names: Sequence[str], most: int = 10) -> str:
    """The first names, quoted, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
