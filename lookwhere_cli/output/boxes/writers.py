"""Writers of boxes in one file: CSV with a line for each box, COCO and GeoJSON.

Like all writers of rows they write to a binary stream and leave a complete file whenever they are closed. Pictures that
failed are left out: a picture without boxes is one in which nothing was found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from lookwhere_cli.output.geo.collection import FeatureStream, Geometry, PlacedPictures
from lookwhere_cli.output.geo.placement import Placement
from lookwhere_cli.output.masks.coco import categories
from lookwhere_cli.output.rows import Detection, Row
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.output.writers import ENDINGS, WRITERS, CsvWriter, RowWriter, make_writer
from lookwhere_cli.text import printable

if TYPE_CHECKING:
    from lookwhere_cli.output.geo.features import ColourOf

COLUMNS = ("file", "left", "top", "right", "bottom", "label", "score", "time", "frame")
BOX_ENDINGS = ENDINGS | {".geojson": "geojson"}
"""The formats of boxes by the ending of a file's name."""


class BoxCsvWriter(CsvWriter):
    """A header, then a line for each box, best first; a picture without boxes has one line without sides and label.

    Training reads such a file. Text can't become a formula.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Write the header."""
        self._stream = stream
        self._write(COLUMNS)

    def write(self, row: Row) -> None:
        """Write the lines of a picture."""
        for found in row.boxes or (None,) if row.error is None else ():
            values = row.to_dict()
            self._write([printable(row.path), *_cells(found), values.get("time", ""), values.get("frame", "")])


def _cells(found: Detection | None) -> list[Any]:
    if found is None:
        return [""] * 6
    values = found.to_dict()
    return [*values["box"], values["label"], values["score"]]


class CocoBoxWriter(RowWriter):
    """COCO's format, with a score in each annotation. The images are held until `close` completes the file."""

    def __init__(self, stream: BinaryIO, labels: Sequence[str]) -> None:
        """labels: the names of all of the model's classes."""
        self._stream, self._labels = stream, labels
        self._images: list[dict[str, Any]] = []
        self._annotations = 0
        stream.write(b'{"annotations": [')

    def write(self, row: Row) -> None:
        """Write the annotations of a picture."""
        if row.error is not None:
            return
        image = len(self._images) + 1
        size = {"width": row.width, "height": row.height}
        self._images.append({"id": image, "file_name": printable(row.name), **size, **_moment(row)})
        for found in row.boxes or ():
            self._stream.write(b",\n" if self._annotations else b"\n")
            self._annotations += 1
            annotation = {"id": self._annotations, "image_id": image} | _annotation(found)
            self._stream.write(_json(annotation).encode())

    def close(self) -> None:
        """Write the images and the categories."""
        rest = {"images": self._images, "categories": categories(self._labels)}
        self._stream.write(b"\n],\n" + _json(rest).encode()[1:] + b"\n")


def _annotation(found: Detection) -> dict[str, Any]:
    values = found.to_dict()
    left, top, right, bottom = values["box"]
    width, height = round(right - left, 2), round(bottom - top, 2)
    shape: dict[str, Any] = {"bbox": [left, top, width, height], "area": round(width * height, 2)}
    if found.mask is not None:
        from lookwhere_cli.output.masks.run_lengths import area_of

        shape |= {"segmentation": found.mask, "area": area_of(found.mask)}
    return {"category_id": found.index + 1, **shape, "iscrowd": 0, "score": values["score"]}


class GeoJsonBoxWriter(RowWriter):
    """A FeatureCollection with a polygon for each box, or the outlines of its mask.

    Coordinates are pixels, x to the right, y down, or those of the picture's placement: a map's. `pictures` has the
    name and the size of each picture, also of those without boxes. QuPath reads the boxes as annotations.
    """

    def __init__(self, stream: BinaryIO, colour: ColourOf | None = None) -> None:
        """colour: returns red, green and blue of a class by its index; without it, QuPath chooses them."""
        self._features, self._colour = FeatureStream(stream), colour
        self._pictures: list[dict[str, Any]] = []
        self._placed = PlacedPictures()

    def write(self, row: Row, placement: Placement | None = None) -> None:
        """Write the features of a picture. placement: of one that is read by windows."""
        if row.error is not None:
            return
        if placement is None:
            pixels = {"width": row.width, "height": row.height}
            self._pictures.append({"file_name": printable(row.name), **pixels, **_moment(row)})
        else:
            self._placed.add(placement)
        boxes = row.boxes or ()
        self._features.write(
            (self._properties(found, row, placement), _geometry(found, row, placement)) for found in boxes
        )

    def _properties(self, found: Detection, row: Row, placement: Placement | None) -> dict[str, Any]:
        from lookwhere_cli.output.geo.features import box_properties, in_qupath

        if placement is None:
            return {"file_name": printable(row.name), **_moment(row)} | box_properties(found)
        measured = {"measurements": {"score": round(found.score, 6)}}
        return (
            {"path": printable(row.path)}
            | box_properties(found)
            | in_qupath("annotation", found, self._colour)
            | measured
        )

    def close(self) -> None:
        """Write the pictures, and the extent of all boxes if they are of pictures with a placement."""
        placed = self._placed.members()["pictures"]
        are_alike = not self._pictures and self._placed.share_coordinates
        self._features.close({"pictures": self._pictures + placed}, with_extent=bool(placed) and are_alike)


def _moment(row: Row) -> dict[str, Any]:
    """Return the time and the number of a film's frame; nothing for other pictures."""
    values = row.to_dict()
    return {name: values[name] for name in ("time", "frame") if name in values}


def _geometry(found: Detection, row: Row, placement: Placement | None) -> Geometry:
    from lookwhere_cli.output.geo.outlines import box_geometry, mask_geometry

    placement = placement or Placement.in_pixels(row.path, (row.height, row.width))
    if found.mask is None:
        return box_geometry(found.box, placement)
    from lookwhere_cli.output.masks.run_lengths import polygons_of

    return mask_geometry(polygons_of(found.mask), placement)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


BOX_WRITERS: dict[str, Callable[[BinaryIO, Sequence[str]], RowWriter]] = {
    "csv": lambda stream, labels: BoxCsvWriter(stream),
    "coco": CocoBoxWriter,
    "geojson": lambda stream, labels: GeoJsonBoxWriter(stream),
}
"""The writers of formats with a place for each box."""
BOX_FORMATS = tuple(dict.fromkeys((*WRITERS, *BOX_WRITERS)))
"""The names of all formats of boxes in one file."""


def make_box_writer(format: str, stream: BinaryIO, labels: Sequence[str], colour: ColourOf | None = None) -> RowWriter:
    """Return the writer of a format, one of BOX_FORMATS.

    labels: the names of all of the model's classes. colour: of a class, for GeoJSON.
    """
    if format == "geojson":
        return GeoJsonBoxWriter(stream, colour)
    if format in BOX_WRITERS:
        return BOX_WRITERS[format](stream, labels)
    return make_writer(format, stream, CsvColumns())
