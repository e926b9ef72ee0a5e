"""Folders of labels stay what they were, whatever else lies in them."""

from __future__ import annotations

from lookwhere_cli.data.boxes.find import find_boxes
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError
from tests.data.boxes.sets import failure, pictures, write


def test_other_files_beside_class_folders(tmp_path):
    pictures(tmp_path, "cat/a.png", "dog/b.png")
    write(tmp_path / "config.yaml", "names: [cat, dog]\n")
    write(tmp_path / "notes.json", "{broken")
    write(tmp_path / "settings.json", {"images": 3})
    write(tmp_path / "list.json", ["cat/a.png"])
    write(tmp_path / "cat/a.xml", "<annotation></annotation>")
    write(tmp_path / "pom.xml", "<project></project>")
    assert find_boxes(tmp_path) is None
    assert read_examples(tmp_path).kind == "single"
    write(tmp_path / "annotations.json", "{broken")
    assert "Line 1 of" in failure(DataError, tmp_path)


def test_labels_and_masks_come_first(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    write(tmp_path / "boxes.csv", "file,left,top,right,bottom,label\na.png,1,2,3,4,ship\n")
    assert read_examples(tmp_path).kind == "boxes"
    write(tmp_path / "labels.csv", "file,label\na.png,ship\nb.png,buoy\n")
    assert read_examples(tmp_path).kind == "single"
    assert read_examples(tmp_path / "boxes.csv").kind == "boxes"


def test_a_csv_of_labels_is_no_csv_of_boxes(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    file = write(tmp_path / "x.csv", "file,label,left\na.png,ship,1\nb.png,buoy,2\n")
    assert read_examples(file).kind == "single"
