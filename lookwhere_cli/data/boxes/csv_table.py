"""A CSV file with a line for each box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from lookwhere_cli.data.boxes.locate import SPLIT_NAMES, locate
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number, whole_number
from lookwhere_cli.data.examples import Split
from lookwhere_cli.data.labels_table import FILE_COLUMNS, find_label_column, row_groups, row_splits
from lookwhere_cli.data.table import Table, TableRow, read_table
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.frame import Box
from lookwhere_cli.text import counted, unescape_formula

SIDES = {
    "left": ("left", "xmin", "x_min", "x1"),
    "top": ("top", "ymin", "y_min", "y1"),
    "right": ("right", "xmax", "x_max", "x2"),
    "bottom": ("bottom", "ymax", "y_max", "y2"),
}
"""The names of each side's column."""
PICTURES = "pictures.csv"
"""Beside the file of boxes, the list of all pictures, also of those without boxes."""


def is_box_table(table: Table) -> bool:
    """Return True for a table with columns of pictures and of all four sides."""
    return all(table.column(names) for names in (FILE_COLUMNS, *SIDES.values()))


def read_box_table(
    table: Table, label_column: str | None = None, group: str | None = None, pictures: Path | None = None
) -> BoxedPictures:
    """Read boxes from a table with a row for each; one whose sides are empty is of a picture without boxes.

    Columns: the picture, relative to the table's folder; the SIDES, in pixels of the picture as displayed; the label;
    and, where there are such columns, `split` (train or val), the group, and the picture's `width` and `height`. If
    nothing says the split and all pictures lie in folders like train and val, those are the split.

    Args:
        table: see `is_box_table`.
        label_column: the labels' column if its name is not a usual one.
        group: the column that names each picture's group, in this table or in that of the pictures.
        pictures: a table of all pictures, with their split and group if it has such columns; by default `pictures.csv`
            in the same folder, if it exists.

    Raises UsageError for a missing column of labels, DataError for rows that can't be used.
    """
    default = table.file.parent / PICTURES
    listing = read_table(pictures or default) if pictures or default.is_file() else None
    records = _records(table, label_column, group if group in table.columns else None)
    if listing is not None:
        records = _with_listing(records, listing, group if group in listing.columns else None, table)
    paths = locate(records, [table.file.parent, Path()], table.file)
    for name, record in records.items():
        record.path = paths[name]
    found, note = _split_by_folder(list(records.values()), records)
    return BoxedPictures(table.file, table.file.parent, tuple(found), None, note)


def _records(table: Table, label_column: str | None, group: str | None) -> dict[str, PictureRecord]:
    """Return a record for each picture, by its name in the table."""
    labels = table.texts(find_label_column(table, label_column))
    columns = [_column(table, names) for names in SIDES.values()]
    records: dict[str, PictureRecord] = {}
    for row, name, label, split, own_group in zip(
        table.rows, _names(table), labels, row_splits(table), row_groups(table, group), strict=True
    ):
        record = records.setdefault(name, PictureRecord(name, table.place(row), split=split, group=own_group))
        _check_same(table, row, name, (record.split, split), (record.group, own_group))
        texts = [row.fields[column].strip() for column in columns]
        if any(texts):
            record.size = record.size or _size(table, row)
            record.boxes.append(BoxRecord(table.place(row), unescape_formula(label), _sides(table, row, texts)))
    return records


def _check_same(table: Table, row: TableRow, name: str, *pairs: tuple[str | None, str | None]) -> None:
    for before, now in pairs:
        if before != now:
            raise DataError(f"{table.place(row)} puts {name!r} in {now!r}, but a line above puts it in {before!r}.")


def _names(table: Table) -> list[str]:
    """Return each row's picture as the table names it; a name that a spreadsheet could compute, without its quote."""
    column = _column(table, FILE_COLUMNS)
    names = [unescape_formula(name) for name in table.texts(column)]
    for row, name in zip(table.rows, names, strict=True):
        if not name:
            raise DataError(f"{table.place(row)} names no picture in its column {column!r}.")
    return names


def _column(table: Table, names: Sequence[str]) -> str:
    column = table.column(names)
    if column is None:
        raise DataError(
            f"{str(table.file)!r} has no column {' or '.join(map(repr, names))}. "
            f"There are: {list_names(table.columns)}."
        )
    return column


def _sides(table: Table, row: TableRow, texts: Sequence[str]) -> Box:
    if not all(texts):
        raise DataError(
            f"{table.place(row)} is not a box: {', '.join(SIDES)} are {', '.join(map(repr, texts))}; fill in all four, "
            "or none for a picture without boxes."
        )
    left, top, right, bottom = (number(text, table.place(row), side) for text, side in zip(texts, SIDES, strict=True))
    return left, top, right, bottom


def _size(table: Table, row: TableRow) -> tuple[int, int] | None:
    """Return the picture's (height, width), if the table has such columns."""
    columns = table.column(["height"]), table.column(["width"])
    texts = [row.fields[column].strip() if column else "" for column in columns]
    if not all(texts):
        return None
    height, width = (whole_number(text, table.place(row), "size") for text in texts)
    return height, width


def _with_listing(
    records: dict[str, PictureRecord], listing: Table, group: str | None, boxes: Table
) -> dict[str, PictureRecord]:
    """Return a record for each picture that a table lists, in its order; split and group are those of that table."""
    listed: dict[str, PictureRecord] = {}
    rows = zip(listing.rows, _names(listing), row_splits(listing), row_groups(listing, group), strict=True)
    for row, name, split, own_group in rows:
        if name in listed:
            raise DataError(f"{listing.place(row)} names {name!r}, as a line above does; remove it.")
        record = records.get(name) or PictureRecord(name, listing.place(row))
        record.split, record.group = split or record.split, own_group or record.group
        listed[name] = record
    if unlisted := [name for name in records if name not in listed]:
        raise DataError(
            f"{str(boxes.file)!r} has boxes in {counted(len(unlisted), 'picture')} that {str(listing.file)!r} does "
            f"not list: {list_names(unlisted)}; add them to it."
        )
    return listed


def _split_by_folder(
    pictures: list[PictureRecord], names: Mapping[str, PictureRecord]
) -> tuple[list[PictureRecord], tuple[str, ...]]:
    """Take the first folders of all pictures for their splits, if these name splits and nothing else does.

    Pictures in a folder `test` are then left out, which is noted.
    """
    folders = [SPLIT_NAMES.get(PurePosixPath(name).parts[0].casefold()) for name in names]
    if any(picture.split for picture in pictures) or None in folders:
        return pictures, ()
    kept = []
    for picture, folder in zip(pictures, folders, strict=True):
        if folder != "test":
            picture.split = _as_split(folder)
            kept.append(picture)
    left_out = len(pictures) - len(kept)
    note = f"Left out {counted(left_out, 'picture')} of the test split; give its folder or file to use them."
    return kept, (note,) if left_out else ()


def _as_split(name: str | None) -> Split | None:
    return "train" if name == "train" else "val" if name == "val" else None
