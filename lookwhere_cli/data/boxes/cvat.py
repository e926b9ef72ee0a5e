"""Boxes in CVAT's own format for pictures: one XML file."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.data.boxes.locate import SPLIT_NAMES, locate
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number, whole_number
from lookwhere_cli.data.boxes.xml_tree import Element, read_xml
from lookwhere_cli.data.examples import Split
from lookwhere_cli.errors import DataError

NAME = "annotations.xml"
SIDES = ("xtl", "ytl", "xbr", "ybr")


def read_cvat(file: Path) -> BoxedPictures:
    """Read "CVAT for images": boxes, and polygons with the boxes around them; the subset of a picture is its split.

    Pictures lie beside the file or in `images` there. Raises DataError for a file that can't be used.
    """
    root = read_xml(file)
    images = list(root.all("image"))
    if root.tag != "annotations" or not images:
        raise DataError(f"{str(file)!r} has no pictures in CVAT's format; export it as 'CVAT for images'.")
    paths = locate((image.attributes.get("name", "") for image in images), [file.parent, file.parent / "images"], file)
    pictures = [_picture(image, paths[image.attributes.get("name", "")], file) for image in images]
    labels = [label for part in root.all("meta") for label in _labels(part)]
    return BoxedPictures(file, file.parent, tuple(pictures), tuple(dict.fromkeys(labels)) or None)


def _labels(element: Element) -> list[str]:
    """Return the names of all labels below an element, in their order."""
    own = [element.text_of("name")] if element.tag == "label" else []
    return own + [name for child in element.children for name in _labels(child)]


def _picture(image: Element, path: str, file: Path) -> PictureRecord:
    place = f"Line {image.line} of {str(file)!r}"
    height, width = (whole_number(image.attributes.get(side), place, side) for side in ("height", "width"))
    boxes = [_box(child, file) for child in image.children if child.tag in ("box", "polygon")]
    return PictureRecord(path, place, boxes, size=(height, width), split=_split(image.attributes.get("subset", "")))


def _split(subset: str) -> Split | None:
    split = SPLIT_NAMES.get(subset.casefold())
    return "train" if split == "train" else "val" if split == "val" else None


def _box(shape: Element, file: Path) -> BoxRecord:
    place = f"Line {shape.line} of {str(file)!r}"
    name = shape.attributes.get("label", "")
    if shape.tag == "box":
        left, top, right, bottom = (number(shape.attributes.get(side), place, side) for side in SIDES)
        return BoxRecord(place, name, (left, top, right, bottom))
    points = [
        number(part, place, "points")
        for pair in shape.attributes.get("points", "").split(";")
        for part in pair.split(",")
    ]
    if len(points) < 6 or len(points) % 2:
        raise DataError(f"{place} has a polygon of {len(points) / 2:g} corners; it needs three.")
    xs, ys = points[0::2], points[1::2]
    return BoxRecord(place, name, (min(xs), min(ys), max(xs), max(ys)), outline=[points])
