"""From records of boxes to a labelled set: classes become indices, boxes are clipped to their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from numpy import ndarray

from lookwhere_cli.data.boxes.label_map import LabelMap
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number
from lookwhere_cli.data.class_list import index_classes, index_of
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError, PictureError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.peek import displayed_size
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.metrics.scores import Outlines, TrueBoxes
from lookwhere_cli.text import counted

TOLERATED = 0.1
"""The share of boxes without an area in their picture above which they are a mistake rather than a few slips."""
LISTED = 10
"""Sentences about single boxes in a message."""
SLACK = 1.0
"""Pixels by which a box may reach beyond its picture without a word: tools round."""


@dataclass
class _Tally:
    """What was done. clipped: places of clipped boxes. dropped, other_sizes: a sentence for each box and picture that
    was left out.
    """

    pictures: int
    boxes: int
    clipped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    other_sizes: list[str] = field(default_factory=list)

    def notes(self) -> tuple[str, ...]:
        """Say what was done, in sentences. Raises DataError if too much was left out."""
        boxes, pictures = counted(self.boxes, "box", "boxes"), counted(self.pictures, "picture")
        _check_few(self.other_sizes, self.pictures, f"{pictures} have another size than their boxes are for")
        _check_few(self.dropped, self.boxes, f"{boxes} have no area in their pictures")
        first = f"{len(self.clipped):,} of {boxes} reach beyond their pictures and were clipped; the first: "
        clipped = [first + self.clipped[0]] if self.clipped else []
        return (*clipped, *listed(self.dropped), *listed(self.other_sizes))


def assemble(
    pictures: BoxedPictures, class_names: tuple[str, ...] | None = None, label_map: LabelMap | None = None
) -> LabelledSet:
    """Return the labelled set of kind "boxes".

    Boxes are clipped to their pictures, whose sizes are read from the files. Boxes that are reversed or have no area
    in the picture are left out. `notes` of the set tell both.

    class_names: in the order of their indices; None for the format's own list without the classes that have no box,
    or else for the names in natural order. label_map: renames classes first.

    Raises DataError for a box that is not finite, a class that is in neither list, more than a tenth of boxes without
    an area, and a set without a box.
    """
    _check_boxes(pictures)
    _check_splits(pictures)
    pictures = pictures if label_map is None else _renamed(pictures, label_map)
    indices, notes = _class_indices(pictures, class_names)
    tally = _Tally(len(pictures.pictures), sum(len(picture.boxes) for picture in pictures.pictures))
    sizes = _displayed_sizes([picture.path for picture in pictures.pictures])
    examples = []
    for picture, size in zip(pictures.pictures, sizes, strict=True):
        if size is not None and picture.boxes and picture.size not in (None, size):
            tally.other_sizes.append(_other_size(picture, size))
            continue
        objects = _objects(picture, size, indices, tally)
        shown = tuple(np.unique(objects.classes[~objects.crowd]).tolist())
        examples.append(Example(picture.path, shown, split=picture.split, group=picture.group, objects=objects))
    notes = (*pictures.notes, *notes, *tally.notes())
    return LabelledSet("boxes", tuple(indices), tuple(examples), pictures.root, notes)


def _renamed(pictures: BoxedPictures, label_map: LabelMap) -> BoxedPictures:
    renamed = [
        replace(one, boxes=[replace(box, name=label_map.label(box.name, box.place)) for box in one.boxes])
        for one in pictures.pictures
    ]
    return replace(pictures, pictures=tuple(renamed), classes=None)


def _check_boxes(pictures: BoxedPictures) -> None:
    """Raise DataError if there is no box, and if all are so small that they must be shares instead of pixels."""
    boxes = [box for picture in pictures.pictures for box in picture.boxes if picture.unit == "pixels"]
    if not any(picture.boxes for picture in pictures.pictures):
        raise DataError(
            f"{str(pictures.source)!r} has {counted(len(pictures.pictures), 'picture')}, but no boxes; draw some."
        )
    if boxes and all(abs(edge) <= 1 for box in boxes for edge in box.edges):
        raise DataError(
            f"All boxes of {str(pictures.source)!r} lie between 0 and 1, as shares of the picture do; write pixels."
        )
    for picture in pictures.pictures:
        for box in picture.boxes:
            if not box.name.strip():
                raise DataError(f"{box.place} has a box without a class; name it or remove the box.")
            if not np.isfinite(box.edges).all():
                raise DataError(f"{box.place} is not a box: its sides are {_sides(box)}; write finite numbers.")


def _check_splits(pictures: BoxedPictures) -> None:
    """Raise DataError if some pictures have a split and others none, which would be used for nothing."""
    without = [picture.path for picture in pictures.pictures if picture.split is None]
    if without and any(picture.split == "val" for picture in pictures.pictures):
        raise DataError(
            f"{str(pictures.source)!r} puts some pictures in a split and {len(without):,} in none: "
            f"{list_names(without, 3)}; put all in train or val."
        )


def _class_indices(
    pictures: BoxedPictures, class_names: tuple[str, ...] | None
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return each class's index, and a note about the classes of the format's own list that have no box."""
    used = {box.name: box for picture in pictures.pictures for box in picture.boxes}
    if class_names is not None or pictures.classes is None:
        return index_classes(class_names, used), ()
    own = index_classes(pictures.classes, ())
    for name, box in used.items():
        index_of(own, name, box.place)
    names = tuple(name for name in pictures.classes if name in used)
    unused = [name for name in pictures.classes if name not in used]
    note = f"Left out the class names {list_names(unused)}, of which {str(pictures.source)!r} has no box."
    return index_classes(names, used), (note,) if unused else ()


