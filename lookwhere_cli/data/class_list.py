"""Class names and their indices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lookwhere_cli.data.class_formats import class_names_in
from lookwhere_cli.data.text_file import read_text_file
from lookwhere_cli.data.wording import suggest
from lookwhere_cli.encodings import composed
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.find import natural_key


def read_class_list(file: Path, unique: bool = True) -> tuple[str, ...]:
    """Read the class names from a file, in the order of their indices; see `class_names_in` for what it may hold.

    unique: refuse a name that occurs twice. Raises UsageError if the file can't be read, DataError for a list that has
    no names, an empty one or a repeated one, and for one whose indices are not 0, 1, 2, ...
    """
    what = f"The class list {str(file)!r}"
    names = tuple(composed(name.strip()) for name in class_names_in(read_text_file(file, what), what))
    if not any(names):
        raise DataError(f"{what} is empty; write one class name per line.")
    _check_names(names, what, unique)
    return names


def _check_names(names: Sequence[str], what: str, unique: bool) -> None:
    for number, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"Class {number} of {what[0].lower()}{what[1:]} has no name; write one.")
        if unique and name in names[: number - 1]:
            raise DataError(f"Class {number} of {what[0].lower()}{what[1:]} repeats {name!r}; remove it.")


def index_classes(class_names: tuple[str, ...] | None, used: Iterable[str]) -> dict[str, int]:
    """Return each class's index: its place in the class list, or else in the natural order of the names in use."""
    ordered = sorted(set(used), key=natural_key) if class_names is None else class_names
    return {name: index for index, name in enumerate(ordered)}


def index_of(indices: dict[str, int], name: str, place: str) -> int:
    """Return a class's index. Raises DataError, which begins with `place`, for a class that the list lacks."""
    if name not in indices:
        raise DataError(f"{place} has the class {name!r}, which is not in the class list. {suggest(name, indices)}")
    return indices[name]
