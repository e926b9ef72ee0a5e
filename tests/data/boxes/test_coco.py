"""COCO's format: as COCO, CVAT, Label Studio and Roboflow write it, and files that contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError
from tests.data.boxes.sets import boxes, failure, pictures, splits, write


def coco(names=("a.png",), **changes: Any) -> dict[str, Any]:
    """A file with one box in the first picture."""
    images = [{"id": index, "file_name": name, "width": 100, "height": 80} for index, name in enumerate(names, 1)]
    annotation = {"id": 7, "image_id": 1, "category_id": 2, "bbox": [1, 2, 10, 20], "area": 200, "iscrowd": 0}
    categories = [{"id": 2, "name": "ship"}, {"id": 1, "name": "buoy"}]
    return {"images": images, "annotations": [annotation], "categories": categories, "info": {}} | changes


def annotation(**changes: Any) -> dict[str, Any]:
    return coco()["annotations"][0] | changes


def test_a_file_beside_its_pictures(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    file = write(tmp_path / "boxes.json", coco(["a.png", "b.png"]))
    labelled = read_examples(file)
    assert boxes(labelled) == {"a.png": [("ship", 1, 2, 11, 22)], "b.png": []}
    assert labelled.classes == ("ship",)
    assert labelled.notes == (f"Left out the class names 'buoy', of which {str(file)!r} has no box.",)
    assert boxes(read_examples(tmp_path)) == boxes(labelled)


def test_classes_are_in_the_order_of_their_ids(tmp_path):
    pictures(tmp_path, "a.png")
    both = [annotation(), annotation(id=8, category_id=1)]
    assert read_examples(write(tmp_path / "x.json", coco(annotations=both))).classes == ("buoy", "ship")


def test_cocos_own_folders(tmp_path):
    pictures(tmp_path, "train2017/a.png", "val2017/b.png")
    write(tmp_path / "annotations/instances_train2017.json", coco(["a.png"]))
    write(tmp_path / "annotations/instances_val2017.json", coco(["b.png"]))
    write(tmp_path / "annotations/captions_val2017.json", coco(["b.png"], annotations=[]))
    labelled = read_examples(tmp_path)
    assert splits(labelled) == {"train2017/a.png": "train", "val2017/b.png": "val"}
    single = read_examples(tmp_path / "annotations/instances_val2017.json")
    assert boxes(single) == {"val2017/b.png": [("ship", 1, 2, 11, 22)]}


def test_an_export_of_cvat(tmp_path):
    """Float coordinates, attributes, empty segmentation, ids from 1, pictures in images with their folders."""
    pictures(tmp_path, "images/day/a.png")
    attributes = {"attributes": {"occluded": False, "rotation": 0.0}, "segmentation": []}
    entry = annotation(bbox=[1.25, 2.5, 10.0, 20.0], **attributes)
    write(tmp_path / "annotations/instances_default.json", coco(["day/a.png"], annotations=[entry]))
    assert boxes(read_examples(tmp_path)) == {"images/day/a.png": [("ship", 1.25, 2.5, 11.25, 22.5)]}


def test_an_export_of_label_studio(tmp_path):
    """Ids from 0, a backslash in the name, a flag `ignore`, and a prefix of the upload."""
    pictures(tmp_path, "images/0a1b2c3d-a.png", "images/b.png")
    images = [
        {"width": 100, "height": 80, "id": 0, "file_name": "images\\0a1b2c3d-a.png"},
        {"width": 100, "height": 80, "id": 1, "file_name": "images\\9f8e7d6c-b.png"},
    ]
    entries = [
        {"id": 0, "image_id": 0, "category_id": 0, "segmentation": [], "bbox": [1.0, 2.0, 3.0, 4.0], "ignore": 0},
        {"id": 1, "image_id": 1, "category_id": 0, "segmentation": [], "bbox": [1.0, 2.0, 3.0, 4.0], "ignore": 1},
    ]
    content = {"images": images, "categories": [{"id": 0, "name": "ship"}], "annotations": entries}
    labelled = read_examples(write(tmp_path / "result.json", content))
    assert boxes(labelled) == {
        "images/0a1b2c3d-a.png": [("ship", 1, 2, 4, 6)],
        "images/b.png": [("ship", 1, 2, 4, 6, "crowd")],
    }
    assert [one.classes for one in labelled.examples] == [(0,), ()]


def test_an_export_of_roboflow(tmp_path):
    """A file in each split's folder, and a class at index 0 that has no box."""
    pictures(tmp_path, "train/a_jpg.rf.1.jpg", "valid/b_jpg.rf.2.jpg", "test/c.jpg")
    categories = [
        {"id": 0, "name": "ships", "supercategory": "none"},
        {"id": 2, "name": "ship", "supercategory": "ships"},
    ]
    for name in ("train/a_jpg.rf.1.jpg", "valid/b_jpg.rf.2.jpg", "test/c.jpg"):
        folder, _, file = name.partition("/")
        write(tmp_path / folder / "_annotations.coco.json", coco([file], categories=categories))
    labelled = read_examples(tmp_path)
    assert splits(labelled) == {"train/a_jpg.rf.1.jpg": "train", "valid/b_jpg.rf.2.jpg": "val"}
    assert labelled.classes == ("ship",)
    assert labelled.notes == (
        "Left out 1 file of the test split; name the file to use it.",
        f"Left out the class names 'ships', of which {str(tmp_path)!r} has no box.",
    )
    assert list(boxes(read_examples(tmp_path / "test/_annotations.coco.json"))) == ["c.jpg"]