def _displayed_sizes(paths: Sequence[str]) -> list[tuple[int, int] | None]:
    """Return each picture's (height, width) as displayed, from its header; None for one that can't be read."""
    workers = usable_cpus()
    with closing(read_ahead(paths, displayed_size, workers, 4 * workers)) as sizes:
        return [None if isinstance(size, PictureError) else size for size in sizes]


def _objects(picture: PictureRecord, size: tuple[int, int] | None, indices: dict[str, int], tally: _Tally) -> TrueBoxes:
    """Return the boxes of a picture, in its pixels; none of one that can't be read, which is told later."""
    if size is None:
        return _true_boxes([], np.zeros((0, 4)), indices)
    boxes = picture.boxes
    limits = np.array([size[1], size[0]] * 2, np.float64)
    edges = np.array([box.edges for box in boxes], np.float64).reshape(-1, 4)
    edges *= limits if picture.unit == "share" else 1
    clipped = np.clip(edges, 0, limits).astype(np.float32)
    has_area = np.asarray((clipped[:, 2:] > clipped[:, :2]).all(axis=1))
    is_moved = np.asarray((np.abs(clipped - edges) > SLACK).any(axis=1))
    tally.dropped += [_why(box, picture, size) for box in _chosen(boxes, ~has_area)]
    tally.clipped += [f"{box.place} ({_sides(box)})." for box in _chosen(boxes, has_area & is_moved)]
    kept = _chosen(boxes, has_area)
    return _true_boxes(kept, clipped[has_area], indices)._replace(outlines=_outlines(kept, picture.unit, size))


def _chosen(boxes: Sequence[BoxRecord], which: Bool[ndarray, " n"]) -> list[BoxRecord]:
    return [box for box, chosen in zip(boxes, which.tolist(), strict=True) if chosen]


def _true_boxes(boxes: Sequence[BoxRecord], edges: Float64[ndarray, "n 4"], indices: dict[str, int]) -> TrueBoxes:
    classes = [index_of(indices, box.name, box.place) for box in boxes]
    crowd = [box.is_crowd for box in boxes]
    return TrueBoxes(edges.astype(np.float32), np.array(classes, np.int64), np.array(crowd, np.bool_))


def _outlines(boxes: Sequence[BoxRecord], unit: str, size: tuple[int, int]) -> Outlines | None:
    """Return the outlines of boxes in pixels; None if none has one."""
    scale = (size[1], size[0]) if unit == "share" else (1, 1)
    shapes = tuple(None if box.outline is None else _outline(box, scale, size) for box in boxes)
    return Outlines(size, shapes) if any(shape is not None for shape in shapes) else None


def _outline(box: BoxRecord, scale: tuple[int, int], size: tuple[int, int]) -> Any:
    """Return an outline in pixels. Raises DataError for one that is neither polygons nor run lengths of the picture."""
    outline = box.outline
    if isinstance(outline, dict):
        if list(outline.get("size", ())) != list(size) or not isinstance(outline.get("counts"), str | list):
            raise DataError(
                f"{box.place} has run lengths of the size {outline.get('size')!r}, but its picture is displayed at "
                f"{size[0]} x {size[1]} (height x width)."
            )
        return outline
    polygons = outline if isinstance(outline, list) else []
    if not polygons or not all(isinstance(one, list) and len(one) >= 6 and len(one) % 2 == 0 for one in polygons):
        raise DataError(
            f"{box.place} has an outline that is neither run lengths nor polygons of three corners or more."
        )
    corners = [_numbers(one, box.place) for one in polygons]
    if not all(np.isfinite(one).all() for one in corners):
        raise DataError(f"{box.place} has an outline that is not finite.")
    return [(one.reshape(-1, 2) * scale).ravel().tolist() for one in corners]


def _numbers(values: Sequence[Any], place: str) -> Float64[ndarray, " n"]:
    try:
        return np.array(values, np.float64)  # value by value it takes much longer for a large set
    except (TypeError, ValueError):
        return np.array([number(value, place, "segmentation") for value in values])


def _why(box: BoxRecord, picture: PictureRecord, size: tuple[int, int]) -> str:
    """Say why a box was left out."""
    left, top, right, bottom = box.edges
    if right < left or bottom < top:
        reason = "is reversed"
    elif right == left or bottom == top:
        reason = "has no area"
    else:
        reason = f"lies outside {picture.path!r}, which is displayed at {size[1]} x {size[0]}"
    return f"{box.place} is left out: the box {_sides(box)} {reason}."


def _other_size(picture: PictureRecord, size: tuple[int, int]) -> str:
    height, width = picture.size or size
    turned = ", turned by its EXIF orientation" if (width, height) == size else ""
    return (
        f"{picture.place} is left out: its boxes are for {width} x {height} pixels, but {picture.path!r} is displayed "
        f"at {size[1]} x {size[0]}{turned}."
    )


def _sides(box: BoxRecord) -> str:
    return ", ".join(f"{edge:g}" for edge in box.edges)


def _check_few(sentences: list[str], total: int, what: str) -> None:
    if len(sentences) > TOLERATED * total:
        raise DataError(
            f"{len(sentences):,} of {what}, more than a tenth; boxes are left, top, right, bottom in pixels of the "
            "picture as displayed:",
            listed(sentences),
        )


def listed(sentences: list[str]) -> list[str]:
    """Return the first ten sentences, and how many there are beside."""
    more = [f"... and {len(sentences) - LISTED:,} more."] if len(sentences) > LISTED else []
    return [*sentences[:LISTED], *more]
