"""Which examples are trained on and which validate: as the data say, drawn from a seed, or read from a file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path

from lookwhere_cli.data.draw import draw_validation
from lookwhere_cli.data.examples import Example, LabelledSet, Split
from lookwhere_cli.data.table import read_table
from lookwhere_cli.data.wording import list_names, suggest
from lookwhere_cli.encodings import composed, encode_text
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import counted, escape_formula, unescape_formula

SPLIT_FILE = "split.csv"


def split_examples(
    labelled: LabelledSet, *, val_share: float = 0.2, seed: int = 0, hold_out: Sequence[str] = ()
) -> LabelledSet:
    """Return the set for training, all examples with a split: none empty, groups intact, every class trained on.

    Examples that the data give to test are left out.

    A split that the data give is kept. If they give none, or only train, about `val_share` of the examples (between 0
    and 1) are drawn for val, spread evenly over the classes, or over the combinations of labels.
    hold_out: groups that become val, with everything else in train, whatever the data say.
    Raises UsageError for an impossible share or an unknown group, DataError for a set that can't be split this way.
    """
    if not 0 < val_share < 1:
        raise UsageError(f"The share for validation is {val_share:g}; it must be above 0 and below 1, such as 0.2.")
    labelled = without_test(labelled)
    _check_classes(labelled)
    if hold_out:
        examples = _hold_out(labelled.examples, hold_out)
    elif any(example.split == "val" for example in labelled.examples):
        check_groups_intact(labelled.examples)
        examples = list(labelled.examples)
    else:
        chosen = draw_validation(labelled.examples, val_share, seed)
        examples = [
            replace(example, split="val" if index in chosen else "train")
            for index, example in enumerate(labelled.examples)
        ]
    result = replace(labelled, examples=tuple(examples))
    _check_coverage(result)
    return result


def without_test(labelled: LabelledSet) -> LabelledSet:
    """Return the set without the pictures for test, which are never trained on. Raises DataError if none remains."""
    remaining = tuple(one for one in labelled.examples if one.split != "test")
    if len(remaining) == len(labelled.examples):
        return labelled
    if not remaining:
        raise DataError(f"{str(labelled.root)!r} has pictures for test only; training needs others.")
    tests = counted(len(labelled.examples) - len(remaining), "picture")
    note = f"Left out {tests} for test; lookwhere evaluate --split test measures them."
    return replace(labelled, examples=remaining, notes=(*labelled.notes, note))


def write_split(folder: Path, labelled: LabelledSet) -> None:
    """Write `split.csv` to the folder: file (relative to the set's root), split, group. Raises OutputError."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("file", "split", "group"))
    writer.writerows(
        (escape_formula(labelled.name(one)), one.split, escape_formula(one.group or "")) for one in labelled.examples
    )
    with whole_file(folder / SPLIT_FILE) as stream, writing(folder / SPLIT_FILE):
        stream.write(encode_text(text.getvalue()))


def read_split(file: Path, labelled: LabelledSet) -> LabelledSet:
    """Return the set with the splits and groups of a file by `write_split`.

    Of the examples that it does not name, only those stay that the data give to test.

    Raises UsageError if the file can't be read, DataError if it is not such a file or names pictures that are not in
    the set.
    """
    rows = {composed(unescape_formula(row.fields.get("file", ""))): row for row in read_table(file).rows}
    by_name = {composed(labelled.name(example)): example for example in labelled.examples}
    if unknown := [name for name in rows if name not in by_name]:
        raise DataError(
            f"{str(file)!r} names {counted(len(unknown), 'picture')} not in {str(labelled.root)!r}: "
            f"{list_names(unknown)}."
        )
    splits: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}
    examples = []
    for name, example in by_name.items():
        if name in rows:
            fields = rows[name].fields
            if fields.get("split") not in splits:
                raise DataError(f"Line {rows[name].line} of {str(file)!r} has no split; it must be train or val.")
            group = unescape_formula(fields.get("group", "")) or None
            examples.append(replace(example, split=splits[fields["split"]], group=group))
        elif example.split == "test":
            examples.append(example)
    return replace(labelled, examples=tuple(examples))


def check_groups_intact(examples: Sequence[Example]) -> None:
    """Raise DataError if the examples of a group are in different splits."""
    splits: dict[str, Split | None] = {}
    for example in examples:
        if example.group is not None and splits.setdefault(example.group, example.split) != example.split:
            raise DataError(
                f"The data's own split divides the group {example.group!r}; leave --group out, or name the groups for "
                "validation with --hold-out, which replaces that split."
            )


def _check_classes(labelled: LabelledSet) -> None:
    """Raise DataError if all answers are the same. (The classes that masks show are known after `drop_unusable`.)"""
    if labelled.kind == "masks":
        if len(labelled.classes) < 2:
            raise DataError(f"There is only one class, {labelled.classes[0]!r}; training needs at least two.")
        return
    if labelled.kind == "boxes":  # where a thing is, is worth knowing of a single class
        return
    answers = {example.classes for example in labelled.examples}
    if len(answers) == 1:
        names = [labelled.classes[index] for index in answers.pop()]
        raise DataError(
            f"All {len(labelled.examples)} pictures have the same label, {list_names(names) or 'none'}; "
            "training needs at least two classes."
        )


def _hold_out(examples: Sequence[Example], hold_out: Sequence[str]) -> list[Example]:
    groups = dict.fromkeys(example.group for example in examples if example.group is not None)
    for name in hold_out:
        if not groups:
            raise UsageError(f"{name!r} can't be held out: the pictures have no groups; define them with --group.")
        if name not in groups:
            raise UsageError(f"There is no group {name!r} to hold out. {suggest(name, groups)}")
    return [replace(example, split="val" if example.group in hold_out else "train") for example in examples]


def _check_coverage(labelled: LabelledSet) -> None:
    """Raise DataError if a split is empty or a class has no training example."""
    for split, name in (("train", "training"), ("val", "validation")):
        if not any(example.split == split for example in labelled.examples):
            raise DataError(
                f"No picture is left for {name} among the {len(labelled.examples)}; add pictures, make the groups "
                "smaller, or change the split."
            )
    if labelled.kind != "masks":
        trained = {index for example in labelled.of("train") for index in example.classes}
        if missing := [name for index, name in enumerate(labelled.classes) if index not in trained]:
            raise DataError(
                f"No training picture shows {list_names(missing)}; add some, or remove the class from the data."
            )
