"""Which format of boxes a file or folder has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lookwhere_cli.data.boxes.coco import is_coco, joined, load_json, read_coco
from lookwhere_cli.data.boxes.csv_table import is_box_table, read_box_table
from lookwhere_cli.data.boxes.cvat import NAME as CVAT
from lookwhere_cli.data.boxes.cvat import read_cvat
from lookwhere_cli.data.boxes.label_studio import is_label_studio, read_label_studio
from lookwhere_cli.data.boxes.locate import SPLIT_NAMES, split_named
from lookwhere_cli.data.boxes.records import BoxedPictures
from lookwhere_cli.data.boxes.voc import find_voc, read_voc
from lookwhere_cli.data.boxes.yolo import read_darknet, read_yolo_folder, read_yolo_yaml
from lookwhere_cli.data.examples import Split
from lookwhere_cli.data.masks import find_mask_folders
from lookwhere_cli.data.table import read_table
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.text import counted

TABLES = ("boxes.csv", "_annotations.csv")
YAML = (".yaml", ".yml")
INSTANCES = "instances"
"""How COCO's own files of boxes begin; others beside them hold captions and key points of the same pictures."""


def find_boxes(
    data: Path, label_column: str | None = None, group: str | None = None, pictures: Path | None = None
) -> BoxedPictures | None:
    """Read the boxes of a file or folder; return None if it holds labels or masks, or nothing that is known here.

    The other arguments are those of `read_box_table`. Raises UsageError for arguments that need another format,
    DataError for data that can't be used.
    """
    table = _table_of(data)
    if table is not None:
        return _in_table(table, label_column, group, pictures)
    found = _in_file(data) if data.is_file() else _in_folder(data)
    if found is not None and (label_column is not None or pictures is not None):
        raise UsageError(f"--label-column and --pictures need boxes in a CSV file, but {str(data)!r} is none.")
    return found


def _table_of(data: Path) -> Path | None:
    """Return the CSV file of boxes that is given, or is in the folder that is given; None for anything else."""
    if data.is_file():
        return data if data.suffix.casefold() == ".csv" else None
    if find_mask_folders(data) or (data / "labels.csv").is_file():
        return None
    return next((data / name for name in TABLES if (data / name).is_file()), None)


def _in_table(file: Path, label_column: str | None, group: str | None, pictures: Path | None) -> BoxedPictures | None:
    table = read_table(file)
    return read_box_table(table, label_column, group, pictures) if is_box_table(table) else None


def _in_file(file: Path) -> BoxedPictures | None:
    ending = file.suffix.casefold()
    if ending in YAML:
        return read_yolo_yaml(file)
    if file.name == "obj.data":
        return read_darknet(file)
    if ending == ".xml":
        return read_cvat(file)
    if ending == ".json":
        found = _in_json(file, load_json(file), None)
        if found is None:
            raise DataError(f"{str(file)!r} is neither COCO's format nor an export of Label Studio.")
        return found
    return None


def _in_json(file: Path, content: Any, split: Split | None) -> BoxedPictures | None:
    if is_coco(content):
        return read_coco(file, content, split)
    return read_label_studio(file, content) if is_label_studio(content) else None


def _in_folder(data: Path) -> BoxedPictures | None:
    if find_mask_folders(data) or (data / "labels.csv").is_file():
        return None
    lists = [file for ending in YAML for file in sorted(data.glob(f"*{ending}")) if _describes_yolo(file)]
    if lists:
        return read_yolo_yaml(_only(lists, data))
    if (data / "obj.data").is_file():
        return read_darknet(data / "obj.data")
    if any((data / "labels").rglob("*.txt")):
        return read_yolo_folder(data)
    found = _in_json_files(data)
    if found is not None:
        return found
    if (data / CVAT).is_file():
        return read_cvat(data / CVAT)
    folders = find_voc(data)
    return read_voc(data, folders) if folders else None


def _describes_yolo(file: Path) -> bool:
    """Return True for YAML with class names and pictures of a split; other YAML may lie in any folder."""
    text = file.read_text("utf-8", "replace")
    return all(re.search(pattern, text, re.MULTILINE) for pattern in (r"^names\s*:", r"^(train|val|valid|test)\s*:"))


def _only(files: list[Path], data: Path) -> Path:
    if len(files) > 1:
        raise DataError(
            f"{str(data)!r} has several descriptions of boxes: {list_names(list(map(str, files)))}; name one."
        )
    return files[0]


def _in_json_files(data: Path) -> BoxedPictures | None:
    """Read the JSON files of a folder, of `annotations` in it, or of its splits, each with its split."""
    contents = {file: content for file, content in _json_files(data) if is_coco(content) or is_label_studio(content)}
    if any(file.name.startswith(INSTANCES) for file in contents):
        contents = {file: content for file, content in contents.items() if file.name.startswith(INSTANCES)}
    splits = {file: _split_of(file, data) for file in contents}
    used = {file: split for file, split in splits.items() if split != "test"}
    if not used:
        return None
    if None in used.values():
        _only(list(used), data)
    parts = [_in_json(file, contents[file], _as_split(split)) for file, split in used.items()]
    found = joined(
        [part for part in parts if part is not None], _only(list(used), data) if len(used) == 1 else data, data
    )
    return found if len(used) == len(splits) else _with_note(found, len(splits) - len(used))


def _with_note(found: BoxedPictures, left_out: int) -> BoxedPictures:
    note = f"Left out {counted(left_out, 'file')} of the test split; name the file to use it."
    return BoxedPictures(found.source, found.root, found.pictures, found.classes, (*found.notes, note))


def _json_files(data: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the JSON files that may hold boxes, with their contents."""
    folders = [data, data / "annotations", data / "Annotations"]
    folders += [entry for entry in sorted(data.iterdir()) if entry.is_dir() and entry.name.casefold() in SPLIT_NAMES]
    seen = set()
    for folder in folders:
        for file in sorted(folder.glob("*.json")):
            if file.resolve() not in seen:
                seen.add(file.resolve())
                yield file, _content(file)


def _content(file: Path) -> Any:
    """Return what a JSON file holds; None for a damaged one whose name does not promise boxes."""
    try:
        return load_json(file)
    except DataError:
        if re.search(r"annotation|instances|coco", file.name.casefold()):
            raise
        return None


def _split_of(file: Path, data: Path) -> str | None:
    return split_named(file.stem) or (SPLIT_NAMES.get(file.parent.name.casefold()) if file.parent != data else None)


def _as_split(split: str | None) -> Split | None:
    return "train" if split == "train" else "val" if split == "val" else None
