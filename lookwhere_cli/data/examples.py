"""What is trained on: pictures and what is known of each, from folders, a CSV, or pictures beside masks."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lookwhere_cli.data.table import Row, Table, listed, offer, read_table
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_pictures, natural, natural_path

Kind = Literal["single", "multi", "masks"]
Split = Literal["train", "val"]
SIDES: tuple[Split, Split] = ("train", "val")
IGNORED = 255
"""A mask's pixel of this value belongs to no class: it is neither trained on nor counted."""
FILE_COLUMNS = ("file", "path", "image", "filename")
LABEL_COLUMNS = ("label", "class", "labels", "classes", "category", "categories")
LAYOUTS = (
    "a folder per class (also inside train and val), a labels.csv of file and label, "
    "or pictures in images and index masks in masks"
)


@dataclass(frozen=True)
class Example:
    """A picture and what is known of it."""

    path: str
    """Of the picture."""
    classes: tuple[int, ...] = ()
    """Indices of its class (kind "single": one) or classes ("multi": rising, may be none); empty with a mask."""
    mask: str | None = None
    """Path of its index mask."""
    split: Split | None = None
    """As the data gives it; None until `divided` fills it."""
    group: str | None = None
    """Examples of one group must not lie on both sides."""


@dataclass(frozen=True)
class Labelled:
    """A labelled set. `examples` are naturally sorted by path (2 before 10); a class's index is its place in `classes`.

    root: the folder that the files in a written split are relative to.
    """

    kind: Kind
    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    root: Path

    def of(self, split: Split) -> tuple[Example, ...]:
        """The examples of one side."""
        return tuple(example for example in self.examples if example.split == split)

    def name(self, example: Example) -> str:
        """The example's path relative to `root`, with forward slashes; bytes that are not UTF-8 are spelled out."""
        relative = Path(os.path.relpath(example.path, self.root)).as_posix()
        return relative.encode("utf-8", "backslashreplace").decode()


def read_examples(
    data: Path,
    *,
    classes: Path | None = None,
    label_column: str | None = None,
    multi_label: bool = False,
    group: str | None = None,
) -> Labelled:
    """Read a labelled set: a CSV, or a folder in one of the LAYOUTS.

    data: the CSV, or the folder; `images` and `masks` in it (or in its `train` and `val`) come before a `labels.csv`,
    and that before folders. The CSV's files are relative to its own folder; its column `split`, if any, says train or
    val. Several labels stand in one field, separated by ; | or , if one of these occurs in the column, else by spaces.
    classes: a file with a class's name per line, in the order of their indices; default: `classes.txt` beside the
    data, else the names naturally sorted (masks need the file).
    group: a column of the CSV, or else a regular expression that is searched in each file's name; its first group,
    or the whole match, names what belongs together.

    Raises UsageError for what is not there or can't be meant, DataError for data that contradict themselves.
    Whether the pictures can be read is not looked at: see `sound`.
    """
    if not data.exists():
        raise UsageError(f"{str(data)!r} is not there; name a folder or a CSV.")
    root = data if data.is_dir() else data.parent
    file = classes or (root / "classes.txt" if (root / "classes.txt").is_file() else None)
    names = None if file is None else read_classes(file)
    places = _mask_places(data)
    table_file = data if data.is_file() else data / "labels.csv"
    if not places and table_file.is_file():
        labelled, groups = _from_table(read_table(table_file), names, label_column, multi_label, group)
    elif multi_label or label_column is not None:
        raise UsageError(f"Several labels or a label column need a CSV, and {str(data)!r} holds no labels.csv.")
    else:
        labelled = _from_masks(data, places, names) if places else _from_folders(data, names)
        groups = None if group is None else [_searched(group, example.path) for example in labelled.examples]
    return _in_order(labelled, groups)


