"""The subjects of `lookwhere bench`, by name, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from lookwhere_cli.bench.measurement import Measurement
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.errors import UsageError
from lookwhere_cli.text import near_names

SUBJECTS = {
    "start": "start",
    "model": "model",
    "published": "model",
    "weights": "weights",
    "folder": "folder",
    "memory": "memory",
    "jobs": "jobs",
}
"""The module that measures each subject."""
USUAL = tuple(name for name in SUBJECTS if name != "jobs")
"""What is measured if nothing is named; jobs take half an hour."""
NEED_PHOTOGRAPHS = {"start", "weights", "folder", "memory", "jobs"}


def check_subjects(names: Sequence[str]) -> list[str]:
    """Return the names, each once, in the order of measuring. Raises UsageError for an unknown one, with a hint."""
    for name in names:
        if name not in SUBJECTS:
            near = near_names(name, SUBJECTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "choose from these:"
            raise UsageError(f"There is no subject {name!r}; {hint} ({', '.join(SUBJECTS)})")
    return [name for name in SUBJECTS if name in names]


def measure_of(subject: str) -> Callable[[BenchSettings], Iterator[Measurement]]:
    """Return the function that measures a subject; its module, and torch with it, is imported only now."""
    measure: Callable[[BenchSettings], Iterator[Measurement]] = getattr(
        import_module(f"lookwhere_cli.bench.{SUBJECTS[subject]}"), subject
    )
    return measure
