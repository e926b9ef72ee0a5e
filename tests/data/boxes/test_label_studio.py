"""Label Studio's own exports: per cent of the sides, turned boxes, several annotations of one picture."""

from __future__ import annotations

from typing import Any

import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError
from tests.data.boxes.sets import boxes, failure, pictures, write


def region(*labels: str, **changes: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 30.0, "height": 40.0, "rotation": 0, "rectanglelabels": list(labels)}
    sizes = {"original_width": 100, "original_height": 80, "image_rotation": 0}
    return sizes | {"value": value | changes, "type": "rectanglelabels", "id": "x1", "from_name": "label"}


def task(name: str, *regions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    annotations = [{"id": 1, "was_cancelled": False, "result": list(regions)}]
    return {"id": 5, "data": {"image": name}, "annotations": annotations, "predictions": []} | changes


def test_json(tmp_path):
    pictures(tmp_path, "a.png", "b c.png")
    tasks = [
        task("/data/upload/1/0a1b2c3d-a.png", region("ship"), region("buoy", x=50, width=60)),
        task("/data/local-files/?d=photos/b%20c.png"),
    ]
    labelled = read_examples(write(tmp_path / "project-1.json", tasks))
    assert boxes(labelled) == {"a.png": [("ship", 10, 16, 40, 48), ("buoy", 50, 16, 100, 48)], "b c.png": []}
    assert labelled.notes[0].startswith(
        "1 of 2 boxes reach beyond their pictures and were clipped; the first: Region 2"
    )


def test_json_min(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    flat = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["ship"]}
    tasks = [
        {"image": "s3://bucket/a.png", "id": 1, "label": [flat], "annotator": 1, "lead_time": 3.5},
        {"image": "s3://bucket/b.png", "id": 2, "annotator": 1},
    ]
    file = write(tmp_path / "min.json", tasks)
    assert boxes(read_examples(file)) == {"a.png": [("ship", 10, 16, 40, 48)], "b.png": []}


def test_a_turned_box_becomes_the_box_around_it(tmp_path):
    """A quarter turn clockwise about its top left corner, in pixels: 30 x 32 becomes 32 x 30, to the left of it."""
    pictures(tmp_path, "a.png")
    file = write(tmp_path / "x.json", [task("a.png", region("ship", x=50, rotation=90))])
    ((label, *sides),) = boxes(read_examples(file))["a.png"]
    assert (label, sides) == ("ship", pytest.approx([18, 16, 50, 46]))


def test_polygons_have_a_box_around_them(tmp_path):
    pictures(tmp_path, "a.png")
    value = {"points": [[10, 10], [30, 10], [20, 50]], "polygonlabels": ["ship"]}
    file = write(tmp_path / "x.json", [task("a.png", {"value": value, "type": "polygonlabels"})])
    assert boxes(read_examples(file)) == {"a.png": [("ship", 10, 8, 30, 40)]}


def test_skipped_and_repeated_annotations(tmp_path):
    pictures(tmp_path, "a.png")
    annotations = [
        {"was_cancelled": True, "result": [region("buoy")]},
        {"was_cancelled": False, "result": [region("ship")]},
        {"was_cancelled": False, "result": [region("boat")]},
    ]
    labelled = read_examples(write(tmp_path / "x.json", [task("a.png", annotations=annotations)]))
    assert boxes(labelled) == {"a.png": [("ship", 10, 16, 40, 48)]}
    assert labelled.notes == (
        f"Task 5 of {str(tmp_path / 'x.json')!r} was annotated 2 times; the first annotation is used.",
    )


def test_regions_that_can_not_be_used(tmp_path):
    pictures(tmp_path, "a.png")
    file = write(tmp_path / "x.json", [task("a.png", region("ship", width=None))])
    assert "Region 1 of task 5 of" in failure(DataError, file)
