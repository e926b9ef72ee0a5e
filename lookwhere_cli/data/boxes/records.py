"""What the readers of all formats return: boxes as they stand in the files, not yet checked against the pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lookwhere_cli.data.examples import Split
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.frame import Box


@dataclass(frozen=True)
class BoxRecord:
    """A box in a file.

    Attributes:
        place: where it stands, to begin a message with: "Line 3 of 'boxes.csv'".
        name: the name of its class.
        edges: left, top, right, bottom, in the unit of its picture's record; not checked.
        is_crowd: it lies around several objects that are not told apart.
        outline: of the object, as COCO writes it: a list of polygons [x, y, x, y, ...], or run lengths {size, counts};
            in the same unit. None where only the box is known.
    """

    place: str
    name: str
    edges: Box
    is_crowd: bool = False
    outline: Any = None


@dataclass
class PictureRecord:
    """A picture in a file, with its boxes.

    Attributes:
        path: the picture's file.
        place: what says that this picture has these boxes, to begin a message with.
        boxes: in the file's order; none for a picture without boxes.
        unit: "pixels" of the picture as displayed, or "share" of its width and height.
        size: (height, width) that the file gives; None if it gives none.
        split: None if the file says nothing about it.
        group: pictures of one group always go to the same split.
    """

    path: str
    place: str
    boxes: list[BoxRecord] = field(default_factory=list)
    unit: Literal["pixels", "share"] = "pixels"
    size: tuple[int, int] | None = None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True)
class BoxedPictures:
    """A set of boxes, as its files have it.

    Attributes:
        source: the file or folder, for messages.
        root: the folder that names in a split file are relative to.
        pictures: each file once.
        classes: the format's own list of class names; None for one that has none.
        notes: what was left out while reading, a sentence each.
    """

    source: Path
    root: Path
    pictures: tuple[PictureRecord, ...]
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def number(value: object, place: str, name: str) -> float:
    """Return a number that a file gives as a number or as text. Raises DataError for anything else."""
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass
    raise DataError(f"{place} has {name} {value!r}, which is not a number.")


def whole_number(value: object, place: str, name: str) -> int:
    """Return a whole number, also from 3.0 or "3". Raises DataError for anything else."""
    found = number(value, place, name)
    if not found.is_integer():
        raise DataError(f"{place} has {name} {value!r}, which is not a whole number.")
    return int(found)
