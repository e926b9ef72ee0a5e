"""YOLO folders: as Ultralytics, Roboflow, Label Studio and CVAT arrange them, and files that can't be used."""

from __future__ import annotations

import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError, UsageError
from tests.data.boxes.sets import boxes, failure, pictures, splits, write

BOX = "1 0.5 0.5 0.2 0.5\n"  # in 100 x 80 pixels: 40, 20, 60, 60
SIDES = (40, 20, 60, 60)


def ultralytics(root, *stems, yaml="path: .\ntrain: images/train\nval: images/val\nnames:\n  0: buoy\n  1: ship\n"):
    for stem in stems:
        pictures(root, f"images/{stem}.jpg")
        write(root / f"labels/{stem}.txt", BOX)
    write(root / "data.yaml", yaml)
    return root


def test_ultralytics(tmp_path):
    ultralytics(tmp_path, "train/a", "val/b")
    pictures(tmp_path, "images/train/empty.jpg", "images/train/none.jpg")
    write(tmp_path / "labels/train/empty.txt", "")
    labelled = read_examples(tmp_path)
    assert boxes(labelled) == {
        "images/train/a.jpg": [("ship", *SIDES)],
        "images/train/empty.jpg": [],
        "images/train/none.jpg": [],
        "images/val/b.jpg": [("ship", *SIDES)],
    }
    assert set(splits(labelled).values()) == {"train", "val"}
    assert labelled.notes == (f"Left out the class names 'buoy', of which {str(tmp_path / 'data.yaml')!r} has no box.",)
    assert boxes(read_examples(tmp_path / "data.yaml")) == boxes(labelled)


def test_roboflow(tmp_path):
    """Paths begin with ../ although the folders lie beside the file; splits are called train, valid and test."""
    for name in ("train", "valid", "test"):
        pictures(tmp_path / "set", f"{name}/images/{name}_jpg.rf.0a1.jpg")
        write(tmp_path / "set" / name / "labels" / f"{name}_jpg.rf.0a1.txt", BOX)
    pictures(tmp_path, "train/images/of_another_set.jpg")
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['buoy', 'ship']\n"
    write(tmp_path / "set/data.yaml", yaml)
    assert splits(read_examples(tmp_path / "set")) == {
        "train/images/train_jpg.rf.0a1.jpg": "train",
        "valid/images/valid_jpg.rf.0a1.jpg": "val",
    }


def test_label_studio(tmp_path):
    """A class list beside images and labels, and no data.yaml."""
    pictures(tmp_path, "images/0a1b2c3d-a.jpg")
    write(tmp_path / "labels/0a1b2c3d-a.txt", BOX)
    write(tmp_path / "notes.json", {"categories": [{"id": 0, "name": "buoy"}], "info": {}})
    assert "no list of class names" in failure(UsageError, tmp_path)
    write(tmp_path / "classes.txt", "buoy\nship\n")
    labelled = read_examples(tmp_path)
    assert boxes(labelled) == {"images/0a1b2c3d-a.jpg": [("ship", *SIDES)]}
    assert splits(labelled) == {"images/0a1b2c3d-a.jpg": None}


def test_cvat_ultralytics(tmp_path):
    """Lists of pictures with a folder `data` that the archive does not have."""
    pictures(tmp_path, "images/train/a.jpg")
    write(tmp_path / "labels/train/a.txt", BOX)
    write(tmp_path / "train.txt", "data/images/train/a.jpg\n")
    write(tmp_path / "data.yaml", "names:\n  0: buoy\n  1: ship\npath: .\ntrain: train.txt\n")
    assert boxes(read_examples(tmp_path)) == {"images/train/a.jpg": [("ship", *SIDES)]}
    write(tmp_path / "train.txt", "data/images/train/a.jpg\ndata/images/train/b.jpg\n")
    assert "Line 2 of" in failure(DataError, tmp_path)


