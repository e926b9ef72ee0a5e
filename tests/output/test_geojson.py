import json
import sys

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from shapely.geometry import shape

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.masks.geojson import write_geojson
from lookwhere_cli.output.masks.polygons import outlines
from tests.output.masks import ANY_MASK, large, shares_of


def drawn(shapes, height, width):
    """Return the mask that polygons by class describe; each pixel's centre must lie in exactly one."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = {index: shapely.contains_xy(polygons, x, y) for index, polygons in shapes.items()}
    assert np.array_equal(sum(inside.values()), np.ones((height, width)))
    return sum(index * mask for index, mask in inside.items())


@settings(deadline=None)  # the first one loads libraries
@given(ANY_MASK)
def test_polygons_are_valid_and_describe_the_same_mask(classes):
    shapes = outlines(classes)
    assert all(polygons.is_valid for polygons in shapes.values())
    assert {index: polygons.area for index, polygons in shapes.items()} == {
        index: (classes == index).sum() for index in np.unique(classes)
    }
    assert np.array_equal(drawn(shapes, *classes.shape), classes)


def test_holes_are_interiors_and_pixels_that_share_a_corner_are_separate():
    ring = np.zeros((5, 5), np.uint8)
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    shapes = outlines(ring)
    assert sorted(len(polygon.interiors) for polygon in shapes[0].geoms) == [0, 1]
    assert [len(polygon.interiors) for polygon in shapes[1].geoms] == [1]
    corners = np.eye(2, dtype=np.uint8)
    assert [len(outlines(corners)[index].geoms) for index in (0, 1)] == [2, 2], "a shared corner does not join pixels"


def test_straight_outlines_have_no_points_between_their_ends():
    assert shapely.get_num_coordinates(outlines(np.zeros((40, 60), np.uint8))[0]) == 5


def test_a_geojson_reader_reads_the_same_mask(tmp_path):
    classes = large()
    write_geojson(tmp_path / "a.geojson", "drive/caf\udce9.jpg", classes, shares_of(classes))
    read = json.loads((tmp_path / "a.geojson").read_bytes())
    assert read["type"] == "FeatureCollection"
    assert (read["file_name"], read["width"], read["height"]) == (r"drive/caf\udce9.jpg", 120, 90)
    assert [feature["properties"] for feature in read["features"]] == [share.to_dict() for share in shares_of(classes)]
    shapes = {feature["properties"]["index"]: shape(feature["geometry"]) for feature in read["features"]}
    assert np.array_equal(drawn(shapes, 90, 120), classes)
    parts = shapely.get_parts([*shapes.values()])
    assert shapely.is_ccw(shapely.get_exterior_ring(parts)).all(), "as RFC 7946 demands"


def test_without_shapely_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "shapely", None)
    with pytest.raises(UsageError, match=r"pip install 'lookwhere\[segment\]'"):
        outlines(large())
