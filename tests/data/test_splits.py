"""Splits keep groups together, spread classes evenly, depend on the seed alone, and can be read back from a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.data.examples import Example, Kind, LabelledSet
from lookwhere_cli.data.splits import read_split, split_examples, write_split
from lookwhere_cli.errors import DataError, LookWhereError, UsageError

ROOT = Path("set")


def labelled(
    answers: Sequence[tuple[int, ...]], groups: Sequence[str | None] = (), kind: Kind = "single"
) -> LabelledSet:
    """A set with these classes, example by example, and these groups."""
    groups = groups or [None] * len(answers)
    examples = tuple(
        Example(str(ROOT / f"{index}.jpg"), classes, group=group)
        for index, (classes, group) in enumerate(zip(answers, groups, strict=True))
    )
    count = max((max(classes, default=0) for classes in answers), default=0) + 1
    return LabelledSet(kind, tuple(f"class {index}" for index in range(max(2, count))), examples, ROOT)


def with_splits(data: LabelledSet, *splits: str) -> LabelledSet:
    examples = (replace(one, split=split) for one, split in zip(data.examples, splits, strict=True))
    return replace(data, examples=tuple(examples))


def sentence(kind: type[LookWhereError], data: LabelledSet, **options: object) -> str:
    with pytest.raises(kind) as raised:
        split_examples(data, **options)  # type: ignore[arg-type]
    return str(raised.value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=2, max_size=12), st.floats(0.05, 0.5), st.integers(0, 99))
def test_val_gets_its_share_of_every_class(sizes: list[int], share: float, seed: int) -> None:
    data = labelled([(index,) for index, size in enumerate(sizes) for _ in range(size)])
    result = split_examples(data, val_share=share, seed=seed)
    assert [replace(one, split=None) for one in result.examples] == list(data.examples)
    val = Counter(one.classes[0] for one in result.of("val"))
    assert all(abs(val[index] - share * size) <= 1 + 1e-6 for index, size in enumerate(sizes))
    assert abs(val.total() - share * sum(sizes)) <= 0.5 + 1e-6 or val.total() == 1
    assert all(val[index] < size for index, size in enumerate(sizes))
    assert result == split_examples(data, val_share=share, seed=seed)


def test_another_seed_draws_another_split() -> None:
    data = labelled([(index % 2,) for index in range(40)])
    assert len({frozenset(one.path for one in split_examples(data, seed=seed).of("val")) for seed in range(5)}) == 5


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), min_size=12, max_size=60),
    st.floats(0.05, 0.9),
    st.integers(0, 99),
)
def test_groups_stay_together_and_all_classes_are_trained(
    drawn: list[tuple[int, int]], share: float, seed: int
) -> None:
    answers = [(0,), (1,), (2,), *((answer,) for answer, _ in drawn)]
    groups = ["alone 0", "alone 1", "alone 2", *(str(group) for _, group in drawn)]
    data = labelled(answers, groups)
    try:
        result = split_examples(data, val_share=share, seed=seed)
    except DataError as error:  # no group can be spared
        assert "No picture is left for validation" in str(error)
        rest = [{answers[i] for i in range(len(answers)) if groups[i] != group} for group in set(groups)]
        assert all(len(classes) < 3 for classes in rest)
        return
    groups_of = {split: {one.group for one in result.of(split)} for split in ("train", "val")}
    assert groups_of["train"] and groups_of["val"] and not groups_of["train"] & groups_of["val"]
    assert {one.classes for one in result.of("train")} == {(0,), (1,), (2,)}


def test_of_few_large_groups_the_nearest_in_size_is_chosen() -> None:
    sizes = {"a": 62, "b": 101, "c": 305}
    groups = [name for name, size in sizes.items() for _ in range(size)]
    data = labelled([()] * len(groups), groups, "masks")
    for seed in range(5):
        assert {one.group for one in split_examples(data, seed=seed).of("val")} <= {"a", "b"}
    two = labelled([()] * 10, ["a"] * 9 + ["b"], "masks")
    assert {one.group for one in split_examples(two, val_share=0.01).of("val")} == {"b"}


def test_small_groups_even_out_a_large_one() -> None:
    data = labelled([()] * 100, ["large"] * 50 + [None] * 50, "masks")
    assert [len(split_examples(data, seed=seed).of("val")) for seed in range(30)] == [20] * 30


def test_combinations_of_labels_are_spread_evenly() -> None:
    kinds: list[tuple[int, ...]] = [(), (0,), (0, 1), (1, 2)]
    data = labelled([kinds[index % 4] for index in range(200)], kind="multi")
    assert Counter(one.classes for one in split_examples(data).of("val")) == dict.fromkeys(kinds, 10)


def test_the_only_example_of_a_class_is_trained_on() -> None:
    data = labelled([(0,)] * 20 + [(1,), (2,), (3,)])
    for seed in range(10):
        val = split_examples(data, val_share=0.5, seed=seed).of("val")
        assert 9 <= len(val) <= 12 and {one.classes for one in val} == {(0,)}


def test_the_split_of_the_data_is_kept() -> None:
    data = with_splits(labelled([(0,), (1,), (0,)]), "train", "train", "val")
    assert split_examples(data, val_share=0.9, seed=3) == data


def test_val_is_drawn_if_the_data_give_only_train() -> None:
    data = with_splits(labelled([(0,), (1,)] * 5), *["train"] * 10)
    assert len(split_examples(data).of("val")) == 2


def test_groups_that_are_held_out_replace_the_split_of_the_data() -> None:
    data = with_splits(labelled([(0,), (1,), (0,), (1,)], ["a", "a", "b", "c"]), "train", "val", "train", "val")
    assert [one.split for one in split_examples(data, hold_out=["b", "c"]).examples] == ["train", "train", "val", "val"]


@pytest.mark.parametrize("share", [0, 1, -0.5, 20, float("nan")])
def test_an_impossible_share(share: float) -> None:
    assert "must be above 0 and below 1" in sentence(UsageError, labelled([(0,), (1,)]), val_share=share)


@pytest.mark.parametrize(
    ("data", "options", "kind", "words"),
    [
        (labelled([(1,)] * 5), {}, DataError, "All 5 pictures have the same label, 'class 1'"),
        (labelled([()] * 5, kind="multi"), {}, DataError, "All 5 pictures have the same label, none"),
        (
            with_splits(labelled([(0,), (1,)]), "val", "val"),
            {},
            DataError,
            "No picture is left for training among",
        ),
        (labelled([(0,), (1,)]), {}, DataError, "No picture is left for validation among the 2"),
        (with_splits(labelled([(0,), (1,)]), "train", "val"), {}, DataError, "No training picture shows 'class 1'"),
        (labelled([(0,), (1,)], ["a", "b"]), {"hold_out": ["a", "b"]}, DataError, "No picture is left for training"),
        (labelled([(0,), (1,)], ["a", "b"]), {"hold_out": ["a"]}, DataError, "No training picture shows 'class 0'"),
        (labelled([(0,), (1,)]), {"hold_out": ["a"]}, UsageError, "'a' can't be held out: the pictures have no groups"),
        (
            labelled([(0,), (1,)], ["drive 1", "drive 2"]),
            {"hold_out": ["drive 3"]},
            UsageError,
            "There is no group 'drive 3' to hold out. Did you mean 'drive 1' or 'drive 2'?",
        ),
        (
            with_splits(labelled([(0,), (1,), (0,)], ["a", "b", "a"]), "train", "train", "val"),
            {},
            DataError,
            "own split divides the group 'a'; leave --group out",
        ),
    ],
)
def test_a_set_that_cannot_be_split(
    data: LabelledSet, options: dict[str, object], kind: type[LookWhereError], words: str
) -> None:
    assert words in sentence(kind, data, **options)


def test_masks_of_one_class() -> None:
    data = replace(labelled([()] * 5, kind="masks"), classes=("road",))
    assert "There is only one class, 'road'" in sentence(DataError, data)


NAMES = ("a.jpg", "sub/b, c.jpg", ' "q".jpg ', "line\r\nend\r.jpg", "\udcff.jpg", "-a.jpg", "'=b.jpg", "'c'.jpg")


def test_a_split_is_read_back_from_its_file(tmp_path: Path) -> None:
    examples = tuple(
        Example(str(tmp_path / name), (index % 2,), group=f"={index}" if index else None)
        for index, name in enumerate(NAMES)
    )
    data = LabelledSet("single", ("x", "y"), examples, tmp_path)
    result = split_examples(data, val_share=0.4)
    write_split(tmp_path, result)
    assert (tmp_path / "split.csv").read_bytes().startswith(b"file,split,group\r\na.jpg,")
    groupless = replace(data, examples=tuple(replace(one, group=None) for one in examples))
    assert read_split(tmp_path / "split.csv", groupless) == result


def test_no_cell_of_a_split_file_is_a_formula_and_older_files_can_be_read(tmp_path: Path) -> None:
    examples = tuple(Example(str(tmp_path / name), (index,), group="+g") for index, name in enumerate(("-a", "=b")))
    data = LabelledSet("single", ("x", "y"), tuple(replace(one, split="train") for one in examples), tmp_path)
    write_split(tmp_path, data)
    assert (tmp_path / "split.csv").read_text().splitlines()[1:] == ["'-a,train,'+g", "'=b,train,'+g"]
    (tmp_path / "split.csv").write_text("file,split,group\n-a,train,+g\n=b,train,+g\n")
    assert read_split(tmp_path / "split.csv", data) == data


def test_examples_that_a_split_file_does_not_name_are_left_out(tmp_path: Path) -> None:
    data = split_examples(labelled([(0,), (1,)] * 5))
    write_split(tmp_path, replace(data, examples=data.examples[1:]))
    assert read_split(tmp_path / "split.csv", data).examples == data.examples[1:]
    with pytest.raises(DataError, match=r"names 1 picture not in 'set': '9\.jpg'"):
        read_split(tmp_path / "split.csv", replace(data, examples=data.examples[:-1]))


def test_a_faulty_split_file(tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("file,split,group\n0.jpg,train,\n1.jpg,,\n")
    with pytest.raises(DataError, match=r"Line 3 of .* has no split"):
        read_split(tmp_path / "split.csv", labelled([(0,), (1,)]))
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read_split(tmp_path / "none.csv", labelled([(0,), (1,)]))