def test_cvat_darknet(tmp_path):
    """YOLO 1.1: obj.data, obj.names, and labels beside the pictures."""
    pictures(tmp_path, "obj_train_data/a.jpg", "obj_train_data/b.jpg")
    write(tmp_path / "obj_train_data/a.txt", BOX)
    write(tmp_path / "obj_train_data/b.txt", "")
    write(tmp_path / "train.txt", "data/obj_train_data/a.jpg\ndata/obj_train_data/b.jpg\n")
    write(tmp_path / "obj.names", "buoy\nship\n")
    write(tmp_path / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    labelled = read_examples(tmp_path)
    assert boxes(labelled) == {"obj_train_data/a.jpg": [("ship", *SIDES)], "obj_train_data/b.jpg": []}


def test_the_same_pictures_for_both_splits(tmp_path):
    ultralytics(tmp_path, "train/a", yaml="train: images/train\nval: images/train\nnames: [buoy, ship]\n")
    labelled = read_examples(tmp_path)
    assert splits(labelled) == {"images/train/a.jpg": "train"}
    assert labelled.notes[0].startswith("1 picture of the val split of")


def test_pictures_without_a_split_beside_others(tmp_path):
    pictures(tmp_path, "images/train/a.jpg", "images/val/b.jpg", "images/c.jpg")
    write(tmp_path / "labels/train/a.txt", BOX)
    write(tmp_path / "classes.txt", "buoy\nship\n")
    assert "puts some pictures in a split and 1 in none" in failure(DataError, tmp_path)


def test_polygons_scores_and_float_classes(tmp_path):
    ultralytics(tmp_path, "train/a", "val/b")
    write(tmp_path / "labels/train/a.txt", "0 0.1 0.1 0.3 0.1 0.2 0.5\n1.0 0.5 0.5 0.2 0.5 0.87\n")
    found = boxes(read_examples(tmp_path))["images/train/a.jpg"]
    assert found == [("buoy", 10, 8, 30, 40), ("ship", *SIDES)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("1 0.5 0.5 0.2\n", r"Line 1 of '.*a.txt' has 4 numbers; a box has 5"),
        ("1 0.5 0.5 0.2 wide\n", r"Line 1 of '.*a.txt' has coordinate 'wide', which is not a number"),
        ("\n7 0.5 0.5 0.2 0.2\n", r"Line 2 of '.*a.txt' has the class 7, but there are 2 class names"),
        ("0.5 0.5 0.5 0.2 0.2\n", r"Line 1 of '.*a.txt' has class '0.5', which is not a whole number"),
        ("1 50 60 20 20\n", r"Line 1 of '.*a.txt' has the coordinate 60; YOLO's are shares"),
        ("1 nan 0.5 0.2 0.2\n", r"Line 1 of '.*a.txt' is not a box"),
        ("1 0.5 0.5 0 0.2\n", r"Line 1 of '.*a.txt' is left out: the box .* has no area"),
    ],
)
def test_lines_that_can_not_be_used(tmp_path, content, sentence):
    ultralytics(tmp_path, "train/a", "val/b")
    write(tmp_path / "labels/train/a.txt", content)
    with pytest.raises(DataError, match=sentence):
        read_examples(tmp_path)


def test_labels_without_pictures(tmp_path):
    ultralytics(tmp_path, *(f"train/{index}" for index in range(20)))
    write(tmp_path / "labels/train/orphan.txt", BOX)
    write(tmp_path / "labels/train/classes.txt", "buoy\nship\n")
    write(tmp_path / "data.yaml", "train: images/train\nnames: [buoy, ship]\n")
    orphan = str(tmp_path / "labels/train/orphan.txt")
    assert f"{orphan!r} has boxes, but there is no picture of that name." in read_examples(tmp_path).notes
    for index in range(5):
        write(tmp_path / f"labels/train/orphan{index}.txt", BOX)
    assert "6 of 26 label files have no picture" in failure(DataError, tmp_path)


def test_two_pictures_of_one_stem(tmp_path):
    ultralytics(tmp_path, "train/a", "val/b")
    pictures(tmp_path, "images/train/a.png")
    sentence = failure(DataError, tmp_path)
    assert "a.jpg' and" in sentence and "a.png' would both have the boxes of" in sentence


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("train: images/train\nnames:\n\n", "has no class names"),
        ("train: images/train\nnc: 3\nnames: [buoy, ship]\n", "says that there are 3 classes .*, but names 2"),
        ("train: images/train\nnames: {1: buoy, 2: ship}\n", r"has the class indices \[1, 2\]"),
        ("train: images/lost\nnames: [buoy, ship]\n", "names the pictures 'images/lost', but neither"),
        ("train: images/train\nnames: [buoy\n", "Line 2 of .* is not YAML|Line 3 of .* is not YAML"),
        ("test: images/train\nnames: [buoy, ship]\n", "has a test split only"),
    ],
)
def test_a_description_that_can_not_be_used(tmp_path, yaml, sentence):
    ultralytics(tmp_path, "train/a", yaml=yaml)
    with pytest.raises(DataError, match=sentence):
        read_examples(tmp_path)
