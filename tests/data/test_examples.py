"""Labelled sets: every layout gives the same kind of set, and contradictory data are refused."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from lookwhere_cli.data.class_list import read_class_list
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError, LookWhereError, UsageError


def touch(root: Path, *names: str) -> Path:
    """Create empty files with these names: reading a set opens no picture."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def table(root: Path, *lines: str) -> Path:
    (root / "labels.csv").write_text("".join(f"{line}\n" for line in lines))
    return root / "labels.csv"


def answers(labelled: LabelledSet) -> dict[str, list[str]]:
    return {labelled.name(one): [labelled.classes[index] for index in one.classes] for one in labelled.examples}


def sentence(kind: type[LookWhereError], data: Path, **options: object) -> str:
    with pytest.raises(kind) as raised:
        read_examples(data, **options)  # type: ignore[arg-type]
    return str(raised.value)


def test_a_folder_per_class(tmp_path: Path) -> None:
    touch(tmp_path, "size 10/a.jpg", "size 2/b10.jpg", "size 2/deep/c.png", "size 2/b9.jpg", "a/x.txt")
    touch(tmp_path, ".hidden.jpg", "notes.txt")
    labelled = read_examples(tmp_path)
    assert (labelled.kind, labelled.classes, labelled.root) == ("single", ("size 2", "size 10"), tmp_path)
    assert answers(labelled) == {
        "size 2/b9.jpg": ["size 2"],
        "size 2/b10.jpg": ["size 2"],
        "size 2/deep/c.png": ["size 2"],
        "size 10/a.jpg": ["size 10"],
    }
    assert list(answers(labelled)) == ["size 2/b9.jpg", "size 2/b10.jpg", "size 2/deep/c.png", "size 10/a.jpg"]
    assert {example.split for example in labelled.examples} == {None}
    assert Path(labelled.examples[0].path) == tmp_path / "size 2/b9.jpg"


def test_folders_inside_train_and_val_are_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/emu/3.jpg")
    labelled = read_examples(tmp_path)
    assert labelled.classes == ("cat", "dog", "emu")
    assert [labelled.name(one) for one in labelled.of("train")] == ["train/cat/1.jpg", "train/dog/1.jpg"]
    assert [labelled.name(one) for one in labelled.of("val")] == ["val/cat/2.jpg", "val/emu/3.jpg"]


@pytest.mark.parametrize(
    ("names", "beside"),
    [
        (["cat/1.jpg", "dog/1.jpg", "loose.jpg", "more.png"], "2 of 4, namely 'DATA/loose.jpg', 'DATA/more.png'."),
        (["train/cat/1.jpg", "val/cat/2.jpg", "val/3.jpg", "4.jpg"], "2 of 4, namely 'DATA/4.jpg', 'DATA/val/3.jpg'."),
    ],
)
def test_pictures_beside_class_folders_are_refused(tmp_path: Path, names: list[str], beside: str) -> None:
    message = sentence(DataError, touch(tmp_path, *names))
    assert beside.replace("DATA", str(tmp_path)) in message and "without a label" in message


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "boat/1.jpg")
    assert read_examples(tmp_path).classes == ("boat", "train")


def test_a_csv_in_the_folder_of_its_pictures_or_given_itself(tmp_path: Path) -> None:
    file = table(tmp_path, "Image, LABEL ,patient", "sub/10.jpg, b ,p1", "", '"sub/2, left.jpg",a,p2')
    for data in (tmp_path, file):
        labelled = read_examples(data, group="patient")
        assert answers(labelled) == {"sub/2, left.jpg": ["a"], "sub/10.jpg": ["b"]}
        assert [example.group for example in labelled.examples] == ["p2", "p1"]
        assert Path(labelled.examples[1].path) == tmp_path / "sub/10.jpg"


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbffile,label\r\na.jpg,Stra\xc3\x9fe\r\nb.jpg,Feld\r\n")
    assert read_examples(tmp_path).classes == ("Feld", "Straße")


def test_the_split_column_of_a_csv(tmp_path: Path) -> None:
    table(tmp_path, "file,split,label", "a.jpg,Train,x", "b.jpg,val,y")
    assert [example.split for example in read_examples(tmp_path).examples] == ["train", "val"]
    table(tmp_path, "file,split,label", "a.jpg,,x", "b.jpg,,y")
    assert [example.split for example in read_examples(tmp_path).examples] == [None, None]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (["car bus", "", " bus"], [["bus", "car"], [], ["bus"]]),
        (["red car; bus", "", "bus"], [["bus", "red car"], [], ["bus"]]),
        (["red car|bus|bus", "red car", ""], [["bus", "red car"], ["red car"], []]),
        (['"red car, bus,"', "none", "bus"], [["bus", "red car"], ["none"], ["bus"]]),
    ],
)
def test_several_labels_stand_in_one_field(tmp_path: Path, fields: list[str], expected: list[list[str]]) -> None:
    table(tmp_path, "file,kinds", *(f"{index}.jpg,{field}" for index, field in enumerate(fields)))
    labelled = read_examples(tmp_path, label_column="kinds", multi_label=True)
    assert labelled.kind == "multi"
    assert list(answers(labelled).values()) == expected
    assert all(list(one.classes) == sorted(set(one.classes)) for one in labelled.examples)


def test_a_class_list_sets_the_order(tmp_path: Path) -> None:
    touch(tmp_path, "cat/1.jpg", "dog/1.jpg")
    (tmp_path / "classes.txt").write_text("\ufeffdog\ncat\nemu\n\n")
    assert read_examples(tmp_path).classes == ("dog", "cat", "emu")
    other = tmp_path / "other"
    other.write_text("cat\nemu\ndog\n")
    assert read_examples(tmp_path, classes=other).classes == ("cat", "emu", "dog")
    other.write_text("cats\n")
    assert "'cat', which is not in the class list. Did you mean 'cats'?" in sentence(DataError, tmp_path, classes=other)