def read_classes(file: Path) -> tuple[str, ...]:
    """The classes' names, one per line. Raises UsageError if the file can't be read, DataError on a gap or a double."""
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except OSError as error:
        raise UsageError(f"The class list {str(file)!r} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"The class list {str(file)!r} is not a text in UTF-8; write a name on each line.") from error
    for line, name in enumerate(names, start=1):
        if not name:
            raise DataError(f"Line {line} of the class list {str(file)!r} is empty; each line names a class.")
        if name in names[: line - 1]:
            raise DataError(f"Line {line} of the class list {str(file)!r} names {name!r} a second time.")
    if not names:
        raise DataError(f"The class list {str(file)!r} is empty; write a class's name on each line.")
    return tuple(names)


def _in_order(labelled: Labelled, groups: Sequence[str] | None) -> Labelled:
    examples: Iterable[Example] = labelled.examples
    if groups is not None:
        examples = (replace(example, group=name) for example, name in zip(examples, groups, strict=True))
    return replace(labelled, examples=tuple(sorted(examples, key=lambda example: natural_path(example.path))))


def _indices(names: tuple[str, ...] | None, used: Iterable[str]) -> dict[str, int]:
    """Each class's index: by the class list, or by natural order of the names that are used."""
    ordered = sorted(set(used), key=natural) if names is None else names
    return {name: index for index, name in enumerate(ordered)}


def _index(indices: dict[str, int], name: str, source: str) -> int:
    if name not in indices:
        raise DataError(f"{source} is of the class {name!r}, which the class list lacks. {offer(name, indices)}")
    return indices[name]


def _searched(pattern: str, path: str) -> str:
    try:
        found = re.search(pattern, Path(path).name)
    except re.error as error:
        raise UsageError(f"The group {pattern!r} is not a regular expression: {error}.") from error
    name = found and found[min(1, found.re.groups)]
    if not name:
        raise UsageError(
            f"The group {pattern!r} is found in no part of the file name {Path(path).name!r}; "
            "give a column of the CSV, or a regular expression that matches every name, such as '^[^_]+'."
        )
    return name


def _from_folders(data: Path, names: tuple[str, ...] | None) -> Labelled:
    found: list[tuple[str, str, Split | None]] = []
    for split, place in _class_places(data):
        for path in find_pictures([str(place)]):
            parts = Path(path).relative_to(place).parts
            if len(parts) > 1:  # one that lies beside the class folders has no label
                found.append((path, parts[0], split))
    if not found:
        raise UsageError(f"{str(data)!r} holds no labelled pictures; it can be {LAYOUTS}.")
    indices = _indices(names, (name for _, name, _ in found))
    examples = (Example(path, (_index(indices, name, repr(path)),), split=split) for path, name, split in found)
    return Labelled("single", tuple(indices), tuple(examples), data)


def _class_places(data: Path) -> list[tuple[Split | None, Path]]:
    """The folders that hold class folders: train and val if train holds folders (and is no class itself), else data."""
    if (data / "train").is_dir() and any(entry.is_dir() for entry in (data / "train").iterdir()):
        return [(side, data / side) for side in SIDES if (data / side).is_dir()]
    return [(None, data)]


def _mask_places(data: Path) -> list[tuple[Split | None, Path]]:
    """The folders that hold images and masks: data itself, or its train and val; none where there are no masks."""
    every: list[tuple[Split | None, Path]] = [(None, data), *((side, data / side) for side in SIDES)]
    places = [(side, place) for side, place in every if (place / "images").is_dir() and (place / "masks").is_dir()]
    return places[:1] if places and places[0][0] is None else places


def _from_masks(data: Path, places: list[tuple[Split | None, Path]], names: tuple[str, ...] | None) -> Labelled:
    if names is None:
        raise UsageError(
            f"Masks need a class list: write a class's name per line, that of index 0 first, into "
            f"{str(data / 'classes.txt')!r}, or name such a file with --classes."
        )
    if len(names) > IGNORED:
        raise DataError(f"{len(names)} classes are too many for masks: the indices are 0 to {IGNORED - 1}.")
    examples = [example for split, place in places for example in _beside_masks(split, place)]
    return Labelled("masks", names, tuple(examples), data)


def _beside_masks(split: Split | None, place: Path) -> list[Example]:
    masks: dict[Path, str] = {}
    for path in find_pictures([str(place / "masks")]):
        first = masks.setdefault(Path(path).relative_to(place / "masks").with_suffix(""), path)
        if first != path:
            raise DataError(f"{first!r} and {path!r} are masks of the same picture; keep one.")
    pictures = find_pictures([str(place / "images")])
    stems = [Path(path).relative_to(place / "images").with_suffix("") for path in pictures]
    bare = [path for path, stem in zip(pictures, stems, strict=True) if stem not in masks]
    if bare:
        raise DataError(
            f"{len(bare)} of {len(pictures)} pictures have no mask of the same name in {str(place / 'masks')!r}: "
            f"{listed(bare)}."
        )
    return [Example(path, mask=masks[stem], split=split) for path, stem in zip(pictures, stems, strict=True)]


def _from_table(
    table: Table, names: tuple[str, ...] | None, label_column: str | None, multi_label: bool, group: str | None
) -> tuple[Labelled, list[str] | None]:
    labels = _labels(table, label_column, multi_label)
    indices = _indices(names, (name for several in labels for name in several))
    examples = [
        Example(path, tuple(sorted(_index(indices, name, _place(table, row)) for name in several)), split=split)
        for path, several, split, row in zip(_paths(table), labels, _splits(table), table.rows, strict=True)
    ]
    kind: Kind = "multi" if multi_label else "single"
    groups = None if group is None else _groups(table, examples, group)
    return Labelled(kind, tuple(indices), tuple(examples), table.file.parent), groups


def _place(table: Table, row: Row) -> str:
    return f"Line {row.line} of {str(table.file)!r}"


def _paths(table: Table) -> list[str]:
    """Each row's picture. Raises DataError for a row without one, and for a picture that stands in two rows."""
    column = table.column(FILE_COLUMNS)
    if column is None:
        raise DataError(
            f"{str(table.file)!r} has no column for the pictures; name it {' or '.join(FILE_COLUMNS)}. "
            f"There are: {listed(table.columns)}."
        )
    lines: dict[str, int] = {}
    for row, name in zip(table.rows, table.texts(column), strict=True):
        if not name:
            raise DataError(f"{_place(table, row)} names no picture in its column {column!r}.")
        first = lines.setdefault(str(table.file.parent / name), row.line)
        if first != row.line:
            raise DataError(
                f"{_place(table, row)} names {name!r}, as line {first} does; keep one row for a picture "
                "(several labels stand in one field)."
            )
    return list(lines)


def _labels(table: Table, wanted: str | None, multi_label: bool) -> list[tuple[str, ...]]:
    """The names of each row's classes, each once."""
    column = _label_column(table, wanted)
    texts = table.texts(column)
    if multi_label:
        separator = r"[;|,]" if any(re.search(r"[;|,]", text) for text in texts) else r"\s"
        return [tuple(dict.fromkeys(filter(None, map(str.strip, re.split(separator, text))))) for text in texts]
    for row, text in zip(table.rows, texts, strict=True):
        if not text:
            raise DataError(f"{_place(table, row)} has no label in its column {column!r}; give it one, or drop it.")
    return [(text,) for text in texts]


def _label_column(table: Table, wanted: str | None) -> str:
    if wanted is not None and wanted not in table.columns:
        raise UsageError(f"{str(table.file)!r} has no column {wanted!r}. {offer(wanted, table.columns)}")
    column = wanted or table.column(LABEL_COLUMNS)
    if column is None:
        raise UsageError(
            f"{str(table.file)!r} has no column {' or '.join(LABEL_COLUMNS)}; say which it is with --label-column. "
            f"There are: {listed(table.columns)}."
        )
    return column


def _splits(table: Table) -> list[Split | None]:
    """Each row's side by the column `split`; None everywhere where there is none, or nothing in it."""
    column = table.column(["split"])
    if column is None or not any(table.texts(column)):
        return [None] * len(table.rows)
    return [_split(text, _place(table, row)) for row, text in zip(table.rows, table.texts(column), strict=True)]


def _split(text: str, source: str) -> Split:
    for side in SIDES:
        if text.casefold() == side:
            return side
    raise DataError(f"{source} has the split {text!r}; it must be train or val. Drop rows that are for neither.")


def _groups(table: Table, examples: Sequence[Example], group: str) -> list[str]:
    if group not in table.columns:
        return [_searched(group, example.path) for example in examples]
    names = table.texts(group)
    for row, name in zip(table.rows, names, strict=True):
        if not name:
            raise DataError(f"{_place(table, row)} has no {group!r}; every picture must belong to a group.")
    return names
