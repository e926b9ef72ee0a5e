"""Boxes in COCO's format, as COCO itself, CVAT, Label Studio, Roboflow and lookwhere write it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookwhere_cli.data.boxes.locate import locate
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number, whole_number
from lookwhere_cli.data.examples import Split
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.frame import Box

Entry = Mapping[str, Any]


def load_json(file: Path) -> Any:
    """Read a JSON file. Raises UsageError if it can't be read, DataError, which names the line, if it is not JSON."""
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror}.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"Line {error.lineno} of {str(file)!r} is not JSON: {error.msg}.") from error
    except ValueError as error:
        raise DataError(f"{str(file)!r} is not JSON in UTF-8; save it as UTF-8.") from error


def is_coco(content: Any) -> bool:
    """Return True for what a file in COCO's format holds."""
    return isinstance(content, dict) and isinstance(content.get("images"), list) and "categories" in content


def read_coco(file: Path, content: Any, split: Split | None = None) -> BoxedPictures:
    """Read boxes from the content of a file in COCO's format.

    The pictures are looked for beside the file, in `images` there, and, for a file in a folder `annotations`, in the
    same places of the folder above. Ids may be integers, whole floats or text. A box that is flagged as a crowd, or to
    be ignored, is a crowd. A box that is missing is taken from the outline.

    Raises DataError for content that contradicts itself.
    """
    names = _names(file, content)
    images = _by_id(content["images"], "Image", file)
    root = file.parent.parent if file.parent.name.casefold() == "annotations" else file.parent
    own = [root / file.stem.partition("_")[2], root / "images" / file.stem.partition("_")[2]]
    folders = list(dict.fromkeys([root, file.parent, root / "images", *own]))
    files = {image: _text(entry, "file_name", f"Image {image} of {str(file)!r}") for image, entry in images.items()}
    paths = locate(files.values(), folders, file)
    pictures = {
        image: PictureRecord(paths[files[image]], f"Image {image} of {str(file)!r}", size=_size(entry), split=split)
        for image, entry in images.items()
    }
    for index, entry in enumerate(_entries(content, "annotations", file), start=1):
        annotation = _Annotation(file, entry, f"Annotation {index} of {str(file)!r} (id {entry.get('id')!r})")
        picture = pictures.get(annotation.id_of("image_id"))
        if picture is None:
            raise DataError(f"{annotation.place} is of image {entry.get('image_id')!r}, which the file does not list.")
        picture.boxes.append(annotation.box(names))
    return BoxedPictures(file, root, tuple(pictures.values()), tuple(dict.fromkeys(names.values())))


@dataclass(frozen=True)
class _Annotation:
    file: Path
    entry: Entry
    place: str

    def id_of(self, key: str) -> int | str:
        """Return the id under a key of the annotation. Raises DataError if it is none."""
        return _id(self.entry.get(key), self.place, key)

    def box(self, names: Mapping[int | str, str]) -> BoxRecord:
        """Return the box, in pixels, of a class in `names`. Raises DataError for another category or a wrong box."""
        category = self.id_of("category_id")
        if category not in names:
            raise DataError(f"{self.place} has the category {category!r}, which the file does not list.")
        outline = self.entry.get("segmentation") or None
        edges = self._edges(outline)
        is_crowd = bool(self.entry.get("iscrowd") or self.entry.get("ignore"))
        return BoxRecord(self.place, names[category], edges, is_crowd, outline)

    def _edges(self, outline: Any) -> Box:
        box = self.entry.get("bbox") or None
        if box is None and outline is not None:
            return bounds_of(outline, self.place)
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(f"{self.place} has the bbox {box!r}; it must be four numbers: left, top, width, height.")
        left, top, width, height = (number(value, self.place, "bbox") for value in box)
        return left, top, left + width, top + height


def bounds_of(outline: Any, place: str) -> Box:
    """Return the box around polygons. Raises DataError for anything else."""
    polygons = outline if isinstance(outline, list) else []
    if not polygons or not all(isinstance(polygon, list) and len(polygon) >= 6 for polygon in polygons):
        raise DataError(f"{place} has no bbox and no polygons; write its bbox.")
    xs = [number(x, place, "segmentation") for polygon in polygons for x in polygon[0::2]]
    ys = [number(y, place, "segmentation") for polygon in polygons for y in polygon[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def _names(file: Path, content: Entry) -> dict[int | str, str]:
    """Return the names of the categories by id, in the order of the ids."""
    categories = _by_id(_entries(content, "categories", file), "Category", file)
    names = {one: _text(entry, "name", f"Category {one} of {str(file)!r}") for one, entry in categories.items()}
    return dict(sorted(names.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _entries(content: Entry, key: str, file: Path) -> list[Entry]:
    entries = content.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{str(file)!r} has no list {key!r} of objects; export it once more, in COCO's format.")
    return entries


def _by_id(entries: Iterable[Entry], noun: str, file: Path) -> dict[int | str, Entry]:
    found: dict[int | str, Entry] = {}
    for index, entry in enumerate(entries, start=1):
        place = f"{noun} number {index} of {str(file)!r}"
        if not isinstance(entry, dict):
            raise DataError(f"{place} is {entry!r}, which is not an object.")
        identity = _id(entry.get("id"), place, "id")
        if found.setdefault(identity, entry) is not entry:
            raise DataError(f"{place} has the id {identity!r}, as another one has; ids must differ.")
    return found


def _id(value: object, place: str, key: str) -> int | str:
    """Return an id: 1, 1.0 and "1" are the same one."""
    if isinstance(value, str) and value and not value.strip().lstrip("-").isdecimal():
        return value
    return whole_number(value, place, key)


def _text(entry: Entry, key: str, place: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place} has {key} {value!r}; it must be a name.")
    return value


def _size(entry: Entry) -> tuple[int, int] | None:
    height, width = entry.get("height"), entry.get("width")
    return (int(height), int(width)) if height and width else None


def joined(parts: list[BoxedPictures], source: Path, root: Path) -> BoxedPictures:
    """Return the pictures of several files as one set, with their class lists one after the other."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.classes or ()))
    pictures = tuple(picture for part in parts for picture in part.pictures)
    notes = tuple(note for part in parts for note in part.notes)
    return replace(parts[0], source=source, root=root, pictures=pictures, classes=names or None, notes=notes)
