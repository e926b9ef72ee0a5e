"""The split that is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lookwhere_cli.data.splits import split_examples, write_split
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.scoring.splits import select_split
from tests.evaluation.models import single_labels


def test_data_without_a_split_are_measured_whole(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data")
    assert select_split(labelled, None, None, tmp_path) == (labelled, "all")
    with pytest.raises(UsageError, match="no split 'val'"):
        select_split(labelled, "val", None, tmp_path)


def test_the_model_knows_the_split_of_its_own_data(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data")
    split = split_examples(labelled, val_share=0.34)
    (tmp_path / "model").mkdir()
    write_split(tmp_path / "model", split)
    validation, part = select_split(labelled, None, None, tmp_path / "model")
    assert (part, validation.examples) == ("val", split.of("val"))
    training, part = select_split(labelled, "train", None, tmp_path / "model")
    assert (part, training.examples) == ("train", split.of("train"))
    assert select_split(labelled, "all", None, tmp_path / "model") == (split, "all")
    other = single_labels(tmp_path / "other")
    other = replace(other, examples=other.examples[:1])
    assert select_split(other, None, None, tmp_path / "model") == (other, "all")


def test_the_datas_own_split_comes_before_the_models_and_a_file_before_both(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data")
    split = split_examples(labelled, val_share=0.34)
    (tmp_path / "model").mkdir()
    write_split(tmp_path / "model", split)
    own = replace(labelled, examples=tuple(replace(example, split="val") for example in labelled.examples))
    assert select_split(own, None, None, tmp_path / "model") == (own, "val")
    assert select_split(own, None, tmp_path / "model" / "split.csv", tmp_path)[0].examples == split.of("val")
    (tmp_path / "split.csv").write_text("file,split\nother.png,val\n")
    with pytest.raises(DataError):
        select_split(labelled, None, tmp_path / "split.csv", tmp_path / "model")
