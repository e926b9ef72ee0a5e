"""From slides and rasters with GeoJSON to a labelled set of windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lookwhere_cli.data.boxes.label_map import LabelMap
from lookwhere_cli.data.checks import LISTED, TOLERATED
from lookwhere_cli.data.class_list import index_classes, index_of
from lookwhere_cli.data.examples import Example, Kind, LabelledSet
from lookwhere_cli.data.large.cutting import (
    IGNORED_REST,
    CutPicture,
    PixelBox,
    WindowCutting,
    content_of,
    divide,
    lay_out,
    window_side,
)
from lookwhere_cli.data.large.find import LargePicture, LargePictures
from lookwhere_cli.data.large.geojson import read_geojson
from lookwhere_cli.data.large.labels import LABELLERS, LabelledWindows, Labeller, WindowLabel
from lookwhere_cli.data.large.shapes import shapes_in
from lookwhere_cli.data.masks import IGNORED
from lookwhere_cli.errors import DataError, PictureError, UsageError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.parts import NamedWindow
from lookwhere_cli.images.large.whole import open_any
from lookwhere_cli.text import counted


class _Windows(NamedTuple):
    """The windows of a region of a picture, with their labels. candidates: windows that are without one."""

    picture: CutPicture
    group: str
    boxes: np.ndarray
    labelled: LabelledWindows
    candidates: list[int]


def read_large(
    found: LargePictures,
    cutting: WindowCutting,
    class_names: tuple[str, ...] | None = None,
    label_property: str | None = None,
    label_map: LabelMap | None = None,
    multi_label: bool = False,
) -> LabelledSet:
    """Cut large pictures into windows, and label those.

    Windows with labels are examples, and some of those without any: `cutting.negatives` for each one with labels, drawn
    from those that hold something. Windows of one picture are of one group, unless the picture is the only one: then
    each of its regions is a group, and windows lie within regions.

    class_names: in the order of their indices; by default the class of what has no label, if there is such a class,
    then the others in natural order. label_property: see `read_geojson`. label_map: renames classes.

    Raises UsageError for options that do not fit, DataError for labels that can't be used and if more than a tenth of
    the pictures can't be read.
    """
    pictures, notes = _open_all(found, cutting, label_property, label_map)
    kind = _kind(found, pictures, cutting, multi_label)
    labeller = LABELLERS[kind](_indices(kind, pictures, cutting, class_names, found), cutting.unlabelled)
    parts = list(_cut(pictures, labeller, cutting, found.root))
    drawn = _draw_negatives(parts, cutting, kind)
    used = _used_classes(labeller, kind, parts, drawn, class_names)
    pairs = zip(parts, drawn, strict=True)
    examples = [one for part, negatives in pairs for one in _examples(part, negatives, labeller, used, cutting)]
    notes += [*labeller.notes(), *_about(parts, drawn, cutting, kind)]
    if not any(part.labelled.positive for part in parts):
        raise DataError(_no_window(found, cutting, kind))
    return LabelledSet(kind, tuple(used), tuple(examples), found.root, (*found.notes, *notes))


def _open_all(
    found: LargePictures, cutting: WindowCutting, label_property: str | None, label_map: LabelMap | None
) -> tuple[list[CutPicture], list[str]]:
    """Read the labels and the sizes of all pictures; return notes about what is left out, too."""
    pictures: list[CutPicture] = []
    notes: list[str] = []
    failed: list[str] = []
    reading = Reading(patch=1, size=1, bands=cutting.bands, stretch_range=cutting.stretch_range)
    for record in found.pictures:
        features = read_geojson(record.labels, label_property)
        try:
            with closing(open_any(record.path, reading)) as source:
                shapes, outside = shapes_in(source, features, label_map)
                side = window_side(source, cutting)
                pictures.append(CutPicture(record, source.size, side, shapes, content_of(source, side)))
        except PictureError as error:
            failed.append(f"Skipped: {error}")
            continue
        notes += outside
    if len(failed) > TOLERATED * len(found.pictures):
        total = counted(len(found.pictures), "picture")
        raise DataError(f"{len(failed)} of {total} can't be read, more than a tenth:", failed[:LISTED])
    return pictures, notes + failed


def _kind(found: LargePictures, pictures: Sequence[CutPicture], cutting: WindowCutting, multi_label: bool) -> Kind:
    """Return what windows are labelled with: what is asked for, or else what the shapes are."""
    shapes = [shape for picture in pictures for shape in picture.shapes if not shape.is_ignored]
    if not shapes:
        raise DataError(f"The labels of {str(found.source)!r} are empty; draw boxes, polygons or points.")
    task = cutting.task or ("classify" if multi_label else None)
    if task is None:
        with_points = [shape for shape in shapes if len(shape.points)]
        if with_points and len(with_points) < len(shapes):
            other = next(shape for shape in shapes if shape.polygons)
            raise DataError(
                f"{with_points[0].place} is a point and {other.place} is a polygon; say with --task what windows are "
                "labelled with: detect, segment or classify."
            )
        task = "classify" if with_points else "detect" if all(one.is_rectangle for one in shapes) else "segment"
    if multi_label and task != "classify":
        raise UsageError(f"--multi-label is for --task classify; leave it out with --task {task}.")
    kinds: dict[str, Kind] = {"detect": "boxes", "segment": "masks"}
    return kinds.get(task, "multi" if multi_label else "single")


def _indices(
    kind: Kind,
    pictures: Sequence[CutPicture],
    cutting: WindowCutting,
    class_names: tuple[str, ...] | None,
    found: LargePictures,
) -> dict[str, int]:
    """Return the classes' indices. Raises DataError for a class that is not in the list, and too many for a mask."""
    places = {shape.label: shape.place for one in pictures for shape in one.shapes if not shape.is_ignored}
    has_rest = kind in ("masks", "single") and cutting.unlabelled != IGNORED_REST
    rest = (cutting.unlabelled,) if has_rest else ()
    if class_names is None:
        names = index_classes(None, places)
        class_names = (*rest, *(name for name in names if name not in rest))
    indices = index_classes(class_names, ())
    for name in rest:
        places.setdefault(name, f"What has no label in {str(found.source)!r}")
    for name, place in places.items():
        index_of(indices, name, place)
    if kind != "boxes" and len(indices) > IGNORED:
        raise DataError(f"Polygons can have at most {IGNORED} classes, but there are {len(indices)}.")
    return indices


