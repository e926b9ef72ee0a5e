"""Which format of boxes a file or folder has."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.data.boxes.csv_table import is_box_table, read_box_table
from lookwhere_cli.data.boxes.records import BoxedPictures
from lookwhere_cli.data.masks import find_mask_folders
from lookwhere_cli.data.table import read_table


def find_boxes(
    data: Path, label_column: str | None = None, group: str | None = None, pictures: Path | None = None
) -> BoxedPictures | None:
    """Read the boxes of a file or folder; return None if it holds labels or masks, or nothing that is known here.

    The other arguments are those of `read_box_table`. Raises UsageError for arguments that need another format,
    DataError for data that can't be used.
    """
    if data.is_file():
        return _in_table(data, label_column, group, pictures) if data.suffix.casefold() == ".csv" else None
    if find_mask_folders(data) or (data / "labels.csv").is_file():
        return None
    table = data / "boxes.csv"
    return _in_table(table, label_column, group, pictures) if table.is_file() else None


def _in_table(file: Path, label_column: str | None, group: str | None, pictures: Path | None) -> BoxedPictures | None:
    table = read_table(file)
    return read_box_table(table, label_column, group, pictures) if is_box_table(table) else None
