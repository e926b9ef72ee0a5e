import io
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import shape

from lookwhere_cli.output.boxes.writers import make_box_writer
from lookwhere_cli.output.files import partial_name, whole_file
from lookwhere_cli.output.geo.placement import Placement
from lookwhere_cli.output.geo.writers import MaskGeoJsonWriter, WindowGeoJsonWriter
from lookwhere_cli.output.rows import Detection, Label, Row, Share

SLIDE = Placement.in_pixels("a.svs", (1000, 2000))


def on_map(path="b.tif"):
    def place(points):
        return np.column_stack([10 + points[:, 0] / 1000, 50 - points[:, 1] / 1000])

    return Placement(path, (500, 600), place, is_earth=True)


def red(index):
    return 250, index, 0


LABELS = (Label("tumour", 1, 0.9), Label("stroma", 0, 0.1))


def window(path="a.svs", left=0, labels=LABELS):
    return Row(path, width=100, height=100, k=12, macs=77, labels=labels, window=(left, 0, left + 100, 100))


def written(writer_of, *rows):
    stream = io.BytesIO()
    writer = writer_of(stream)
    for row in rows:
        writer.write(*row)
    writer.close()
    return json.loads(stream.getvalue())


def test_a_window_says_what_it_holds_to_maps_and_to_qupath():
    collection = written(lambda stream: WindowGeoJsonWriter(stream, red), (window(left=200), SLIDE))
    (feature,) = collection["features"]
    assert feature["type"] == "Feature" and shape(feature["geometry"]).bounds == (200, 0, 300, 100)
    properties = feature["properties"]
    assert (properties["path"], properties["label"], properties["probability"]) == ("a.svs", "tumour", 0.9)
    assert (properties["k"], properties["macs"], properties["window"]) == (12, 77, [200, 0, 300, 100])
    assert [label["label"] for label in properties["labels"]] == ["tumour", "stroma"]
    assert properties["objectType"] == "tile"
    assert properties["classification"] == {"name": "tumour", "color": [250, 1, 0]}
    assert properties["measurements"] == {"tumour": 0.9, "stroma": 0.1}
    assert collection["bbox"] == [200, 0, 300, 100] and "crs" not in collection
    expected = {"path": "a.svs", "width": 2000, "height": 1000, "coordinates": "pixels"}
    assert collection["pictures"] == [expected]


def test_maps_are_in_longitude_and_latitude():
    collection = written(WindowGeoJsonWriter, (window("b.tif"), on_map()), (Row("b.tif", k=12), on_map()))
    assert len(collection["features"]) == 1  # the whole picture is none
    assert collection["bbox"] == pytest.approx([10, 49.9, 10.1, 50])
    assert collection["pictures"][0]["coordinates"] == "longitude and latitude"
    assert "classification" in collection["features"][0]["properties"]


def test_pixels_and_degrees_in_one_file_have_no_common_extent():
    collection = written(WindowGeoJsonWriter, (window(), SLIDE), (window("b.tif"), on_map()))
    assert "bbox" not in collection and len(collection["pictures"]) == 2
    assert [feature["properties"]["path"] for feature in collection["features"]] == ["a.svs", "b.tif"]


def test_windows_that_can_t_be_read_say_why():
    row = Row("a.svs", window=(0, 0, 100, 100), error="torn")
    (feature,) = written(lambda stream: WindowGeoJsonWriter(stream, red), (row, SLIDE))["features"]
    assert feature["properties"]["error"] == "torn" and "label" not in feature["properties"]
    assert shape(feature["geometry"]).area == 100 * 100


def test_a_window_that_lies_nowhere_on_the_earth_has_no_geometry():
    nowhere = Placement("c.tif", (100, 100), lambda points: points * np.nan, is_earth=True)
    (feature,) = written(WindowGeoJsonWriter, (window("c.tif"), nowhere))["features"]
    assert feature["geometry"] is None and feature["properties"]["label"] == "tumour"


@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=20), st.text(max_size=20))
def test_any_name_and_label_make_valid_json(path, label):
    row = window(path, labels=(Label(label, 0, 0.5),))
    (feature,) = written(WindowGeoJsonWriter, (row, Placement.in_pixels(path, (9, 9))))["features"]
    assert feature["properties"]["label"] == label


def test_a_file_is_a_whole_collection_after_each_window(tmp_path):
    file, counts = tmp_path / "windows.geojson", []
    with whole_file(file) as stream:
        writer = WindowGeoJsonWriter(stream)
        for left in (0, 100, 200):
            writer.write(window(left=left), SLIDE)
            stream.flush()
            counts.append(len(json.loads(partial_name(file).read_text())["features"]))
        writer.close()
    assert counts == [1, 2, 3] and len(json.loads(file.read_text())["features"]) == 3


def test_boxes_on_a_map_are_in_its_coordinates():
    row = Row("b.tif", 600, 500, boxes=(Detection("ship", 3, 0.75, (100, 100, 200, 150)),))
    collection = written(lambda stream: make_box_writer("geojson", stream, ["ship"], red), (row, on_map()))
    (feature,) = collection["features"]
    assert shape(feature["geometry"]).bounds == pytest.approx((10.1, 49.85, 10.2, 49.9))
    assert feature["properties"]["objectType"] == "annotation" and feature["properties"]["path"] == "b.tif"
    assert feature["properties"]["classification"] == {"name": "ship", "color": [250, 3, 0]}
    assert collection["bbox"] == pytest.approx([10.1, 49.85, 10.2, 49.9])


def test_a_part_of_a_mask_lies_where_its_box_is():
    classes = np.array([[0, 0, 1], [0, 1, 1]], np.uint8)
    row = Row("a.svs", window=(0, 0, 60, 40), shares=(Share("x", 0, 0.5, 12.0, "µm²"), Share("y", 1, 0.5, 12.0, "µm²")))
    collection = written(MaskGeoJsonWriter, (row, classes, (30, 20, 60, 40), SLIDE))
    shapes = {feature["properties"]["label"]: shape(feature["geometry"]) for feature in collection["features"]}
    assert shapes["x"].bounds == (30, 20, 50, 40) and shapes["y"].bounds == (40, 20, 60, 40)
    assert shapes["x"].area == shapes["y"].area == 300
    assert collection["features"][0]["properties"]["area"] == 12.0
