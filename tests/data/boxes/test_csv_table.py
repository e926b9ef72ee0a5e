"""Boxes in a CSV file: a line for each, pictures without boxes, label maps, and files that can't be used."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from lookwhere_cli.data.counts import count_classes
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import split_examples
from lookwhere_cli.errors import DataError, UsageError
from tests.data.boxes.sets import boxes, failure, pictures, splits, write

HEADER = "file,left,top,right,bottom,label\n"


def table(root: Path, *lines: str, header: str = HEADER) -> Path:
    return write(root / "boxes.csv", header + "".join(f"{line}\n" for line in lines))


def test_a_line_for_each_box(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "deep/c.png")
    file = table(
        tmp_path, "b.png,1,2,11,12,ship", "a.png,,,,,", "b.png,5.5,6,7.25,8,buoy", "deep/c.png,0,0,100,80,ship"
    )
    labelled = read_examples(file)
    assert (labelled.kind, labelled.classes, labelled.notes) == ("boxes", ("buoy", "ship"), ())
    assert boxes(labelled) == {
        "a.png": [],
        "b.png": [("ship", 1, 2, 11, 12), ("buoy", 5.5, 6, 7.25, 8)],
        "deep/c.png": [("ship", 0, 0, 100, 80)],
    }
    assert [one.classes for one in labelled.examples] == [(), (0, 1), (1,)]


def test_a_folder_with_boxes_csv_is_the_same(tmp_path):
    pictures(tmp_path, "a.png")
    table(tmp_path, "a.png,1,2,11,12,ship")
    assert boxes(read_examples(tmp_path)) == boxes(read_examples(tmp_path / "boxes.csv"))


def test_roboflow_and_tensorflow_columns(tmp_path):
    pictures(tmp_path, "a.jpg")
    file = table(tmp_path, "a.jpg,100,80,ship,1,2,11,12", header="filename,width,height,class,xmin,ymin,xmax,ymax\n")
    assert boxes(read_examples(file)) == {"a.jpg": [("ship", 1, 2, 11, 12)]}


def test_a_label_map_names_values(tmp_path):
    pictures(tmp_path, "a.png")
    file = table(
        tmp_path, "a.png,1,2,11,12,0", "a.png,2,2,11,12,1", "a.png,3,2,11,12,17", header=HEADER.replace("label", "id")
    )
    names = write(tmp_path / "names.csv", "value,name\n0,round\n1,round\n*,other\n")
    labelled = read_examples(file, label_column="id", label_map=names)
    assert labelled.classes == ("other", "round")
    assert boxes(labelled) == {"a.png": [("round", 1, 2, 11, 12), ("round", 2, 2, 11, 12), ("other", 3, 2, 11, 12)]}
    names = write(tmp_path / "names.json", {"0": "round", "1": "angular", "17": "round"})
    assert read_examples(file, label_column="id", label_map=names).classes == ("angular", "round")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("value,name\n0,round\n", r"Line 3 of '.*boxes.csv' has the class '1', which '.*names.csv' does not name"),
        ("value,name\n0,round\n0,square\n", r"Line 3 of '.*names.csv' names '0' 'square', but above it is 'round'"),
        ("value,name\n0,\n", r"Line 2 of '.*names.csv' lacks a name"),
        ("value\n0\n", r"has one column"),
    ],
)
def test_a_label_map_that_does_not_fit(tmp_path, content, sentence):
    pictures(tmp_path, "a.png")
    file = table(tmp_path, "a.png,1,2,11,12,0", "a.png,2,2,11,12,1")
    names = write(tmp_path / "names.csv", content)
    with pytest.raises(DataError, match=sentence):
        read_examples(file, label_map=names)


def test_pictures_csv_lists_pictures_without_boxes_and_splits(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    file = table(tmp_path, "b.png,1,2,11,12,ship")
    write(tmp_path / "pictures.csv", "file,split,site\nc.png,val,north\nb.png,train,north\na.png,train,south\n")
    labelled = read_examples(file)
    assert splits(labelled) == {"a.png": "train", "b.png": "train", "c.png": "val"}
    assert boxes(labelled)["a.png"] == []
    assert [one.group for one in read_examples(file, group="site").examples] == ["south", "north", "north"]
    other = write(tmp_path / "other.csv", "file,split\na.png,val\n")
    assert "has boxes in 1 picture that" in failure(DataError, file, pictures=other)


def test_splits_of_the_file_and_of_folders(tmp_path):
    pictures(tmp_path, "train/a.png", "valid/b.png", "test/c.png")
    lines = [f"{name},1,2,11,12,ship" for name in ("train/a.png", "valid/b.png")]
    assert splits(read_examples(table(tmp_path, *lines))) == {"train/a.png": "train", "valid/b.png": "val"}
    labelled = read_examples(table(tmp_path, *lines, "test/c.png,1,2,11,12,ship"))
    assert splits(labelled) == {"train/a.png": "train", "valid/b.png": "val"}
    assert labelled.notes == ("Left out 1 picture of the test split; give its folder or file to use them.",)
    header = HEADER.replace("label", "label,split")
    file = table(tmp_path, f"{lines[0]},val", f"{lines[1]},train", header=header)
    assert splits(read_examples(file)) == {"train/a.png": "val", "valid/b.png": "train"}
    assert "in 'val', but a line above" in failure(
        DataError, table(tmp_path, f"{lines[0]},train", f"{lines[0]},val", header=header)
    )


def test_names_of_other_machines(tmp_path):
    pictures(tmp_path, "images/a 1.png", "b.png")
    file = table(tmp_path, r"C:\data\images\a 1.png,1,2,11,12,ship", "https://x.org/images/a%201.png,1,2,11,12,ship")
    assert "twice" in failure(DataError, file)
    assert list(boxes(read_examples(table(tmp_path, r"C:\data\images\a 1.png,1,2,11,12,ship")))) == ["images/a 1.png"]
    assert list(boxes(read_examples(table(tmp_path, "https://x.org/images/a%201.png,1,2,11,12,ship")))) == [
        "images/a 1.png"
    ]


def test_text_that_was_kept_from_spreadsheets(tmp_path):
    pictures(tmp_path, "=a.png", "'=b.png")
    file = table(tmp_path, "'=a.png,1,2,11,12,'=ship", "''=b.png,1,2,11,12,'+1")
    assert boxes(read_examples(file)) == {"=a.png": [("=ship", 1, 2, 11, 12)], "'=b.png": [("+1", 1, 2, 11, 12)]}


def test_boxes_are_clipped_and_left_out_with_a_word(tmp_path):
    pictures(tmp_path, "a.png")
    good = ["a.png,1,2,11,12,ship"] * 40
    bad = [
        "a.png,-5,2,11,99,ship",  # reaches beyond
        "a.png,-0.6,2,100.4,80.9,ship",  # rounded
        "a.png,11,2,1,12,ship",  # reversed
        "a.png,1,2,1,12,ship",  # no area
        "a.png,101,2,111,12,ship",  # outside
    ]
    labelled = read_examples(table(tmp_path, *good, *bad))
    assert boxes(labelled)["a.png"][40:] == [("ship", 0, 2, 11, 80), ("ship", 0, 2, 100, 80)]
    place = f"of {str(tmp_path / 'boxes.csv')!r}"
    assert labelled.notes == (
        f"1 of 45 boxes reach beyond their pictures and were clipped; the first: Line 42 {place} (-5, 2, 11, 99).",
        f"Line 44 {place} is left out: the box 11, 2, 1, 12 is reversed.",
        f"Line 45 {place} is left out: the box 1, 2, 1, 12 has no area.",
        f"Line 46 {place} is left out: the box 101, 2, 111, 12 lies outside {str(tmp_path / 'a.png')!r}, which is "
        "displayed at 100 x 80.",
    )
    sentence = failure(DataError, table(tmp_path, *good[:20], *bad))
    assert sentence.startswith("3 of 25 boxes have no area in their pictures, more than a tenth;")
    assert f"Line 24 {place} is left out" in sentence


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["a.png,1,2,nan,12,ship"], "Line 2 of '.*boxes.csv' is not a box: its sides are 1, 2, nan, 12"),
        (["a.png,1,2,inf,12,ship"], "Line 2 of '.*boxes.csv' is not a box"),
        (["a.png,1,2,wide,12,ship"], "Line 2 of '.*boxes.csv' has right 'wide', which is not a number"),
        (["a.png,1,2,,12,ship"], "Line 2 of '.*boxes.csv' is not a box: .* fill in all four, or none"),
        (["a.png,1,2,3,12,"], "Line 2 of '.*boxes.csv' has a box without a class"),
        ([",1,2,3,12,ship"], "Line 2 of '.*boxes.csv' names no picture"),
        (["a.png,,,,,"], "has 1 picture, but no boxes"),
        (["a.png,0.1,0.2,0.3,0.4,ship"], "lie between 0 and 1, as shares"),
        (["x.png,1,2,3,4,ship"], "No picture of '.*boxes.csv' is there: 'x.png', the first of 1, is not below"),
    ],
)
def test_lines_that_can_not_be_used(tmp_path, lines, sentence):
    pictures(tmp_path, "a.png")
    with pytest.raises(DataError, match=sentence):
        read_examples(table(tmp_path, *lines))


def test_a_name_that_several_pictures_have(tmp_path):
    pictures(tmp_path, "one/a.png", "two/a.png")
    assert "'a.png' could be each of" in failure(DataError, table(tmp_path, "a.png,1,2,11,12,ship"))


def test_classes_of_a_list(tmp_path):
    pictures(tmp_path, "a.png")
    file = table(tmp_path, "a.png,1,2,11,12,ship")
    names = write(tmp_path / "names.txt", "buoy\nship\n")
    assert read_examples(file, classes=names).classes == ("buoy", "ship")
    assert "Did you mean 'shop'" in failure(DataError, file, classes=write(tmp_path / "x.txt", "shop\n"))
    write(tmp_path / "classes.txt", "ship\nbuoy\n")
    labelled = read_examples(file)
    assert labelled.classes == ("ship",)
    assert labelled.notes == (f"Left out the class names 'buoy', of which {str(file)!r} has no box.",)


def test_options_that_do_not_fit(tmp_path):
    pictures(tmp_path, "a.png", "cat/b.png")
    file = table(tmp_path, "a.png,1,2,11,12,ship")
    assert "--multi-label is for labels" in failure(UsageError, file, multi_label=True)
    assert "no column 'lable'. Did you mean 'label'?" in failure(UsageError, file, label_column="lable")
    file.unlink()
    assert "--label-map and --pictures are for boxes" in failure(UsageError, tmp_path, label_map=file)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_frame_as_displayed(tmp_path, orientation):
    """A box that fits the displayed picture only stays; the size that the file gives must be that one."""
    pictures(tmp_path, "a.jpg", size=(100, 40), orientation=orientation)
    width, height = (100, 40) if orientation < 5 else (40, 100)
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    labelled = read_examples(table(tmp_path, f"a.jpg,{width},{height},ship,1,2,{width},{height}", header=header))
    assert boxes(labelled) == {"a.jpg": [("ship", 1, 2, width, height)]}
    sentence = failure(DataError, table(tmp_path, f"a.jpg,{height},{width},ship,1,2,11,12", header=header))
    assert f"displayed at {width} x {height}, turned by its EXIF orientation" in sentence


def test_a_single_class_can_be_split(tmp_path):
    names = [f"{index}.png" for index in range(10)]
    pictures(tmp_path, *names)
    labelled = read_examples(table(tmp_path, *(f"{name},1,2,11,12,ship" for name in names), "0.png,1,2,3,4,ship"))
    labelled = split_examples(labelled)
    assert len(labelled.of("val")) == 2
    assert count_classes(labelled, "train") + count_classes(labelled, "val") == [11]


SHARED = Path(os.environ.get("LOOKWHERE_SHARED", "/nowhere")) / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared photographs")
def test_boards_and_signs(tmp_path):
    boards = read_examples(SHARED / "boards/boxes.csv")
    assert Counter(one.split for one in boards.examples) == {"train": 700, "val": 300}
    assert sum(len(one.objects.boxes) for one in boards.examples) == 6873
    names = [f"{value},prohibitory" for value in (*range(6), *range(7, 11), 15, 16)]
    names += [f"{value},mandatory" for value in range(33, 41)]
    names += [f"{value},danger" for value in (11, *range(18, 32))]
    kinds = write(tmp_path / "kinds.csv", "\n".join(["class_id,kind", *names, "*,other", ""]))
    options = {"label_column": "class_id", "label_map": kinds, "pictures": SHARED / "signs/labels.csv"}
    signs = read_examples(SHARED / "signs/boxes.csv", **options)
    assert signs.classes == ("danger", "mandatory", "other", "prohibitory")
    assert Counter(one.split for one in signs.examples) == {"train": 235, "val": 79}
    assert sum(not one.classes for one in signs.examples) == 20
