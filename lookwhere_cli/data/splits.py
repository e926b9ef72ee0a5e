"""What is trained on and what is held back: a split that is given, made by a seed, or read back from a file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np

from lookwhere_cli.data.examples import Example, Labelled, Split
from lookwhere_cli.data.table import listed, offer, read_table
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.text import escape_formula, unescape_formula

SPLIT_FILE = "split.csv"
_ANY = -1
"""Stands beside an example's classes, so that the last example of all is kept for training as that of a class is."""


def divided(labelled: Labelled, *, val_share: float = 0.2, seed: int = 0, hold_out: Sequence[str] = ()) -> Labelled:
    """The set with a side for every example, none empty, groups whole, and every class among the training examples.

    hold_out: the groups that become val; all else is then for training, whatever split the data give. Otherwise a split
    that the data give is kept. Where there is none, or one of train alone, about `val_share` (between 0 and 1) of the
    examples become val, drawn by the seed and spread evenly over the classes (or the sets of labels).
    Raises UsageError for a share or a group that can't be, DataError for data that can't be divided so.
    """
    if not 0 < val_share < 1:
        raise UsageError(f"The share for validation is {val_share:g}; it must lie between 0 and 1, such as 0.2.")
    _refuse_one_class(labelled)
    given = {example.split for example in labelled.examples}
    examples: Sequence[Example]
    if hold_out:
        examples = _held_out(labelled.examples, hold_out)
    elif "val" in given:
        examples = _refuse_torn(labelled.examples)
    else:
        examples = _drawn(labelled.examples, val_share, seed)
    result = replace(labelled, examples=tuple(examples))
    _refuse_empty(result)
    return result


def write_split(folder: Path, labelled: Labelled) -> None:
    """Write `split.csv` into the folder: file (relative to the set's root), split, group. Raises OutputError."""
    text = StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("file", "split", "group"))
    writer.writerows(
        (escape_formula(labelled.name(one)), one.split, escape_formula(one.group or "")) for one in labelled.examples
    )
    with whole_file(folder / SPLIT_FILE) as stream, writing(folder / SPLIT_FILE):
        stream.write(text.getvalue().encode("utf-8", "backslashreplace"))


def read_split(file: Path, labelled: Labelled) -> Labelled:
    """The set divided as a file says that `write_split` wrote. What the file does not name is left out.

    Raises UsageError if it can't be read, DataError if it names a picture that the set lacks or is no such file.
    """
    rows = {unescape_formula(row.fields.get("file", "")): row for row in read_table(file).rows}
    known = {labelled.name(example): example for example in labelled.examples}
    if lost := [name for name in rows if name not in known]:
        raise DataError(
            f"{str(file)!r} names {len(lost)} pictures that are not in {str(labelled.root)!r}: {listed(lost)}."
        )
    sides: dict[str, Split] = {"train": "train", "val": "val"}
    examples = []
    for name, example in known.items():
        if name in rows:
            fields = rows[name].fields
            if fields.get("split") not in sides:
                raise DataError(f"Line {rows[name].line} of {str(file)!r} has no split; it must be train or val.")
            group = unescape_formula(fields.get("group", "")) or None
            examples.append(replace(example, split=sides[fields["split"]], group=group))
    return replace(labelled, examples=tuple(examples))


def _refuse_one_class(labelled: Labelled) -> None:
    """Nothing can be learnt from one answer. (Which classes masks hold is seen when they are read: see `sound`.)"""
    if labelled.kind == "masks":
        if len(labelled.classes) < 2:
            raise DataError(f"There is one class only, {labelled.classes[0]!r}; training needs two or more.")
        return
    answers = {example.classes for example in labelled.examples}
    if len(answers) == 1:
        names = [labelled.classes[index] for index in answers.pop()]
        raise DataError(
            f"All {len(labelled.examples)} pictures have the same label, {listed(names) or 'none'}; "
            "training needs two classes or more."
        )


