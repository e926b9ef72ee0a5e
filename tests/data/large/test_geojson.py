"""GeoJSON of QuPath and of maps, and every way in which it can be wrong."""

import json

import numpy as np
import pytest

from lookwhere_cli.data.large.geojson import read_geojson
from lookwhere_cli.errors import DataError
from tests.data.large.maps import box, feature, point, polygon, write

BOTH = {"type": "GeometryCollection", "geometries": [point(1, 1), box(0, 0, 1, 1)]}
UTM = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32618"}}


@pytest.mark.parametrize(
    ("properties", "label"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 0]}, "name": "Annotation 1"}, "Tumor"),
        ({"classification": {"names": ["Tumor", "Positive"]}}, "Tumor: Positive"),
        ({"label": "ship"}, "ship"),
        ({"class": 3}, "3"),
        ({"class": 3.0, "label": ""}, "3"),
        ({"name": " house "}, "house"),
        ({"classification": None, "name": "house"}, "house"),
    ],
)
def test_a_class_has_several_usual_names(tmp_path, properties, label):
    (found,) = read_geojson(write(tmp_path / "a.geojson", feature(point(1, 2), None, **properties)))
    assert found.label == label
    assert found.place == f"Feature 1 of {str(tmp_path / 'a.geojson')!r}"


def test_a_property_can_be_named_also_inside_another(tmp_path):
    file = write(tmp_path / "a.geojson", feature(point(1, 2), "x", kind={"tree": "oak"}))
    assert read_geojson(file, "kind.tree")[0].label == "oak"
    with pytest.raises(DataError, match=r"Feature 1 of '.*' has no property 'knd'. .*'kind'"):
        read_geojson(file, "knd")


def test_geometries_become_points_and_rings_without_their_last_corner(tmp_path):
    hole = [[2, 2], [4, 2], [4, 4]]
    points = {"type": "MultiPoint", "coordinates": [[2, 2, 9]]}
    many = {"type": "MultiPolygon", "coordinates": [box(0, 0, 1, 1)["coordinates"], box(5, 5, 6, 6)["coordinates"]]}
    collection = {"type": "GeometryCollection", "geometries": [point(1, 1), points]}
    shapes = [polygon([(0, 0), (9, 0), (9, 9)], hole), many, collection]
    first, second, third = read_geojson(write(tmp_path / "a.geojson", *map(feature, shapes)))
    assert [ring.tolist() for ring in first.polygons[0]] == [[[0, 0], [9, 0], [9, 9]], hole]
    assert [len(rings[0]) for rings in second.polygons] == [4, 4]
    assert third.points.tolist() == [[1, 1], [2, 2]]
    assert third.polygons == ()


@pytest.mark.parametrize("wrap", [lambda one: [one], lambda one: one], ids=["list", "feature"])
def test_older_forms_of_qupath_are_read(tmp_path, wrap):
    file = tmp_path / "a.geojson"
    file.write_text(json.dumps(wrap(feature(box(0, 0, 2, 3)))))
    assert np.array_equal(read_geojson(file)[0].polygons[0][0], [[0, 0], [2, 0], [2, 3], [0, 3]])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (feature(point(1, 1), None), "Feature 2 of .* has no class; give it one, .*It has no properties."),
        (feature(point(1, 1), None, id=3), "Feature 2 of .* has no class.* It has 'id'."),
        (feature(point(1, 1), None, label=True), "Feature 2 of .* has no class"),
        (feature(None), "Feature 2 of .* has no geometry"),
        (
            feature({"type": "LineString", "coordinates": []}),
            "Feature 2 of .* is a LineString; labels are",
        ),
        (feature({"type": "Circle"}), "Feature 2 of .* is a Circle"),
        (feature(point("1", 1)), 'Feature 2 of .* not pairs of numbers: .."1", 1'),
        (feature(point(float("nan"), 1)), "Feature 2 of .* not finite: ..NaN, 1"),
        (feature({"type": "Point", "coordinates": [1]}), "Feature 2 of .* not pairs of numbers"),
        (
            feature(polygon([(0, 0), (1, 1)])),
            "Feature 2 of .* a polygon with 2 corners",
        ),
        (feature({"type": "Polygon", "coordinates": []}), "Feature 2 of .* a polygon without corners"),
        (feature({"type": "MultiPoint", "coordinates": []}), "Feature 2 of .* has no coordinates"),
        (
            feature(BOTH),
            "points and polygons together",
        ),
        ("text", "Feature 2 of .* has no geometry"),
    ],
)
def test_bad_features_are_named_by_file_and_number(tmp_path, given, sentence):
    with pytest.raises(DataError, match=sentence):
        read_geojson(write(tmp_path / "a.geojson", feature(point(0, 0)), given))


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "urn:ogc:def:crs:EPSG::4326", "EPSG:4326"])
def test_a_crs_of_longitude_and_latitude_may_be_named(tmp_path, name):
    crs = {"type": "name", "properties": {"name": name}}
    assert read_geojson(write(tmp_path / "a.geojson", feature(point(0, 0)), crs=crs))


@pytest.mark.parametrize("crs", [UTM, "EPSG:3857", {}])
def test_another_crs_is_refused(tmp_path, crs):
    with pytest.raises(DataError, match=r"is in the CRS .* export it as EPSG:4326"):
        read_geojson(write(tmp_path / "a.geojson", feature(point(0, 0)), crs=crs))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"type": "Topology"}', "is not a FeatureCollection of GeoJSON, but 'Topology'"),
        ("3", "is not a FeatureCollection of GeoJSON, but int"),
    ],
)
def test_other_files_are_refused(tmp_path, text, sentence):
    file = tmp_path / "a.geojson"
    file.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_geojson(file)
