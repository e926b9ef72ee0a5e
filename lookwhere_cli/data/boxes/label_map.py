"""Names for the values of a label column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from lookwhere_cli.data.table import read_table
from lookwhere_cli.data.wording import suggest
from lookwhere_cli.errors import DataError, UsageError

OTHERS = "*"
"""The value that stands for all that are not listed."""


@dataclass(frozen=True)
class LabelMap:
    """Names by value; the value `*` stands for all others."""

    file: Path
    names: dict[str, str]

    def label(self, value: str, place: str) -> str:
        """Return the name of a value. Raises DataError, which begins with `place`, for one without a name."""
        name = self.names.get(value, self.names.get(OTHERS))
        if name is None:
            raise DataError(
                f"{place} has the class {value!r}, which {str(self.file)!r} does not name; add it, or a line for "
                f"{OTHERS}, which stands for all others. {suggest(value, self.names)}"
            )
        return name


def read_label_map(file: Path) -> LabelMap:
    """Read names of values: a CSV file with the value and the name in its first two columns, or a JSON object.

    Raises UsageError if the file can't be read, DataError if it is neither or gives a value two names or none.
    """
    if file.suffix.casefold() == ".json":
        return LabelMap(file, _from_json(file))
    table = read_table(file)
    if len(table.columns) < 2:
        raise DataError(f"{str(file)!r} has one column; a label map needs two, the value and its name.")
    names: dict[str, str] = {}
    for row in table.rows:
        value, name = (row.fields[column].strip() for column in table.columns[:2])
        if not value or not name:
            raise DataError(f"{table.place(row)} lacks a {'name' if value else 'value'}; fill it in.")
        if names.setdefault(value, name) != name:
            raise DataError(f"{table.place(row)} names {value!r} {name!r}, but above it is {names[value]!r}.")
    return LabelMap(file, names)


def _from_json(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{str(file)!r} is not JSON: {error}.") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) and name for name in content.values()):
        raise DataError(f'{str(file)!r} is not a label map; write names by value: {{"0": "ship", "1": "buoy"}}.')
    return content