@pytest.mark.parametrize("kind", [float, str])
def test_ids_of_other_types(tmp_path, kind):
    pictures(tmp_path, "a.png")
    content = coco(annotations=[annotation(image_id=kind(1), category_id=kind(2))])
    content["images"][0]["id"] = kind(1)
    assert boxes(read_examples(write(tmp_path / "x.json", content))) == {"a.png": [("ship", 1, 2, 11, 22)]}


def test_crowds_and_outlines(tmp_path):
    pictures(tmp_path, "a.png")
    polygon = [[10, 10, 30, 10, 30, 25.5]]
    entries = [annotation(iscrowd=1), annotation(id=8, bbox=None, segmentation=polygon)]
    labelled = read_examples(write(tmp_path / "x.json", coco(annotations=entries)))
    assert boxes(labelled) == {"a.png": [("ship", 1, 2, 11, 22, "crowd"), ("ship", 10, 10, 30, 25.5)]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"annotations": [annotation(category_id=5)]}, r"Annotation 1 of '.*x.json' \(id 7\) has the category 5"),
        ({"annotations": [annotation(image_id=5)]}, r"Annotation 1 .* is of image 5, which the file does not list"),
        ({"annotations": [annotation(bbox=[1, 2, 3])]}, r"Annotation 1 .* has the bbox \[1, 2, 3\]; it must be four"),
        ({"annotations": [annotation(bbox=[1, 2, None, 3])]}, r"Annotation 1 .* has bbox None, which is not a number"),
        ({"annotations": [annotation(bbox=[1, 2, float("nan"), 3])]}, r"Annotation 1 .* is not a box: .* nan"),
        ({"annotations": [annotation(bbox=[1, 2, -5, 3])]}, r"Annotation 1 .* is left out: the box 1, 2, -4, 5 is rev"),
        ({"annotations": [annotation(bbox=[])]}, r"Annotation 1 .* has the bbox None"),
        ({"annotations": [annotation(bbox=[0.1, 0.2, 0.3, 0.4])]}, r"lie between 0 and 1, as shares"),
        ({"annotations": []}, "has 1 picture, but no boxes"),
        ({"annotations": None}, "has no list 'annotations'"),
        ({"categories": [{"id": 2, "name": ""}]}, "Category 2 of '.*' has name ''; it must be a name"),
        (
            {"categories": [{"id": 2, "name": "a"}, {"id": 2, "name": "b"}]},
            "Category number 2 .* has the id 2, as another",
        ),
        ({"images": [{"id": 1}]}, "Image 1 of '.*x.json' has file_name None"),
        (
            {"images": [{"id": 1, "file_name": "elsewhere/z.png"}]},
            "No picture of .* 'elsewhere/z.png', the first of 1, is not below",
        ),
        (
            {"images": [{"id": 1, "file_name": "a.png", "width": 50, "height": 40}]},
            "Image 1 of '.*x.json' is left out: its boxes are for 50 x 40 pixels, but '.*a.png' is displayed at 1",
        ),
    ],
)
def test_files_that_contradict_themselves(tmp_path, change, sentence):
    pictures(tmp_path, "a.png")
    file = write(tmp_path / "x.json", coco(**change))
    with pytest.raises(DataError, match=sentence):
        read_examples(file)


def test_files_of_another_kind(tmp_path):
    pictures(tmp_path, "a.png")
    assert "neither COCO's format nor an export of Label Studio" in failure(DataError, write(tmp_path / "x.json", {}))
    assert "Line 2 of" in failure(DataError, write(tmp_path / "x.json", '{"images":\n]'))
    write(tmp_path / "x.json", coco())
    write(tmp_path / "y.json", coco())
    assert "several descriptions of boxes" in failure(DataError, tmp_path)
