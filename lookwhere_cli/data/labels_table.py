"""A CSV file of pictures and their labels."""

from __future__ import annotations

import os
from collections.abc import Sequence

from lookwhere_cli.data.class_list import index_classes, index_of
from lookwhere_cli.data.examples import Example, Kind, LabelledSet, Split
from lookwhere_cli.data.label_fields import read_labels
from lookwhere_cli.data.split_names import NAMES_THAT_WORK, split_named
from lookwhere_cli.data.table import Table
from lookwhere_cli.data.wording import list_names, suggest
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.spelling import spelled_on_disk

FILE_COLUMNS = ("file", "path", "image", "filename")
LABEL_COLUMNS = ("label", "class", "labels", "classes", "category", "categories")


def read_labels_table(
    table: Table,
    class_names: tuple[str, ...] | None,
    label_column: str | None = None,
    multi_label: bool = False,
    group_column: str | None = None,
) -> LabelledSet:
    """Read a set from a table with a row per picture.

    The files are relative to the table's own folder; a column `split`, if there is one, says train, val or test.

    Args:
        table: its columns are recognised by FILE_COLUMNS and LABEL_COLUMNS.
        class_names: in the order of their indices; None for the labels in natural order.
        label_column: the labels' column if it is not one of LABEL_COLUMNS.
        multi_label: a field may hold several labels; see `read_labels`.
        group_column: the column that names each picture's group.

    Raises UsageError for a missing label column, DataError for rows that can't be used.
    """
    labels = read_labels(table, _label_column(table, label_column), multi_label, class_names or ())
    indices = index_classes(class_names, (name for names in labels for name in names))
    examples = []
    for row, path, names, split, group in zip(
        table.rows, _paths(table), labels, _splits(table), _groups(table, group_column), strict=True
    ):
        classes = sorted(index_of(indices, name, table.place(row)) for name in names)
        examples.append(Example(path, tuple(classes), split=split, group=group))
    kind: Kind = "multi" if multi_label else "single"
    return LabelledSet(kind, tuple(indices), tuple(examples), table.file.parent)


def _paths(table: Table) -> list[str]:
    """Return each row's picture; a missing file stays as it is written.

    Raises DataError for a row without one, or for a picture with two rows, however they spell it.
    """
    column = table.column(FILE_COLUMNS)
    if column is None:
        raise DataError(
            f"{str(table.file)!r} has no column of pictures; name it {' or '.join(FILE_COLUMNS)}. "
            f"There are: {list_names(table.columns)}."
        )
    lines: dict[str, int] = {}
    paths: list[str] = []
    for row, name in zip(table.rows, table.texts(column), strict=True):
        if not name:
            raise DataError(f"{table.place(row)} names no picture in its column {column!r}.")
        path = str(table.file.parent / name)
        path = spelled_on_disk(path) or path
        first = lines.setdefault(os.path.abspath(path), row.line)  # noqa: PTH100 - without .., links unresolved
        paths.append(path)
        if first != row.line:
            raise DataError(
                f"{table.place(row)} names {name!r}, as line {first} does; keep one row per picture "
                "(several labels go in one field)."
            )
    return paths


def _label_column(table: Table, label_column: str | None) -> str:
    if label_column is not None and label_column not in table.columns:
        raise UsageError(f"{str(table.file)!r} has no column {label_column!r}. {suggest(label_column, table.columns)}")
    column = label_column or table.column(LABEL_COLUMNS)
    if column is None:
        raise UsageError(
            f"{str(table.file)!r} has no column {' or '.join(LABEL_COLUMNS)}; name the labels' column with "
            f"--label-column. There are: {list_names(table.columns)}."
        )
    return column


def _splits(table: Table) -> Sequence[Split | None]:
    """Return each row's split; None for all rows if there is no column `split`, or nothing in it."""
    column = table.column(["split"])
    if column is None or not any(table.texts(column)):
        return [None] * len(table.rows)
    return [_split(text, table.place(row)) for row, text in zip(table.rows, table.texts(column), strict=True)]


def _split(text: str, place: str) -> Split:
    split = split_named(text)
    if split is None:
        raise DataError(
            f"{place} has the split {text!r}; names that work are {NAMES_THAT_WORK}. Remove rows that belong to none."
        )
    return split


def _groups(table: Table, column: str | None) -> Sequence[str | None]:
    if column is None:
        return [None] * len(table.rows)
    names = table.texts(column)
    for row, name in zip(table.rows, names, strict=True):
        if not name:
            raise DataError(f"{table.place(row)} has no {column!r}; every picture must belong to a group.")
    return names