def _cut(pictures: Sequence[CutPicture], labeller: Labeller, cutting: WindowCutting, root: Path) -> Iterator[_Windows]:
    """Cut all pictures into windows and label these, region by region."""
    overlap = labeller.overlap if cutting.overlap is None else cutting.overlap
    for picture in pictures:
        name = picture.record.group or _name(picture.record, root)
        whole: PixelBox = (0, 0, picture.size[1], picture.size[0])
        regions = divide(picture) if len(pictures) == 1 and not picture.record.split else {"": whole}
        for region, box in regions.items():
            boxes = lay_out(box, picture.side, overlap)
            labelled = labeller.label(picture, boxes)
            held = picture.holds_something(boxes)
            labels = labelled.positive.keys() | labelled.unclear
            candidates = [number for number in range(len(boxes)) if held[number] and number not in labels]
            yield _Windows(picture, f"{name} region {region}" if region else name, boxes, labelled, candidates)


def _name(record: LargePicture, root: Path) -> str:
    return LabelledSet("boxes", (), (), root).name_of_file(record.path)


def _draw_negatives(parts: Sequence[_Windows], cutting: WindowCutting, kind: Kind) -> list[list[int]]:
    """Return the numbers of the windows without labels that become examples, of each part."""
    if cutting.unlabelled == IGNORED_REST and kind in ("masks", "single"):
        return [[] for _ in parts]
    candidates = [(place, number) for place, part in enumerate(parts) for number in part.candidates]
    count = len(candidates)
    if cutting.negatives is not None:
        count = min(count, round(cutting.negatives * sum(len(part.labelled.positive) for part in parts)))
    chosen = np.random.default_rng(0).permutation(len(candidates))[:count]
    drawn: list[list[int]] = [[] for _ in parts]
    for index in sorted(chosen.tolist()):
        place, number = candidates[index]
        drawn[place].append(number)
    return drawn


def _used_classes(
    labeller: Labeller,
    kind: Kind,
    parts: Sequence[_Windows],
    drawn: Sequence[Sequence[int]],
    class_names: tuple[str, ...] | None,
) -> dict[str, int]:
    """Return the classes' indices, without the class of what has no label if no window is of it."""
    if kind != "single" or class_names is not None or any(drawn):
        return dict(labeller.indices)
    used = {name for part in parts for label in part.labelled.positive.values() for name in label.labels}
    return index_classes(tuple(name for name in labeller.indices if name != labeller.unlabelled or name in used), ())


def _examples(
    part: _Windows, negatives: Sequence[int], labeller: Labeller, indices: dict[str, int], cutting: WindowCutting
) -> Iterator[Example]:
    """Yield the examples of a part, in the order of the windows."""
    for number in sorted((*part.labelled.positive, *negatives)):
        window = part.boxes[number].tolist()
        label: WindowLabel = part.labelled.positive.get(number) or labeller.negative(part.picture, window)
        (left, top, right, bottom), record = window, part.picture.record
        classes = tuple(sorted(indices[name] for name in label.labels))
        place = left, top, right - left, bottom - top
        name = NamedWindow(record.path, *place, cutting.bands, cutting.stretch_range).name
        yield Example(name, classes, label.mask, record.split, part.group, label.objects)


def _about(
    parts: Sequence[_Windows], drawn: Sequence[Sequence[int]], cutting: WindowCutting, kind: Kind
) -> Iterator[str]:
    """Say how the pictures were cut."""
    paths = [part.picture.record.path for part in parts]
    positive, negative = sum(len(part.labelled.positive) for part in parts), sum(map(len, drawn))
    pictures, windows = counted(len(set(paths)), "picture"), counted(positive, "window")
    side = f"{parts[0].picture.side} px" if len({part.picture.side for part in parts}) == 1 else "several sizes"
    named = f" (the class {cutting.unlabelled!r})" if kind == "single" and negative else ""
    yield f"Cut {pictures} into windows of {side}: {windows} with labels, {negative:,} without{named}."
    unclear = sum(len(part.labelled.unclear) for part in parts)
    if unclear:
        yield f"Left out {counted(unclear, 'window')} in which there is too little of a label."
    regions = Counter(paths).most_common(1)[0][1]
    if regions > 1:
        yield (
            f"{paths[0]!r} is the only picture, so its {regions} regions, which share no pixels, are divided between "
            "training and validation; on another picture, the score may be lower."
        )


def _no_window(found: LargePictures, cutting: WindowCutting, kind: Kind) -> str:
    hint = "give another --window or --task"
    what = "holds enough of a label" if kind != "single" else "has a point or is half covered by a polygon"
    return f"No window of {cutting.side} px of {str(found.source)!r} {what}; {hint}."
