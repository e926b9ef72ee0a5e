"""Slides, rasters and other large pictures that have a GeoJSON of labels beside them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lookwhere_cli.data.examples import Split
from lookwhere_cli.data.labels_table import FILE_COLUMNS, row_groups, row_splits
from lookwhere_cli.data.split_names import split_named
from lookwhere_cli.data.table import Table, read_table
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_in_folder, natural_path_key
from lookwhere_cli.images.spelling import spelled_on_disk

ENDINGS = (".geojson", ".json")
TABLE = "labels.csv"
LABELS_COLUMNS = ("labels", "geojson", "annotations", "label")


_BESIDE = (".csv", ".txt", ".xml", ".md", ".yaml", ".qpdata", ".partial", ".ovr", ".tfw", ".jgw", ".prj", ".sha256")
"""Endings of what lies beside pictures and is none."""


@dataclass(frozen=True)
class LargePicture:
    """A picture and the file of its labels. split, group: as the data say, None if they don't."""

    path: str
    labels: Path
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True)
class LargePictures:
    """The pictures of a labelled set, in natural order.

    source: what was given, for messages. root: the folder that names are relative to. notes: what was left out.
    """

    source: Path
    root: Path
    pictures: tuple[LargePicture, ...]
    notes: tuple[str, ...] = ()


def is_large_data(data: Path) -> bool:
    """Return True if data are large pictures with GeoJSON: a folder of them, one of them, its labels, or a table."""
    if data.is_dir():
        return _table_in(data) is not None or any(_pairs_in(data))
    if data.suffix.casefold() == ".csv":
        return _table_in(data) is not None
    return data.suffix.casefold() == ".geojson" or (data.is_file() and bool(_beside(data)))


def find_large(data: Path, group: str | None = None) -> LargePictures:
    """Find the pictures of data for which `is_large_data` is true.

    In a folder, a picture has the name of its labels but for the ending (`a.svs` and `a.geojson`), or all of it before
    (`a.svs.geojson`); first folders called train, val or test are the split. A table has the columns `file` and
    `labels`, relative to its folder, and may have `split`.

    group: a column of the table, or else a pattern that is searched in the names of the pictures.
    Raises DataError for labels without a picture, pictures with two files of labels, and rows that can't be used.
    """
    table = _table_in(data)
    if table is not None:
        found = _in_table(table, group)
    elif data.is_dir():
        found = _in_folder(data)
    else:
        found = _single(data)
    has_groups = any(one.group for one in found.pictures)
    return found if group is None or has_groups else _grouped(found, group)


def _table_in(data: Path) -> Table | None:
    """Return the table of pictures and labels that is given, or is in the folder that is given, if there is one."""
    file = data / TABLE if data.is_dir() else data
    if file.suffix.casefold() != ".csv" or not file.is_file():
        return None
    table = read_table(file)
    return None if _labels_column(table) is None else table


def _in_folder(folder: Path) -> LargePictures:
    pairs = sorted(_pairs_in(folder), key=lambda pair: natural_path_key(pair[0]))
    with_picture = {labels for _, labels in pairs}
    alone = [str(labels) for labels, _ in _labels_below(folder) if labels not in with_picture]
    labelled = Counter(path for path, _ in pairs)
    for path, count in labelled.items():
        if count > 1:
            files = [str(labels) for one, labels in pairs if one == path]
            raise DataError(f"{path!r} has {count} files of labels: {list_names(files)}; keep one of them.")
    others = [path for path in find_in_folder(str(folder)) if path not in labelled]
    notes = [f"Left out, without a GeoJSON of the same name: {list_names(others)}."] * bool(others)
    notes += [f"Left out, without a picture of the same name: {list_names(alone)}."] * bool(alone)
    pictures = [LargePicture(path, labels, _split_of(path, folder)) for path, labels in pairs]
    return LargePictures(folder, folder, _one_split(pictures), tuple(notes))


def _pairs_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield each picture below a folder that has a GeoJSON beside it, with that file."""
    for labels, names in _labels_below(folder):
        yield from ((path, labels) for path in _pictures_of(labels, names))


def _labels_below(folder: Path) -> Iterator[tuple[Path, Sequence[str]]]:
    """Yield each GeoJSON below a folder, with the names of all files in the same folder."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if name.casefold().endswith(ENDINGS[0]) and not name.startswith("."):
                yield Path(root, name), names


