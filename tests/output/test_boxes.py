"""Boxes in every format are read back as they were, by the readers of training."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import UsageError
from lookwhere_cli.metrics.boxes import true_masks
from lookwhere_cli.output.boxes.folders import BOX_FOLDERS, YoloFolder
from lookwhere_cli.output.boxes.writers import BOX_FORMATS, make_box_writer
from lookwhere_cli.output.masks.paths import output_paths
from lookwhere_cli.output.masks.run_lengths import area_of, decode, encode_part
from lookwhere_cli.output.rows import Detection, Row

WIDTH, HEIGHT = 640, 481
LABELS = ("ship", "=1+1", "a <b> & \"c\", 'd'", "Schiff ünd Boot", "8")


@st.composite
def found(draw):
    """Boxes of at least two pixels, with sides of hundredths, best first."""
    detections = []
    for score in sorted(draw(st.lists(st.integers(0, 10**6), max_size=6)), reverse=True):
        index = draw(st.integers(0, len(LABELS) - 1))
        left, top = draw(st.integers(0, 100 * (WIDTH - 2))), draw(st.integers(0, 100 * (HEIGHT - 2)))
        right, bottom = draw(st.integers(left + 200, 100 * WIDTH)), draw(st.integers(top + 200, 100 * HEIGHT))
        box = (left / 100, top / 100, right / 100, bottom / 100)
        detections.append(Detection(LABELS[index], index, score / 10**6, box))
    return tuple(detections)


NAMES = ("a.png", "deep/b c.png", "=x.png")


def rows(folder, boxes):
    for name, detections in zip(NAMES, boxes, strict=True):
        yield Row(name, WIDTH, HEIGHT, "m", "0", 4, (2, 2), ((0, 0),), boxes=detections)
    yield Row("broken.png", error="It is broken.")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the pictures, in `images`, too."""
    root = tmp_path_factory.mktemp("pictures")
    for name in NAMES:
        for file in (root / name, root / "images" / name):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("1", (WIDTH, HEIGHT)).save(file)
    return root


def written(format, given_rows):
    stream = io.BytesIO()
    writer = make_box_writer(format, stream, LABELS)
    for row in given_rows:
        writer.write(row)
    writer.close()
    return stream.getvalue()


def check(labelled, boxes, prefix="", tolerance=0.006):
    """The set has the same pictures, classes and sides."""
    by_name = {labelled.name(example): example.objects for example in labelled.examples}
    assert set(by_name) == {prefix + name for name in NAMES}
    for name, detections in zip(NAMES, boxes, strict=True):
        objects = by_name[prefix + name]
        assert [labelled.classes[index] for index in objects.classes] == [one.label for one in detections]
        assert np.allclose(objects.boxes, np.array([one.box for one in detections]).reshape(-1, 4), atol=tolerance)
    assert not any("clipped" in note or "left out" in note for note in labelled.notes)


THREE = st.tuples(found(), found(), found()).filter(any)


@pytest.mark.parametrize(("format", "name"), [("csv", "boxes.csv"), ("coco", "boxes.json")])
@given(boxes=THREE)
@settings(max_examples=30)
def test_files_are_read_back(folder, format, name, boxes):
    (folder / name).write_bytes(written(format, rows(folder, boxes)))
    check(read_examples(folder / name), boxes)


@pytest.mark.parametrize("format", sorted(BOX_FOLDERS))
@given(boxes=THREE)
@settings(max_examples=30)
def test_folders_are_read_back(folder, format, boxes):
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        (out / "images").symlink_to(folder / "images")
        pictures = [str(folder / name) for name in NAMES]
        paths = output_paths(pictures, [str(folder)], out)
        writer = BOX_FOLDERS[format](out, LABELS, overwrite=False)
        for row, picture in zip(rows(folder, boxes), pictures, strict=False):
            writer.write(row, paths[picture])
        check(read_examples(out), boxes, "images/")


@given(boxes=THREE)
@settings(max_examples=20)
def test_geojson_has_polygons_with_their_labels(folder, boxes):
    collection = json.loads(written("geojson", rows(folder, boxes)))
    assert [one["file_name"] for one in collection["pictures"]] == list(NAMES)
    flat = [(name, one) for name, detections in zip(NAMES, boxes, strict=True) for one in detections]
    assert len(collection["features"]) == len(flat)
    for feature, (name, one) in zip(collection["features"], flat, strict=True):
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert (ring[0] == ring[-1]).all() and len(ring) == 5
        assert np.allclose([*ring.min(axis=0), *ring.max(axis=0)], one.box)
        assert feature["properties"] == {
            "file_name": name,
            "label": one.label,
            "index": one.index,
            "score": pytest.approx(one.score),
        }


