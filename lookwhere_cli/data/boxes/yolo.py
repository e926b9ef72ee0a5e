"""Boxes in YOLO's format: a text file for each picture, in shares of its sides; also as darknet and CVAT arrange it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lookwhere_cli.data.boxes.assemble import TOLERATED, listed
from lookwhere_cli.data.boxes.locate import SPLIT_NAMES, PictureFinder
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number, whole_number
from lookwhere_cli.data.class_list import read_class_list
from lookwhere_cli.data.examples import Split
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Box
from lookwhere_cli.text import counted

BEYOND = 1.5
"""A share above this is a mistake of the unit, not a box that reaches beyond its picture."""
NO_LABELS = ("classes.txt", "labels.txt", "train.txt", "val.txt", "valid.txt", "test.txt")
"""Text files that may lie among the label files."""


@dataclass
class _Folder:
    """A YOLO folder that is being read. pictures: by their paths. stems: pictures by the label files they have."""

    source: Path
    root: Path
    names: tuple[str, ...]
    pictures: dict[str, PictureRecord] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, paths: Iterable[str], split: Split | None) -> None:
        """Add the pictures of a split. Those that are in another one already stay there."""
        repeated = 0
        for path in paths:
            if path in self.pictures:
                repeated += 1
                continue
            label_file = label_file_of(path)
            owner = self.owners.setdefault(label_file, path)
            if owner != path:
                raise DataError(f"{owner!r} and {path!r} would both have the boxes of {label_file!r}; rename one.")
            self.pictures[path] = PictureRecord(
                path, repr(path), read_label_file(label_file, self.names), unit="share", split=split
            )
        if repeated:
            self.notes.append(
                f"{counted(repeated, 'picture')} of the {split} split of {str(self.source)!r} are in another split, "
                "too; they are in that one only."
            )

    def result(self) -> BoxedPictures:
        """Return the set. Raises DataError if it is empty, or if many label files have no picture."""
        if not self.pictures:
            raise DataError(f"{str(self.source)!r} leads to no pictures.")
        notes = (*self.notes, *_without_pictures(self.owners))
        return BoxedPictures(self.source, self.root, tuple(self.pictures.values()), self.names, notes)


def read_yolo_yaml(file: Path) -> BoxedPictures:
    """Read a YOLO folder from its data.yaml: class names, and the folders, lists or both of its splits.

    Folders are relative to `path` in the file, if that is there, or to the file itself; leading dots are tried last.
    Labels lie in `labels` where pictures lie in `images`, else beside them. A
    picture without a label file has no boxes. Raises UsageError or DataError if it can't be used.
    """
    content = _load_yaml(file)
    folder = _Folder(file, file.parent, _class_names(file, content))
    for key in ("train", "val", "valid"):
        for entry in _texts(content.get(key)):
            folder.add(_pictures_at(entry, content, file), "train" if key == "train" else "val")
    if content.get("test") and not folder.pictures:
        raise DataError(f"{str(file)!r} has a test split only; name its folder `train` or `val`.")
    return folder.result()


def read_darknet(file: Path) -> BoxedPictures:
    """Read what CVAT calls YOLO 1.1: an obj.data that names the class list and lists of pictures.

    Raises UsageError or DataError if it can't be used.
    """
    pairs = [line.partition("=") for line in file.read_text(encoding="utf-8-sig").splitlines() if "=" in line]
    values = {key.strip(): value.strip() for key, _, value in pairs}
    finder = _Lists(file.parent)
    names = read_class_list(finder.file(values.get("names", "obj.names"), file))
    folder = _Folder(file, file.parent, names)
    for key in ("train", "valid", "val"):
        if key in values:
            folder.add(finder.pictures(finder.file(values[key], file)), "train" if key == "train" else "val")
    return folder.result()


def read_yolo_folder(data: Path) -> BoxedPictures:
    """Read `images` (or the folder itself) with `labels` and a class list, without a data.yaml.

    Folders `train` and `val` inside `images` are the splits. Raises UsageError without a class list.
    """
    names = next((data / name for name in ("classes.txt", "obj.names") if (data / name).is_file()), None)
    if names is None:
        raise UsageError(
            f"{str(data)!r} has YOLO's labels, but no list of class names; write it to {str(data / 'classes.txt')!r}, "
            "one name per line from index 0 on, or add a data.yaml."
        )
    folder = _Folder(data, data, read_class_list(names))
    pictures = data / "images" if (data / "images").is_dir() else data
    paths = find_pictures([str(pictures)])
    parts = [Path(path).relative_to(pictures).parts[0].casefold() for path in paths]
    splits = [SPLIT_NAMES.get(part) for part in parts]
    for split in ("train", "val"):
        folder.add([path for path, one in zip(paths, splits, strict=True) if one == split], split)
    folder.add([path for path, one in zip(paths, splits, strict=True) if one is None], None)
    return folder.result()


def label_file_of(picture: str) -> str:
    """Return the path of a picture's label file: in `labels` instead of the last `images`, ending in .txt."""
    path = Path(picture)
    parts = list(path.parent.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return str(Path(*parts, path.stem + ".txt"))


def read_label_file(file: str, names: Sequence[str]) -> list[BoxRecord]:
    """Read the boxes of a picture; none if the file is empty or does not exist.

    A line is a class index and centre x, centre y, width, height, perhaps with a score, which is left out; or a class
    index and the corners x, y of a polygon. Raises DataError.
    """
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file!r} is not a label file: {error}.") from error
    lines = ((f"Line {number} of {file!r}", line.split()) for number, line in enumerate(text.splitlines(), start=1))
    return [_box(place, fields, names) for place, fields in lines if fields]


