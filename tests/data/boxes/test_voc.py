"""Pascal VOC's format and CVAT's own: XML files, with their lines in messages."""

from __future__ import annotations

import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError
from tests.data.boxes.sets import boxes, failure, pictures, splits, write


def xml(name="a.jpg", *objects, size=(100, 80)):
    """An annotation file. objects: (class, xmin, ymin, xmax, ymax)."""
    items = "".join(
        f"<object>\n<name>{label}</name><difficult>0</difficult>\n<bndbox><xmin>{a}</xmin><ymin>{b}</ymin>"
        f"<xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>\n"
        for label, a, b, c, d in objects
    )
    shape = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation>\n<folder>x</folder><filename>{name}</filename>\n{shape}\n{items}</annotation>\n"


def test_pascals_folders(tmp_path):
    pictures(tmp_path, "JPEGImages/a.jpg", "JPEGImages/b.jpg", "JPEGImages/c.jpg", "JPEGImages/d.jpg")
    for stem in "abc":
        write(tmp_path / f"Annotations/{stem}.xml", xml(f"{stem}.jpg", ("ship", 1, 2, 11, 12)))
    write(tmp_path / "ImageSets/Main/train.txt", "a\n")
    write(tmp_path / "ImageSets/Main/val.txt", "b -1\n")
    labelled = read_examples(tmp_path)
    assert boxes(labelled) == {
        "JPEGImages/a.jpg": [("ship", 1, 2, 11, 12)],
        "JPEGImages/b.jpg": [("ship", 1, 2, 11, 12)],
    }
    assert splits(labelled) == {"JPEGImages/a.jpg": "train", "JPEGImages/b.jpg": "val"}
    assert "Left out 1 picture that" in labelled.notes[0]
    assert (
        labelled.notes[1] == f"Left out 1 picture without an XML file, such as {str(tmp_path / 'JPEGImages/d.jpg')!r}."
    )


def test_roboflow_and_pictures_without_boxes(tmp_path):
    pictures(tmp_path, "train/a.jpg", "train/none.jpg", "valid/b.jpg")
    write(tmp_path / "train/a.xml", xml("a.jpg", ("ship", 1, 2, 11, 12), ("buoy", 5, 5, 9, 9)))
    write(tmp_path / "train/none.xml", xml("none.jpg"))
    write(tmp_path / "valid/b.xml", xml("b.jpg", ("ship", 1, 2, 11, 12)))
    labelled = read_examples(tmp_path)
    assert boxes(labelled)["train/none.jpg"] == []
    assert splits(labelled) == {"train/a.jpg": "train", "train/none.jpg": "train", "valid/b.jpg": "val"}
    assert labelled.classes == ("buoy", "ship")


def test_cvat_and_label_studio(tmp_path):
    """Float coordinates; names without an ending, of another machine or with a folder; a size that is not known."""
    pictures(tmp_path, "images/a.jpg", "images/b.jpg", "images/day/c.jpg")
    write(tmp_path / "Annotations/a.xml", xml("a", ("ship", 1.25, 2.5, 11.75, 12.0)))
    write(tmp_path / "Annotations/b.xml", xml(r"C:\photos\b.jpg", ("ship", 1, 2, 11, 12), size=(0, 0)))
    write(tmp_path / "Annotations/day/c.xml", xml("day/c.jpg", ("ship", 1, 2, 11, 12)))
    write(tmp_path / "ImageSets/Main/default.txt", "a\nb\nday/c\n")
    labelled = read_examples(tmp_path)
    assert boxes(labelled)["images/a.jpg"] == [("ship", 1.25, 2.5, 11.75, 12)]
    assert set(boxes(labelled)) == {"images/a.jpg", "images/b.jpg", "images/day/c.jpg"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (xml("a.jpg", ("ship", 1, 2, "x", 12)), r"Line 4 of '.*a.xml' has xmax 'x', which is not a number"),
        (xml("a.jpg", ("", 1, 2, 11, 12)), r"Line 4 of '.*a.xml' has a box without a class"),
        (xml("a.jpg", ("ship", 11, 2, 1, 12)), r"Line 4 of '.*a.xml' is left out: the box 11, 2, 1, 12 is reversed"),
        (xml("lost.jpg", ("ship", 1, 2, 11, 12)).replace("a.jpg", "lost.jpg"), None),
        (xml("a.jpg", ("ship", 1, 2, 11, 12)).replace("bndbox", "robndbox"), r"Line 4 .* an object without a bndbox"),
        (xml("a.jpg", ("ship", 1, 2, 11, 12), size=(80, 100)), r"'.*a.xml' is left out: its boxes are for 80 x 100"),
        ("<annotation>\n<object>\n</annotation>", r"Line 3 of '.*a.xml' is not XML: mismatched tag"),
    ],
)
def test_files_that_can_not_be_used(tmp_path, content, sentence):
    pictures(tmp_path, "a.jpg")
    write(tmp_path / "a.xml", content)
    if sentence is None:  # a name that is not there: the picture is the one that is called like the file
        assert list(boxes(read_examples(tmp_path))) == ["a.jpg"]
        return
    with pytest.raises(DataError, match=sentence):
        read_examples(tmp_path)


def test_pictures_that_are_not_there_or_twice(tmp_path):
    write(tmp_path / "Annotations/a.xml", xml("a.jpg", ("ship", 1, 2, 11, 12)))
    assert "The picture 'a.jpg' of" in failure(DataError, tmp_path)
    pictures(tmp_path, "JPEGImages/a.jpg")
    write(tmp_path / "Annotations/b.xml", xml("a.jpg", ("ship", 1, 2, 11, 12)))
    assert "are about the same picture" in failure(DataError, tmp_path)


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><labels><label><name>buoy</name></label><label><name>ship</name></label></labels></task></meta>
  <image id="0" name="day/a.jpg" subset="Train" width="100" height="80">
    <box label="ship" source="manual" occluded="0" xtl="1.5" ytl="2" xbr="11" ybr="12" z_order="0"></box>
    <polygon label="ship" points="10,10;30,10;20,50"></polygon>
  </image>
  <image id="1" name="b.jpg" width="100" height="80"></image>
</annotations>
"""


def test_cvat_for_images(tmp_path):
    pictures(tmp_path, "images/day/a.jpg", "images/b.jpg")
    write(tmp_path / "annotations.xml", CVAT)
    labelled = read_examples(tmp_path)
    assert boxes(labelled) == {
        "images/b.jpg": [],
        "images/day/a.jpg": [("ship", 1.5, 2, 11, 12), ("ship", 10, 10, 30, 50)],
    }
    assert splits(labelled) == {"images/b.jpg": None, "images/day/a.jpg": "train"}
    write(tmp_path / "annotations.xml", CVAT.replace('xbr="11"', 'xbr="wide"'))
    assert "Line 6 of" in failure(DataError, tmp_path)
