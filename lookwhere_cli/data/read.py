"""Reading a labelled set, whatever its layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lookwhere_cli.data.boxes.assemble import assemble
from lookwhere_cli.data.boxes.find import find_boxes
from lookwhere_cli.data.boxes.label_map import LabelMap, read_label_map
from lookwhere_cli.data.boxes.records import BoxedPictures
from lookwhere_cli.data.class_list import read_class_list
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.folders import read_folders
from lookwhere_cli.data.labels_table import read_labels_table
from lookwhere_cli.data.large.cutting import WindowCutting
from lookwhere_cli.data.large.find import find_large, is_large_data
from lookwhere_cli.data.large.read import read_large
from lookwhere_cli.data.masks import find_mask_folders, read_mask_folders
from lookwhere_cli.data.table import read_table
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.find import natural_path_key

LAYOUTS = (
    "a folder per class (also inside train and val), a labels.csv of file and label, pictures in images with index "
    "masks in masks, boxes as CSV, COCO, YOLO, VOC or Label Studio have them, or slides and rasters with a GeoJSON of "
    "the same name"
)


def read_examples(
    data: Path,
    *,
    classes: Path | None = None,
    label_column: str | None = None,
    multi_label: bool = False,
    group: str | None = None,
    model_classes: Sequence[str] = (),
    label_map: Path | None = None,
    pictures: Path | None = None,
    windows: WindowCutting | None = None,
) -> LabelledSet:
    """Read a labelled set from a file of labels or boxes, or from a folder in one of the LAYOUTS.

    Whether the pictures can be read is not checked: see `drop_unusable`.

    Args:
        data: the file or the folder. In a folder, `images` with `masks` (also inside train and val) come before a
            `labels.csv`, that before boxes, and those before class folders.
        classes: a file with one class name per line, in the order of their indices; by default `classes.txt` beside
            the data or the list that a format of boxes has, else the names in natural order (masks need the file).
        label_column: the CSV column of the labels, if its name is not a usual one.
        multi_label: a picture may have several labels; see `read_labels_table`.
        group: a column of the CSV file, or else a regular expression that is searched in each file name; its first
            group, or else the whole match, names the group.
        model_classes: names for the indices of masks if the data have none: the labels of the model that is measured.
        label_map: a file with names for the classes of boxes; see `read_label_map`.
        pictures: a CSV file of all pictures, for boxes in a CSV file; see `read_box_table`.
        windows: how slides and rasters are cut; see `find_large` for what counts as those.

    Raises UsageError for a missing file or an option that does not fit the data, DataError for data that can't be used.
    """
    if not data.exists():
        raise UsageError(f"{str(data)!r} does not exist; give a folder or a CSV file.")
    if is_large_data(data):
        names = _class_names(data, classes)
        return _cut_large(data, windows, group, names, label_column, _map_of(label_map), multi_label)
    if windows is not None:
        raise UsageError(f"{str(data)!r} has no slides or rasters with a GeoJSON beside them; leave --window out.")
    boxes = find_boxes(data, label_column, group, pictures)
    if boxes is not None:
        if multi_label:
            raise UsageError(f"--multi-label is for labels of pictures, but {str(data)!r} has boxes; leave it out.")
        return _finish(_assemble_boxes(boxes, classes, label_map), group)
    if label_map is not None or pictures is not None:
        raise UsageError(f"--label-map and --pictures are for boxes, and {str(data)!r} has none; leave them out.")
    class_names = _class_names(data, classes)
    mask_folders = find_mask_folders(data)
    table_file = data if data.is_file() else data / "labels.csv"
    if not mask_folders and table_file.is_file():
        table = read_table(table_file)
        group_column = group if group in table.columns else None
        labelled = read_labels_table(table, class_names, label_column, multi_label, group_column)
    elif multi_label or label_column is not None:
        raise UsageError(f"--multi-label and --label-column need a CSV file, but {str(data)!r} has no labels.csv.")
    elif mask_folders:
        labelled = read_mask_folders(data, mask_folders, class_names or tuple(model_classes) or None)
    else:
        labelled = read_folders(data, class_names)
    if not labelled.examples:
        raise UsageError(" ".join((f"{str(data)!r} has no labelled pictures; it can be {LAYOUTS}.", *labelled.notes)))
    return _finish(labelled, group)


def _cut_large(data: Path, windows: WindowCutting | None, group: str | None, *options: Any) -> LabelledSet:
    """Return the windows of slides and rasters. options: those of `read_large`, in their order."""
    if windows is None:
        raise UsageError(f"{str(data)!r} has slides or rasters, which lookwhere train and evaluate cut into windows.")
    return _in_natural_order(read_large(find_large(data, group), windows, *options))


def _map_of(file: Path | None) -> LabelMap | None:
    return None if file is None else read_label_map(file)


def _assemble_boxes(boxes: BoxedPictures, classes: Path | None, label_map: Path | None) -> LabelledSet:
    """Return the set. `classes.txt` beside the data is a format's own list: classes without boxes are left out."""
    names = _class_names(boxes.root, None) if boxes.classes is None else boxes.classes
    class_names = None if classes is None else read_class_list(classes)
    return assemble(replace(boxes, classes=names), class_names, _map_of(label_map))


def _finish(labelled: LabelledSet, group: str | None) -> LabelledSet:
    """Return the set in its order; `group` names groups in file names, unless a column of that name has done so."""
    has_groups = any(example.group for example in labelled.examples)
    return _in_natural_order(labelled if group is None or has_groups else _group_by_name(labelled, group))


def _class_names(data: Path, file: Path | None) -> tuple[str, ...] | None:
    default = (data if data.is_dir() else data.parent) / "classes.txt"
    if file is None and not default.is_file():
        return None
    return read_class_list(file or default)


def _in_natural_order(labelled: LabelledSet) -> LabelledSet:
    return replace(
        labelled, examples=tuple(sorted(labelled.examples, key=lambda example: natural_path_key(example.path)))
    )


def _group_by_name(labelled: LabelledSet, pattern: str) -> LabelledSet:
    """Return the set with the group of each example that the pattern finds in its file name."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"The group {pattern!r} is not a regular expression: {error}.") from error
    examples = (replace(example, group=_group_in(example.path, compiled)) for example in labelled.examples)
    return replace(labelled, examples=tuple(examples))


def _group_in(path: str, pattern: re.Pattern[str]) -> str:
    match = pattern.search(Path(path).name)
    group: str | None = match and match[min(1, pattern.groups)]
    if not group:
        raise UsageError(
            f"The group {pattern.pattern!r} does not occur in the file name {Path(path).name!r}; give a column of the "
            "CSV file, or a regular expression that matches every file name, such as '^[^_]+'."
        )
    return group
