"""Boxes as a folder with a file for each picture: YOLO and Pascal VOC."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.masks.paths import OutputPath
from lookwhere_cli.output.rows import Detection, Row
from lookwhere_cli.text import on_one_line


class BoxFolder(ABC):
    """A folder with a file for each picture, below a folder of its own; written completely or not at all."""

    inner: str
    """The folder of these files."""
    ending: str
    """Their ending."""

    def __init__(self, out: Path, labels: Sequence[str], overwrite: bool) -> None:
        """out: exists. labels: the names of all of the model's classes.

        Raises UsageError if the folder is of other classes and `overwrite` is false, or can't be written.
        """
        self._out, self._labels = out, [on_one_line(label) for label in labels]
        self._write_classes(overwrite)

    def file(self, path: OutputPath) -> Path:
        """Return the file of a picture. path: from `output_paths` for `out`."""
        stem = self._out / self.inner / path.stem.relative_to(self._out)
        return stem.with_name(stem.name + self.ending)

    def write(self, row: Row, path: OutputPath) -> None:
        """Write the file of a picture that did not fail. Raises UsageError or OutputError if it can't be written."""
        file = self.file(path)
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as stream, writing(file):
            stream.write(self.content(row, path).encode())

    @abstractmethod
    def content(self, row: Row, path: OutputPath) -> str:
        """Return the text of a picture's file."""

    @abstractmethod
    def _write_classes(self, overwrite: bool) -> None:
        """Write the list of classes."""


class YoloFolder(BoxFolder):
    """labels/NAME.txt, with a line for each box: class index, centre x and y, width and height in shares; data.yaml.

    A box with a mask has the corners of the outline of its largest part instead. Scores have no place in the format.
    With the pictures in `images`, the folder is one to train on.
    """

    inner, ending = "labels", ".txt"

    def content(self, row: Row, path: OutputPath) -> str:
        """Return a line for each box, best first."""
        return "".join(f"{_shares(found, row.width, row.height)}\n" for found in row.boxes or ())

    def _write_classes(self, overwrite: bool) -> None:
        names = "".join(f"  {index}: {json.dumps(label)}\n" for index, label in enumerate(self._labels))
        _write_once(self._out / "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{names}", overwrite)


def _shares(found: Detection, width: int, height: int) -> str:
    if found.mask is not None and (corners := _corners(found.mask)):
        values = [side / length for corner in corners for side, length in zip(corner, (width, height), strict=True)]
    else:
        left, top, right, bottom = found.box
        values = [(left + right) / 2 / width, (top + bottom) / 2 / height]
        values += [(right - left) / width, (bottom - top) / height]
    return " ".join([str(found.index), *(f"{share:.8f}" for share in values)])


def _corners(mask: dict[str, Any]) -> list[tuple[float, float]]:
    """Return the corners of the outline of the largest part of a mask, each once; none of an empty mask."""
    from lookwhere_cli.output.masks.run_lengths import polygons_of

    parts = sorted(polygons_of(mask).geoms, key=lambda part: -part.area)
    return list(parts[0].exterior.coords)[:-1] if parts else []


class VocFolder(BoxFolder):
    """Annotations/NAME.xml, with an object for each box, in pixels from 0; labels.txt has the classes."""

    inner, ending = "Annotations", ".xml"

    def content(self, row: Row, path: OutputPath) -> str:
        """Return the XML of a picture."""
        name = _xml(Path(path.relative).name)
        size = f"<size><width>{row.width}</width><height>{row.height}</height><depth>3</depth></size>"
        objects = "".join(map(_object, row.boxes or ()))
        return f"<annotation>\n  <filename>{name}</filename>\n  {size}\n{objects}</annotation>\n"

    def _write_classes(self, overwrite: bool) -> None:
        _write_once(self._out / "labels.txt", "".join(f"{label}\n" for label in self._labels), overwrite)


def _object(found: Detection) -> str:
    values = found.to_dict()
    sides = zip(("xmin", "ymin", "xmax", "ymax"), values["box"], strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    return (
        f"  <object>\n    <name>{_xml(found.label)}</name><score>{values['score']}</score>\n"
        f"    <bndbox>{box}</bndbox>\n  </object>\n"
    )


def _xml(text: str) -> str:
    return escape(on_one_line(text), quote=False)


def _write_once(file: Path, text: str, overwrite: bool) -> None:
    """Write a file, unless it has the same text already. Raises UsageError if it has another one."""
    if file.is_file():
        if file.read_text(encoding="utf-8", errors="replace") == text:
            return
        if not overwrite:
            raise UsageError(
                f"{str(file)!r} names other classes than this model's; choose another --out, or --overwrite."
            )
    with whole_file(file) as stream, writing(file):
        stream.write(text.encode())


BOX_FOLDERS: dict[str, Callable[[Path, Sequence[str], bool], BoxFolder]] = {"yolo": YoloFolder, "voc": VocFolder}
"""The formats that are folders."""
