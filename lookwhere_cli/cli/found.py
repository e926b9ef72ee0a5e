"""What labelled data hold, said before they are used: pictures of each class in each split, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from lookwhere_cli.show.console import say

if TYPE_CHECKING:
    from lookwhere_cli.data.examples import LabelledSet

SHOWN = 20
"""Classes whose pictures are counted on the line."""


def say_found(labelled: LabelledSet, console: Console) -> None:
    """Print the pictures of each class, by split, and the notes about what was left out."""
    for note in labelled.notes:
        say(console, note)
    say(console, class_counts(labelled))


def class_counts(labelled: LabelledSet) -> str:
    """Return "Pictures (train/val): cat 8/2, dog 7/2."; classes of masks are named only, since all must be read."""
    splits = _splits(labelled)
    totals = [sum(example.split == split for example in labelled.examples) for split in splits]
    head = f"Pictures{_in_words(splits)}"
    if not any(example.classes for example in labelled.examples):
        names = _shortened(labelled.classes)
        return f"{head}: {_joined(totals)}; {'classes' if len(labelled.classes) > 1 else 'class'}: {names}."
    counts = [[0] * len(splits) for _ in labelled.classes]
    for example in labelled.examples:
        for index in example.classes:
            counts[index][splits.index(example.split)] += 1
    named = [f"{name} {_joined(numbers)}" for name, numbers in zip(labelled.classes, counts, strict=True)]
    return f"{head}: {_shortened(named)}."


def _splits(labelled: LabelledSet) -> list[str | None]:
    present = {example.split for example in labelled.examples}
    return [split for split in (None, "train", "val", "test") if split in present]


def _in_words(splits: Sequence[str | None]) -> str:
    return "" if list(splits) == [None] else f" ({'/'.join(split or 'no split' for split in splits)})"


def _joined(numbers: Sequence[int]) -> str:
    return "/".join(f"{number:,}" for number in numbers)


def _shortened(items: Sequence[str]) -> str:
    return ", ".join(items[:SHOWN]) + (f" and {len(items) - SHOWN:,} more" if len(items) > SHOWN else "")