def _box(place: str, fields: Sequence[str], names: Sequence[str]) -> BoxRecord:
    index = whole_number(fields[0], place, "class")
    if not 0 <= index < len(names):
        raise DataError(f"{place} has the class {index}, but there are {len(names)} class names, from 0.")
    values = [number(value, place, "coordinate") for value in fields[1:]]
    if len(values) not in (4, 5) and (len(values) < 6 or len(values) % 2):
        raise DataError(
            f"{place} has {len(fields)} numbers; a box has 5 (class, centre x, centre y, width, height), a polygon an "
            "odd number from 7 on."
        )
    if max(map(abs, values)) > BEYOND:
        raise DataError(
            f"{place} has the coordinate {max(values, key=abs):g}; YOLO's are shares of the picture's sides, from 0 to "
            "1, not pixels or per cent."
        )
    if len(values) > 5:
        return BoxRecord(place, names[index], _around(values), outline=[values])
    x, y, width, height = values[:4]
    return BoxRecord(place, names[index], (x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def _around(values: Sequence[float]) -> Box:
    return min(values[0::2]), min(values[1::2]), max(values[0::2]), max(values[1::2])


def _without_pictures(owners: dict[str, str]) -> list[str]:
    """Return a sentence for each label file without a picture. Raises DataError if those are many."""
    folders = {os.path.dirname(file) for file in owners}  # noqa: PTH120
    orphans = [
        f"{os.path.join(folder, name)!r} has boxes, but there is no picture of that name."  # noqa: PTH118
        for folder in sorted(folders)
        if os.path.isdir(folder)  # noqa: PTH112
        for name in sorted(os.listdir(folder))  # noqa: PTH208
        if name.endswith(".txt") and name not in NO_LABELS and os.path.join(folder, name) not in owners  # noqa: PTH118
    ]
    total = len(owners) + len(orphans)
    if len(orphans) > TOLERATED * total:
        raise DataError(f"{len(orphans):,} of {counted(total, 'label file')} have no picture:", listed(orphans))
    return listed(orphans)


class _Lists:
    """Text files that list pictures, with paths as the tool has them."""

    def __init__(self, root: Path) -> None:
        self._finder = PictureFinder([root])

    def file(self, name: str, source: Path) -> Path:
        """Return the path of a file that `source` names. Raises DataError if it is not there."""
        path = self._finder.find(name)
        if path is None:
            raise DataError(f"{str(source)!r} names the file {name!r}, which is not there.")
        return Path(path)

    def pictures(self, file: Path) -> Iterator[str]:
        """Yield the path of the picture on each line of a list. Raises DataError for one that is not there."""
        for place, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
            if line.strip():
                path = self._finder.find(line.strip())
                if path is None:
                    raise DataError(f"Line {place} of {str(file)!r} names {line.strip()!r}, which is not there.")
                yield os.path.normpath(path)


def _pictures_at(entry: str, content: dict[str, Any], file: Path) -> Iterable[str]:
    """Return the pictures of a folder or a list that a split names."""
    base = file.parent / str(content.get("path") or "")
    plain = entry.replace("\\", "/")
    stripped = "/".join(part for part in plain.split("/") if part != "..")
    # Roboflow writes ../train/images for train/images; a folder outside may belong to another set.
    for folder in (base / stripped, file.parent / stripped, base / plain, file.parent / plain):
        if folder.is_dir():
            return find_pictures([os.path.normpath(folder)])
        if folder.is_file():
            return _Lists(file.parent).pictures(folder)
    raise DataError(
        f"{str(file)!r} names the pictures {entry!r}, but neither {str(base / plain)!r} nor another place has them."
    )


def _load_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{str(file)!r} can't be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise DataError(f"Line {line} of {str(file)!r} is not YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(content, dict):
        raise DataError(f"{str(file)!r} is not the description of a YOLO folder; it needs names, train and val.")
    return content


def _class_names(file: Path, content: dict[str, Any]) -> tuple[str, ...]:
    """Return the class names, from a list or from a table by index."""
    names = content.get("names")
    if isinstance(names, dict):
        by_index = {whole_number(index, repr(str(file)), "class index"): name for index, name in names.items()}
        if sorted(by_index) != list(range(len(by_index))):
            raise DataError(f"{str(file)!r} has the class indices {sorted(by_index)}; they must be 0, 1, 2 and so on.")
        names = [by_index[index] for index in range(len(by_index))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{str(file)!r} has no class names; list them under `names`.")
    count = content.get("nc", len(names))
    if count != len(names):
        raise DataError(f"{str(file)!r} says that there are {count} classes (nc), but names {len(names)}.")
    return tuple(map(str, names))


def _texts(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []
