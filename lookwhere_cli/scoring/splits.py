"""The split of a labelled set that a model is measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.splits import SPLIT_FILE, read_split
from lookwhere_cli.errors import DataError, UsageError

Part = Literal["train", "val", "test", "all"]


def select_split(
    labelled: LabelledSet, part: Part | None, split_file: Path | None, folder: Path
) -> tuple[LabelledSet, Part]:
    """Return the set with only the examples of a split, and the split's name.

    part: None stands for the validation pictures, else those for test, or all pictures if there are neither.
    split_file: how the set is split; None for the data's own split or, if they name no validation pictures, the one in
    the model's `folder` if the model was trained on these data.

    Raises UsageError for a split without examples, DataError for a split file that does not fit the data.
    """
    if split_file is not None:
        labelled = read_split(split_file, labelled)
    elif not labelled.of("val") and (folder / SPLIT_FILE).is_file():
        labelled = _split_if_it_fits(labelled, folder / SPLIT_FILE)
    part = part or _default_part(labelled)
    examples = labelled.examples if part == "all" else labelled.of(part)
    if not examples:
        raise UsageError(f"The data have no split {part!r}; give a split file with --split-file, or --split all.")
    return replace(labelled, examples=examples), part


def _default_part(labelled: LabelledSet) -> Part:
    if labelled.of("val"):
        return "val"
    return "test" if labelled.of("test") else "all"


def _split_if_it_fits(labelled: LabelledSet, file: Path) -> LabelledSet:
    """Split the set as the file says; return it unchanged if the file is about other pictures."""
    try:
        return read_split(file, labelled)
    except DataError:
        return labelled
