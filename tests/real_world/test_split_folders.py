"""Folders for training, validation and test as tools export them: never classes, never passed over silently."""

from __future__ import annotations

import csv
import os
import unicodedata
from pathlib import Path

import pytest

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import read_split, split_examples, write_split
from lookwhere_cli.errors import DataError, LookWhereError, UsageError
from lookwhere_cli.scoring.splits import select_split
from tests.data.labelled import coloured
from tests.data.test_examples import table, touch


def tree(root: Path, **counts: int) -> Path:
    """Folders of two classes inside each of these folders, with so many pictures each."""
    for folder, count in counts.items():
        touch(root, *(f"{folder}/{name}/{index}.jpg" for name in ("cat", "dog") for index in range(count)))
    return root


def splits(data: Path) -> dict[str | None, int]:
    examples = read_examples(data).examples
    return {split: sum(one.split == split for one in examples) for split in {one.split for one in examples}}


@pytest.mark.parametrize("train", ["train", "Train", "TRAINING", "training"])
@pytest.mark.parametrize("val", ["valid", "validation", "Val", "VALIDATION"])
@pytest.mark.parametrize("test", ["test", "testing", "Testing"])
def test_all_usual_names_are_splits(tmp_path, train, val, test):
    labelled = read_examples(tree(tmp_path, **{train: 4, val: 2, test: 1}))
    assert labelled.classes == ("cat", "dog")
    assert splits(tmp_path) == {"train": 8, "val": 4, "test": 2}


@pytest.mark.parametrize("name", ["dev", "eval", "Holdout", "train2", "val_images", "test-set", "Trainset", "validate"])
def test_almost_a_splits_name_is_refused_with_those_that_work(tmp_path, name):
    tree(tmp_path, train=4, **{name: 2})
    with pytest.raises(DataError, match=f"{name}.*train or training; val, valid or validation; test or testing"):
        read_examples(tmp_path)


@pytest.mark.parametrize("name", ["test", "dev", "valid", "train", "training ground"])
def test_a_folder_that_holds_pictures_is_a_class(tmp_path, name):
    touch(tmp_path, f"{name}/1.jpg", "boat/1.jpg")
    assert set(read_examples(tmp_path).classes) == {name, "boat"}
    touch(tmp_path, f"{name}/near/2.jpg")  # at any depth
    assert set(read_examples(tmp_path).classes) == {name, "boat"}


def test_a_validation_folder_without_pictures_is_named_and_others_are_drawn(tmp_path):
    tree(tmp_path, train=10)
    for folder in ("val/cat", "train/empty", "__MACOSX/cat", ".cache/cat"):
        (tmp_path / folder).mkdir(parents=True)
    labelled = read_examples(tmp_path)
    assert labelled.notes == ("Without pictures, and left out: 'train/empty', 'val', 'val/cat'.",)
    assert len(split_examples(labelled).of("val")) == 4


def test_pictures_and_folders_beside_splits_are_refused_by_name(tmp_path):
    tree(tmp_path, train=4, valid=2)
    touch(tmp_path, "valid/stray.jpg")
    with pytest.raises(DataError, match=r"without a label.*stray\.jpg"):
        read_examples(tmp_path)
    (tmp_path / "valid/stray.jpg").unlink()
    touch(tmp_path, "dog/1.jpg")
    with pytest.raises(DataError, match=r"Beside the splits 'train', 'valid', .*dog' holds pictures that belong to no"):
        read_examples(tmp_path)


def test_two_folders_of_one_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="are both for val"):
        read_examples(tree(tmp_path, train=4, val=2, valid=2))


def test_test_pictures_are_never_trained_on_but_measured(tmp_path):
    labelled = read_examples(tree(tmp_path / "data", train=10, testing=3))
    split = split_examples(labelled)
    assert {one.split for one in split.examples} == {"train", "val"} and len(split.examples) == 20
    assert any("6 pictures for test" in note for note in split.notes)
    write_split(tmp_path, split)
    with (tmp_path / "split.csv").open() as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"train", "val"}
    measured, part = select_split(labelled, "test", None, tmp_path)
    assert part == "test" and {Path(one.path).parts[-3] for one in measured.examples} == {"testing"}
    validation, part = select_split(labelled, None, None, tmp_path)  # the model's own, not its training pictures
    assert part == "val" and validation.examples == split.of("val")
    assert len(read_split(tmp_path / "split.csv", labelled).of("test")) == 6
    assert select_split(labelled, None, None, tmp_path / "none")[1] == "test"


def test_the_split_column_knows_the_same_names(tmp_path):
    table(tmp_path, "file,label,split", "a.jpg,x,Training", "b.jpg,y,VALID", "c.jpg,x,testing")
    assert [one.split for one in read_examples(tmp_path).examples] == ["train", "val", "test"]


