"""Regions of interest: which windows they touch, and files that can't be used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.windows.grid import WindowGrid
from lookwhere_cli.windows.regions import touched
from tests.large_sources import ArraySource

PIXELS = np.zeros((40, 60, 3), np.uint8)
GRID = WindowGrid((40, 60), (10, 10))


def polygon(*points: tuple[float, float]) -> dict:
    return {"type": "Polygon", "coordinates": [[*map(list, points), list(points[0])]]}


def rectangle(left: float, top: float, right: float, bottom: float) -> dict:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def save(folder: Path, content: object) -> str:
    file = folder / "regions.geojson"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(file)


def numbers(source: object, roi: str) -> list[int]:
    return np.flatnonzero(touched(source, GRID, roi)).tolist()


def feature(geometry: dict) -> dict:
    return {"type": "Feature", "properties": {}, "geometry": geometry}


def test_windows_that_share_an_area_with_a_polygon(tmp_path: Path) -> None:
    source = ArraySource(PIXELS)
    assert numbers(source, save(tmp_path, rectangle(10, 10, 20, 20))) == [7]
    assert numbers(source, save(tmp_path, rectangle(12, 3, 22, 8))) == [1, 2]
    assert numbers(source, save(tmp_path, rectangle(13, 13, 14, 14))) == [7]
    several = {
        "type": "FeatureCollection",
        "features": [feature(rectangle(1, 1, 2, 2)), feature(rectangle(55, 35, 58, 38))],
    }
    assert numbers(source, save(tmp_path, several)) == [0, 23]
    assert numbers(source, save(tmp_path, [feature(rectangle(1, 1, 2, 2))])) == [0]
    bow = polygon((0, 0), (20, 10), (20, 0), (0, 10))
    assert numbers(source, save(tmp_path, bow)) == [0, 1]


def test_longitude_and_latitude(tmp_path: Path) -> None:
    source = ArraySource(PIXELS, step=0.1)
    assert numbers(source, save(tmp_path, rectangle(11.1, 48.1, 11.9, 48.9))) == [7]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no json", "is no GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, "has no polygons"),
        ({"type": "Point", "coordinates": [1, 1]}, "has no polygons"),
        ({"type": "Polygon", "coordinates": [[1, 2]]}, "has a polygon that is none"),
        ({"type": "Polygon"}, "has a polygon that is none"),
    ],
)
def test_files_that_are_no_regions(tmp_path: Path, content: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        touched(ArraySource(PIXELS), GRID, save(tmp_path, content))
    with pytest.raises(UsageError, match="can't be read: No such file"):
        touched(ArraySource(PIXELS), GRID, str(tmp_path / "none.geojson"))


def test_regions_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="lie outside of 'made"):
        touched(ArraySource(PIXELS), GRID, save(tmp_path, rectangle(100, 100, 110, 110)))
    crs = {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}}}
    utm = save(tmp_path, rectangle(11.1, 48.1, 11.9, 48.9) | crs)
    for step in (None, 0.1):
        with pytest.raises(PictureError, match="EPSG::32618"):
            touched(ArraySource(PIXELS, step=step), GRID, utm)
    with pytest.raises(PictureError, match="are not degrees"):
        touched(ArraySource(PIXELS, step=0.1), GRID, save(tmp_path, rectangle(5e5, 4e6, 5.1e5, 4.1e6)))