def _pictures_of(labels: Path, names: Iterable[str]) -> list[str]:
    """Return the files, of `names` in the same folder, that a file of labels is for."""
    beside = [labels.with_name(name) for name in names if _is_picture_name(name)]
    if exact := [path for path in beside if path.name == labels.stem]:
        return list(map(str, exact))
    return [str(path) for path in beside if path.stem == labels.stem]


def _is_picture_name(name: str) -> bool:
    return "." in name and not name.startswith(".") and not name.casefold().endswith((*ENDINGS, *_BESIDE))


def _beside(picture: Path) -> list[Path]:
    """Return the GeoJSON files beside a picture that are called as it is."""
    candidates = [picture.with_suffix(ENDINGS[0]), picture.with_name(f"{picture.name}{ENDINGS[0]}")]
    return [file for file in candidates if file.is_file() and file != picture]


def _single(data: Path) -> LargePictures:
    """Return the one picture that was given by its path or by that of its labels."""
    if data.suffix.casefold() != ENDINGS[0]:
        files = _beside(data)
        if len(files) > 1:
            raise DataError(f"{str(data)!r} has two files of labels: {list_names(list(map(str, files)))}; keep one.")
        return LargePictures(data, data.parent, (LargePicture(str(data), files[0]),))
    pictures = _pictures_of(data, os.listdir(data.parent))  # noqa: PTH208 - names
    if len(pictures) != 1:
        found = f"several pictures: {list_names(pictures)}" if pictures else "no picture of the same name beside it"
        raise DataError(f"{str(data)!r} has {found}; name them in a CSV file with the columns file and labels.")
    return LargePictures(data, data.parent, (LargePicture(pictures[0], data),))


def _labels_column(table: Table) -> str | None:
    """Return the column of a table that names GeoJSON files; None if there is none."""
    column = table.column(LABELS_COLUMNS)
    texts = table.texts(column) if column else []
    named = all(text.casefold().endswith(ENDINGS) for text in texts)
    return column if column and named and table.column(FILE_COLUMNS) else None


def _in_table(table: Table, group: str | None) -> LargePictures:
    file, labels = table.column(FILE_COLUMNS), _labels_column(table)
    assert file is not None and labels is not None
    groups = row_groups(table, group if group in table.columns else None)
    pictures: dict[str, LargePicture] = {}
    for row, name, drawn, split, own in zip(
        table.rows, table.texts(file), table.texts(labels), row_splits(table), groups, strict=True
    ):
        if not name:
            raise DataError(f"{table.place(row)} names no picture in its column {file!r}.")
        path = name if "://" in name or name.startswith("/vsi") else str(table.file.parent / name)
        path = spelled_on_disk(path) or path
        if path in pictures:
            raise DataError(f"{table.place(row)} names {name!r}, as a line above does; keep one row per picture.")
        pictures[path] = LargePicture(path, table.file.parent / drawn, split, own)
    return LargePictures(table.file, table.file.parent, _one_split(list(pictures.values())))


def _split_of(path: str, folder: Path) -> Split | None:
    parts = Path(path).relative_to(folder).parts
    return split_named(parts[0]) if len(parts) > 1 else None


def _one_split(pictures: Sequence[LargePicture]) -> tuple[LargePicture, ...]:
    """Return the pictures. Raises DataError if only some of them are in a split."""
    without = [one.path for one in pictures if one.split is None]
    if without and len(without) < len(pictures):
        raise DataError(f"Some pictures are in a split and others in none: {list_names(without, 3)}; put all in one.")
    return tuple(pictures)


def _grouped(found: LargePictures, pattern: str) -> LargePictures:
    """Return the pictures with the groups that a pattern finds in their names. Raises UsageError."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"The group {pattern!r} is not a regular expression: {error}.") from error
    pictures = []
    for one in found.pictures:
        match = compiled.search(Path(one.path).name)
        name = match and match[min(1, compiled.groups)]
        if not name:
            raise UsageError(
                f"The group {pattern!r} does not occur in the file name {Path(one.path).name!r}; give a column of the "
                "CSV file, or a regular expression that matches every file name, such as '^[^_]+'."
            )
        pictures.append(replace(one, group=name))
    return replace(found, pictures=tuple(pictures))