def _held_out(examples: Sequence[Example], hold_out: Sequence[str]) -> list[Example]:
    groups = dict.fromkeys(example.group for example in examples if example.group is not None)
    for name in hold_out:
        if not groups:
            raise UsageError(
                f"{name!r} can't be held out: the pictures have no groups. Say with --group what they are."
            )
        if name not in groups:
            raise UsageError(f"There is no group {name!r} to hold out. {offer(name, groups)}")
    return [replace(example, split="val" if example.group in hold_out else "train") for example in examples]


def _refuse_torn(examples: Sequence[Example]) -> Sequence[Example]:
    sides: dict[str, Split | None] = {}
    for example in examples:
        if example.group is not None and sides.setdefault(example.group, example.split) != example.split:
            raise DataError(
                f"The group {example.group!r} lies on both sides of the split that the data give; leave --group out, "
                "or name the groups to hold out, and the split is made anew."
            )
    return examples


def _refuse_empty(labelled: Labelled) -> None:
    for split, name in (("train", "training"), ("val", "validation")):
        if not any(example.split == split for example in labelled.examples):
            raise DataError(
                f"There is no picture for {name} among the {len(labelled.examples)}; give more pictures, smaller "
                "groups, or another split."
            )
    if labelled.kind != "masks":
        learnt = {index for example in labelled.of("train") for index in example.classes}
        if missing := [name for index, name in enumerate(labelled.classes) if index not in learnt]:
            raise DataError(
                f"No training picture shows {listed(missing)}; give it some, or take the class out of the data."
            )


@dataclass(frozen=True)
class _Unit:
    """Examples (by index) that stay together, and how many of them show each class, and _ANY."""

    members: list[int]
    shown: Counter[int]
    stratum: tuple[int, ...]


def _drawn(examples: Sequence[Example], share: float, seed: int) -> list[Example]:
    """Walk through the units, like beside like, and give one to val whenever val is owed half of it or more.

    So val gets its share of every stratum to within one unit, strata too small for a picture of their own share one,
    and what can't be spared in one stratum (a class's last) is taken from the next.
    """
    units = _units(examples)
    order = np.random.default_rng(seed).permutation(len(units))
    # The great ones first: what they take too much or too little, the small ones after them make up for.
    units = sorted((units[index] for index in order), key=lambda unit: (unit.stratum, -len(unit.members)))
    left = Counter[int]()
    for unit in units:
        left += unit.shown
    chosen: set[int] = set()
    owed = 0.0
    for unit in units:
        owed += share * len(unit.members)
        if owed >= len(unit.members) / 2 and _spared(unit, left):
            owed -= len(unit.members)
            left -= unit.shown
            chosen.update(unit.members)
    chosen = chosen or _nearest(units, left, share * len(examples))
    return [replace(one, split="val" if index in chosen else "train") for index, one in enumerate(examples)]


def _units(examples: Sequence[Example]) -> list[_Unit]:
    """The groups, or each example by itself; a group's stratum is its examples' most frequent one."""
    members: dict[object, list[int]] = {}
    for index, example in enumerate(examples):
        members.setdefault(index if example.group is None else example.group, []).append(index)
    return [_unit(indices, [examples[index].classes for index in indices]) for indices in members.values()]


def _unit(members: list[int], classes: Sequence[tuple[int, ...]]) -> _Unit:
    shown = Counter(index for several in classes for index in (*several, _ANY))
    return _Unit(members, shown, Counter(classes).most_common(1)[0][0])


def _spared(unit: _Unit, left: Counter[int]) -> bool:
    """Whether every class that the unit shows is left with an example for training if the unit goes."""
    return all(left[index] > count for index, count in unit.shown.items())


def _nearest(units: Iterable[_Unit], left: Counter[int], wanted: float) -> set[int]:
    """The members of the one unit whose size comes nearest to what is wanted; none if none can be spared."""
    spare = [unit for unit in units if _spared(unit, left)]
    return set(min(spare, key=lambda unit: abs(len(unit.members) - wanted)).members) if spare else set()