@pytest.mark.parametrize("layout", ["{split}/{kind}", "{kind}/{split}"])
def test_masks_have_the_same_splits_above_or_inside(tmp_path, layout):
    for split in ("Train", "valid", "test"):
        for kind, ending in (("images", "jpg"), ("masks", "png")):
            touch(tmp_path, f"{layout.format(split=split, kind=kind)}/1.{ending}")
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    assert splits(tmp_path) == {"train": 1, "val": 1, "test": 1}
    strange = layout.format(split="dev", kind="images")
    touch(tmp_path, f"{strange}/2.jpg", f"{layout.format(split='dev', kind='masks')}/2.png")
    with pytest.raises(DataError, match=r"(ames that work|none of those that work)"):
        read_examples(tmp_path)


def test_a_class_is_the_same_in_either_unicode_form(tmp_path):
    for split, form in (("train", "NFC"), ("val", "NFD")):
        touch(tmp_path, *(f"{split}/{unicodedata.normalize(form, name)}/1.jpg" for name in ("café", "thé")))
    assert read_examples(tmp_path).classes == ("café", "thé")


@pytest.mark.parametrize("names", [("train", "train/train")])
def test_a_wrapping_folder_is_no_data(tmp_path, names):
    tree(tmp_path / "set", **{names[0]: 3})
    with pytest.raises(LookWhereError):
        split_examples(read_examples(tmp_path))


@pytest.mark.slow
def test_train_and_evaluate_say_what_they_found(lookwhere, model_folder, tmp_path):
    labelled = coloured(tmp_path / "made")
    for number, example in enumerate(labelled.examples):
        split = ("training", "Valid", "test")[0 if number < 15 else 1 + number % 2]
        place = tmp_path / "data" / split / labelled.classes[example.classes[0]]
        place.mkdir(parents=True, exist_ok=True)
        Path(example.path).rename(place / Path(example.path).name)
    (tmp_path / "data/training/empty").mkdir()
    fast = ("--epochs", 1, "--batch-size", 6, "--device", "cpu", "--dtype", "float32", "--workers", 0, "-k", "4-12")
    ran = lookwhere("train", tmp_path / "data", "--out", tmp_path / "out", *fast)
    assert ran.code == 0, ran.err
    assert "Pictures (train/val): blue 5/" in ran.err and "left out: 'training/empty'" in ran.err
    assert "Left out 5 pictures for test" in ran.err or "Left out 4 pictures for test" in ran.err
    assert "test" not in (tmp_path / "out/split.csv").read_text()
    ran = lookwhere("evaluate", tmp_path / "data", "--model", tmp_path / "out", "--split", "test", "--no-time")
    assert ran.code == 0 and "Pictures (train/val/test): blue 5/" in ran.err and "the split test" in ran.out


@pytest.mark.parametrize("layout", ["{name}/{split}/1.jpg", "{name}/{split}/inner/1.jpg"])
def test_splits_inside_class_folders_are_refused(tmp_path, layout):
    touch(tmp_path, *(layout.format(name=name, split=split) for name in ("cat", "dog") for split in ("Train", "test")))
    with pytest.raises(DataError, match=r"cat' holds the splits 'Train', 'test', but splits belong at the top"):
        read_examples(tmp_path)


def test_what_is_passed_over_in_class_folders_is_told(tmp_path):
    touch(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "train/dog/2.NEF", "val/cat/1.jpg", "val/dog/1.dcm")
    assert read_examples(tmp_path).notes == (
        "In 'train': Passed over: 1 camera RAW file (name them to have their previews read).",
        "In 'val': Passed over: 1 DICOM file.",
        "Without pictures, and left out: 'val/dog'.",
    )


def test_class_folders_of_nothing_else_say_what_was_passed_over(tmp_path):
    touch(tmp_path, "cat/1.NEF", "dog/1.CR3")
    with pytest.raises(LookWhereError, match=r"no labelled pictures.* Passed over: 2 camera RAW files"):
        read_examples(tmp_path)


def test_pictures_passed_over_beside_masks_are_told(tmp_path):
    touch(tmp_path, "images/1.jpg", "images/2.NEF", "masks/1.png")
    (tmp_path / "classes.txt").write_text("road\nsky\n")
    assert read_examples(tmp_path).notes[0].startswith("Passed over: 1 camera RAW file")


def test_a_split_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    tree(tmp_path, train=2, val=1)
    listdir = os.listdir

    def refuse(folder):
        if Path(folder).name == "val":
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(UsageError, match=r"val' can't be read: Permission denied"):
        read_examples(tmp_path)