@pytest.mark.parametrize("format", ["json", "jsonl", "parquet"])
@given(boxes=THREE)
@settings(max_examples=10)
def test_rows_hold_boxes_in_every_format(folder, format, boxes):
    content = written(format, rows(folder, boxes))
    if format == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        found_rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    else:
        found_rows = json.loads(content) if format == "json" else [json.loads(line) for line in content.splitlines()]
    for row, detections in zip(found_rows, boxes, strict=False):
        boxes_of_row = [{key: value for key, value in one.items() if value is not None} for one in row["boxes"]]
        assert boxes_of_row == [one.to_dict() for one in detections]
    assert found_rows[-1]["error"] == "It is broken."


RING = np.hypot(*(np.indices((40, 60)) - np.array([[[19.5]], [[29.5]]]))) < 18
RING[15:25, 25:35] = False


def ring():
    """An object with a hole, in a picture without others."""
    mask = encode_part(RING, 100, 200, (HEIGHT, WIDTH))
    found = Detection("ship", 0, 0.5, (112.0, 202.0, 148.0, 238.0), mask)
    return [(found,), (), ()]


def test_masks_in_coco_are_read_back(folder):
    (folder / "masks.json").write_bytes(written("coco", rows(folder, ring())))
    labelled = read_examples(folder / "masks.json")
    check(labelled, ring())
    (example,) = (one for one in labelled.examples if one.classes)
    (mask,) = true_masks(example.objects, (HEIGHT, WIDTH))
    assert (decode(mask)[200:240, 100:160] == RING).all() and area_of(mask) == RING.sum()


def test_masks_in_geojson_are_polygons_with_holes(folder):
    (feature,) = json.loads(written("geojson", rows(folder, ring())))["features"]
    shape = pytest.importorskip("shapely.geometry").shape(feature["geometry"])
    assert shape.area == RING.sum() and len(shape.geoms[0].interiors) == 1


def test_masks_in_parquet_and_json_are_the_same(folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(written("parquet", rows(folder, ring())))).to_pylist()
    assert table[0]["boxes"] == json.loads(written("json", rows(folder, ring())))[0]["boxes"]


def test_masks_in_yolo_are_outlines_without_holes(folder, tmp_path):
    (tmp_path / "images").symlink_to(folder / "images")
    paths = output_paths([str(folder / name) for name in NAMES], [str(folder)], tmp_path)
    writer = YoloFolder(tmp_path, LABELS, overwrite=False)
    for row, name in zip(rows(folder, ring()), NAMES, strict=False):
        writer.write(row, paths[str(folder / name)])
    (example,) = (one for one in read_examples(tmp_path).examples if one.classes)
    (mask,) = true_masks(example.objects, (HEIGHT, WIDTH))
    filled = RING.copy()
    filled[15:25, 25:35] = True
    assert (decode(mask)[200:240, 100:160] == filled).mean() > 0.98


def test_text_and_csv_to_the_letter():
    found = (Detection("ship", 0, 0.91234567, (1.005, 2.0, 30.499, 40.0)), Detection("=1", 1, 0.5, (0, 0, 1, 1)))
    given_rows = [Row("a.png", 64, 48, boxes=found), Row("b.png", 64, 48, boxes=()), Row("c.png", error="Broken.")]
    assert written("text", given_rows).decode().splitlines() == [
        "a.png\tship 91.2% at 1 2 30 40\t=1 50.0% at 0 0 1 1",
        "b.png",
        "c.png\terror: Broken.",
    ]
    assert written("csv", given_rows).decode().splitlines() == [
        "file,left,top,right,bottom,label,score,time,frame",
        "a.png,1.0,2.0,30.5,40.0,ship,0.912346,,",
        "a.png,0,0,1,1,'=1,0.5,,",
        "b.png,,,,,,,,",
    ]


@pytest.mark.parametrize("format", BOX_FORMATS)
def test_nothing_at_all_is_a_complete_file(format):
    if format == "parquet":
        pytest.importorskip("pyarrow")
    content = written(format, [])
    if format in ("json", "coco", "geojson"):
        json.loads(content)


def test_a_folder_of_other_classes_is_kept(tmp_path):
    YoloFolder(tmp_path, ["ship"], overwrite=False)
    YoloFolder(tmp_path, ["ship"], overwrite=False)
    with pytest.raises(UsageError, match="names other classes than this model's"):
        YoloFolder(tmp_path, ["buoy"], overwrite=False)
    YoloFolder(tmp_path, ["buoy"], overwrite=True)
    assert "buoy" in (tmp_path / "data.yaml").read_text()
