"""Boxes as Label Studio exports them itself, as JSON and as JSON-MIN: in per cent of the picture's sides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lookwhere_cli.data.boxes.locate import locate
from lookwhere_cli.data.boxes.records import BoxedPictures, BoxRecord, PictureRecord, number
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.frame import Box

BOXES, POLYGONS = "rectanglelabels", "polygonlabels"
Entry = Mapping[str, Any]


def is_label_studio(content: Any) -> bool:
    """Return True for a list of tasks with a picture each."""
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(task, dict) and _picture(task) is not None for task in content)
    )


def read_label_studio(file: Path, content: list[Entry]) -> BoxedPictures:
    """Read boxes from the tasks of an export. Of several annotations of a task the first one counts that was submitted.

    Rotated boxes become the boxes around them, polygons as well. Raises DataError for tasks that can't be used.
    """
    names = [_picture(task) or "" for task in content]
    paths = locate(names, [file.parent, file.parent / "images"], file)
    pictures, notes = [], []
    for index, (task, name) in enumerate(zip(content, names, strict=True), start=1):
        place = f"Task {task.get('id', index)} of {str(file)!r}"
        results = list(_results(task))
        pictures.append(PictureRecord(paths[name], place, _boxes(results, place), unit="share"))
        if len(_annotations(task)) > 1:
            notes.append(f"{place} was annotated {len(_annotations(task))} times; the first annotation is used.")
    return BoxedPictures(file, file.parent, tuple(pictures), None, tuple(notes))


def _picture(task: Entry) -> str | None:
    """Return the name of a task's picture: the first text among its data that looks like a path."""
    data = task.get("data", task)
    texts = data.values() if isinstance(data, dict) else ()
    return next((text for text in texts if isinstance(text, str) and ("/" in text or "." in text)), None)


def _annotations(task: Entry) -> list[Entry]:
    """Return the annotations of a task that were not skipped."""
    annotations = task.get("annotations", task.get("completions", []))
    return [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]


def _results(task: Entry) -> Iterator[Entry]:
    """Yield the regions of a task with labels, as {x, y, width, height, rotation, rectanglelabels}."""
    if "data" in task:
        results = _annotations(task)[0].get("result", []) if _annotations(task) else []
        for one in results:
            if isinstance(one.get("value"), dict):
                sides = {key: one[key] for key in ("original_width", "original_height") if key in one}
                yield sides | one["value"]
        return
    for value in task.values():  # JSON-MIN: the regions under the name of their control
        if isinstance(value, list):
            yield from (one for one in value if isinstance(one, dict))


def _boxes(results: list[Entry], place: str) -> list[BoxRecord]:
    boxes = []
    for number_of_region, value in enumerate(results, start=1):
        where = f"Region {number_of_region} of {place[0].lower()}{place[1:]}"
        for key in (BOXES, POLYGONS):
            for label in value.get(key) or ():
                edges = _bounds(value, where) if key == BOXES else _around(_points(value, where))
                outline = None if key == BOXES else [[side for point in _points(value, where) for side in point]]
                boxes.append(BoxRecord(where, str(label), edges, outline=outline))
    return boxes


def _points(value: Entry, place: str) -> list[tuple[float, float]]:
    """Return the corners of a polygon as shares."""
    points = value.get("points")
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise DataError(f"{place} has the points {points!r}; they must be pairs of numbers.")
    return [(number(x, place, "points") / 100, number(y, place, "points") / 100) for x, y in points]


def _bounds(value: Entry, place: str) -> Box:
    """Return the box around a rectangle that may be turned clockwise about its top left corner."""
    left, top, width, height = (number(value.get(key), place, key) / 100 for key in ("x", "y", "width", "height"))
    angle = math.radians(number(value.get("rotation") or 0, place, "rotation"))
    across, down = (number(value.get(f"original_{key}") or 1, place, key) for key in ("width", "height"))
    corners = [(0.0, 0.0), (width * across, 0.0), (0.0, height * down), (width * across, height * down)]
    turned = [
        (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)) for x, y in corners
    ]
    return _around([(left + x / across, top + y / down) for x, y in turned])


def _around(points: list[tuple[float, float]]) -> Box:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
