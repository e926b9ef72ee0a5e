"""Resuming a run some of whose pictures are gone: its plan keeps them, so that it goes on as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lookwhere_cli.data.checks import TOLERATED
from lookwhere_cli.data.examples import Example, LabelledSet


def stored_examples(labelled: LabelledSet) -> list[list[Any]]:
    """Return a set's examples as plain values, for a checkpoint."""
    return [
        [one.path, list(one.classes), None if one.mask is None else str(one.mask), one.split, one.group]
        for one in labelled.examples
    ]


def restored_examples(labelled: LabelledSet, stored: Sequence[Sequence[Any]] | None) -> LabelledSet | None:
    """Return the set of the run that was stored, if it is this one but for up to a tenth of its pictures, now missing.

    None if nothing is missing, or more, or if anything else differs.
    """
    here = {example.path: example for example in labelled.examples}
    run = {one[0]: Example(one[0], tuple(one[1]), one[2], one[3], one[4]) for one in stored or ()}
    missing = run.keys() - here.keys()
    same = all(
        (one := run.get(example.path)) is not None and (one.classes, one.mask) == (example.classes, example.mask)
        for example in labelled.examples
    )
    if not missing or len(missing) > TOLERATED * len(run) or not same:
        return None
    note = f"The run goes on without {len(missing)} of its {len(run):,} pictures, which can't be read any more."
    # What the checkpoint does not hold of a picture, such as its boxes, is taken from the data.
    examples = (
        replace(here[path], split=one.split, group=one.group) if path in here else one for path, one in run.items()
    )
    return replace(labelled, examples=tuple(examples), notes=(*labelled.notes, note))


def restored_paths(paths: Sequence[Sequence[str]], stored: Sequence[Sequence[str]] | None) -> list[list[str]]:
    """Return the photographs of the run that was stored, folder by folder; those of a folder that differs as they are.

    A folder differs if it has other photographs, or lacks more than a tenth.
    """
    if stored is None or len(stored) != len(paths):
        return [list(folder) for folder in paths]
    return [
        list(before) if set(now) <= set(before) and len(before) - len(now) <= TOLERATED * len(before) else list(now)
        for now, before in zip(paths, stored, strict=True)
    ]
