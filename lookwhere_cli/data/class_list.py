"""Class names and their indices."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lookwhere_cli.data.wording import suggest
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import natural_key


def read_class_list(file: Path) -> tuple[str, ...]:
    """Read the class names from a text file with one per line, in the order of their indices.

    Raises UsageError if the file can't be read, DataError for an empty line or a repeated name.
    """
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except OSError as error:
        raise UsageError(f"The class list {str(file)!r} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The class list {str(file)!r} is not UTF-8 text; write one name per line.") from error
    for line, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"Line {line} of the class list {str(file)!r} is empty; write a class name on it.")
        if name in names[: line - 1]:
            raise DataError(f"Line {line} of the class list {str(file)!r} repeats {name!r}; remove it.")
    if not names:
        raise DataError(f"The class list {str(file)!r} is empty; write one class name per line.")
    return tuple(names)


def index_classes(class_names: tuple[str, ...] | None, used: Iterable[str]) -> dict[str, int]:
    """Return each class's index: its place in the class list, or else in the natural order of the names in use."""
    ordered = sorted(set(used), key=natural_key) if class_names is None else class_names
    return {name: index for index, name in enumerate(ordered)}


def index_of(indices: dict[str, int], name: str, place: str) -> int:
    """Return a class's index. Raises DataError, which begins with `place`, for a class that the list lacks."""
    if name not in indices:
        raise DataError(f"{place} has the class {name!r}, which is not in the class list. {suggest(name, indices)}")
    return indices[name]