@pytest.mark.parametrize("folders", [("",), ("train/", "val/")])
def test_pictures_with_masks(tmp_path: Path, folders: Iterable[str]) -> None:
    for folder in folders:
        touch(tmp_path / folder, "images/a/1.jpg", "images/b.jpg", "masks/a/1.png", "masks/b.png", "masks/spare.png")
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    table(tmp_path, "file,label", "a.jpg,sky")  # masks come before a CSV, unless the CSV itself is given
    labelled = read_examples(tmp_path)
    assert (labelled.kind, labelled.classes) == ("masks", ("road", "sky"))
    assert [(labelled.name(one), Path(one.mask or "")) for one in labelled.examples] == [
        (f"{folder}images/{stem}.jpg", tmp_path / folder / f"masks/{stem}.png")
        for folder in folders
        for stem in ("a/1", "b")
    ]
    assert [one.split for one in labelled.examples] == [folder[:-1] or None for folder in folders for _ in range(2)]
    assert read_examples(tmp_path / "labels.csv").kind == "single"


@pytest.mark.parametrize(("group", "expected"), [("^[^_]+", "0001TP"), (r"_(\d+)", "006690"), ("6+", "66")])
def test_a_group_is_a_part_of_the_file_name(tmp_path: Path, group: str, expected: str) -> None:
    touch(tmp_path, "666_1/0001TP_006690.jpg")
    assert [example.group for example in read_examples(tmp_path, group=group).examples] == [expected]


def test_names_that_are_not_utf_8_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / os.fsdecode(b"\xff.jpg")).touch()
    labelled = read_examples(tmp_path)
    assert labelled.name(labelled.examples[0]) == "cat/\\udcff.jpg"


@pytest.mark.parametrize(
    ("lines", "options", "kind", "words"),
    [
        (["file,label", "a.jpg,"], {}, DataError, "Line 2 of {csv} has no label in its column 'label'"),
        (["file,label", "a.jpg,x", "a.jpg,y"], {}, DataError, "Line 3 of {csv} names 'a.jpg', as line 2 does"),
        (["file,label", ",x"], {}, DataError, "Line 2 of {csv} names no picture in its column 'file'"),
        (["picture,label", "a.jpg,x"], {}, DataError, "no column of pictures; name it file or path or image"),
        (
            ["file,kind", "a.jpg,x"],
            {},
            UsageError,
            "with --label-column. There are: 'file', 'kind'.",
        ),
        (["file,kind", "a.jpg,x"], {"label_column": "kinds"}, UsageError, "no column 'kinds'. Did you mean 'kind'?"),
        (["file,label", "a.jpg,x,y"], {}, DataError, "Line 2 of {csv} has 3 fields, but the first line names 2"),
        (["file,label"], {}, DataError, "has no rows"),
        (
            ["file,label,split", "a.jpg,x,dev"],
            {},
            DataError,
            "Line 2 of {csv} has the split 'dev'; names that work are",
        ),
        (["file,label,split", "a.jpg,x,val", "b.jpg,x,"], {}, DataError, "Line 3 of {csv} has the split ''"),
        (["file,label,who", "a.jpg,x,"], {"group": "who"}, DataError, "Line 2 of {csv} has no 'who'"),
        (["file,label", "a.jpg,x"], {"group": "whom"}, UsageError, "'whom' does not occur in the file name 'a.j"),
        (["file,label", "a.jpg,x"], {"group": "("}, UsageError, "'(' is not a regular expression"),
        (["file,label", "a.jpg,x"], {"classes": Path("no.txt")}, UsageError, "'no.txt' can't be read: No such file"),
    ],
)
def test_a_csv_that_cannot_be_used(
    tmp_path: Path, lines: list[str], options: dict[str, object], kind: type[LookWhereError], words: str
) -> None:
    file = table(tmp_path, *lines)
    assert words.format(csv=repr(str(file))) in sentence(kind, tmp_path, **options)


def test_a_csv_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"file,label\na.jpg,Stra\xdfe\n")
    assert "save it as UTF-8" in sentence(DataError, tmp_path)


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    assert "does not exist" in sentence(UsageError, tmp_path / "nowhere")
    touch(tmp_path, "loose.jpg")
    assert "has no labelled pictures; it can be a folder per class" in sentence(UsageError, tmp_path)
    for option in ({"multi_label": True}, {"label_column": "kinds"}):
        assert "need a CSV file" in sentence(UsageError, tmp_path, **option)


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    touch(tmp_path, "images/1.jpg", "images/2.jpg", "masks/1.png")
    assert "Masks need a class list" in sentence(UsageError, tmp_path)
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    message = sentence(DataError, tmp_path)
    assert "1 of 2 pictures have no mask of the same name" in message and "2.jpg" in message
    touch(tmp_path, "masks/2.png", "masks/2.tif")
    assert "are masks of the same picture" in sentence(DataError, tmp_path)
    (tmp_path / "classes.txt").write_text("".join(f"{index}\n" for index in range(256)))
    assert "Masks can have at most 255 classes, but the class list has 256" in sentence(DataError, tmp_path)


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"road\n\nsky\n", DataError, "Line 2 of the class list"),
        (b"road\nsky\nroad\n", DataError, "repeats 'road'"),
        (b"\n", DataError, "is empty"),
        (b"\xffr\n", DataError, "is not text in UTF-8"),
    ],
)
def test_a_faulty_class_list(tmp_path: Path, content: bytes, kind: type[LookWhereError], words: str) -> None:
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(kind, match=words):
        read_class_list(tmp_path / "classes.txt")
