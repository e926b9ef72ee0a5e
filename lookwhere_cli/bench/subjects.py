"""The subjects of `lookwhere bench`, by name, in the order in which they are measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from lookwhere_cli.bench.measurement import Measurement
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.errors import UsageError
from lookwhere_cli.extras import check_extra, is_installed
from lookwhere_cli.text import near_names

SUBJECTS = {
    "start": "start",
    "model": "model",
    "published": "model",
    "boxes": "boxes",
    "weights": "weights",
    "folder": "folder",
    "memory": "memory",
    "export": "export",
    "jobs": "jobs",
    "large": "large",
}
"""The module that measures each subject."""
NEED_PHOTOGRAPHS = {"start", "weights", "folder", "memory", "export", "jobs", "large"}
EXTRAS_NEEDED = {"export": "export", "large": "geo"}
"""The extra without which a subject can't be measured."""
LONG = {"jobs", "large"}
"""Subjects that take half an hour or more; they are measured only if they are named."""


def default_subjects() -> list[str]:
    """Return the names of all subjects whose libraries are installed, but for the long ones."""
    usual = (name for name in SUBJECTS if name not in LONG)
    return [name for name in usual if name not in EXTRAS_NEEDED or is_installed(EXTRAS_NEEDED[name])]


def check_subjects(names: Sequence[str]) -> list[str]:
    """Return the names, each once, in the order of measuring.

    Raises UsageError for an unknown one, with a hint, and for one whose libraries are not installed.
    """
    for name in names:
        if name not in SUBJECTS:
            near = near_names(name, SUBJECTS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "choose from these:"
            raise UsageError(f"There is no subject {name!r}; {hint} ({', '.join(SUBJECTS)})")
        if name in EXTRAS_NEEDED:
            check_extra(EXTRAS_NEEDED[name], f"lookwhere bench {name}")
    return [name for name in SUBJECTS if name in names]


def measure_of(subject: str) -> Callable[[BenchSettings], Iterator[Measurement]]:
    """Return the function that measures a subject; its module, and torch with it, is imported only now."""
    measure: Callable[[BenchSettings], Iterator[Measurement]] = getattr(
        import_module(f"lookwhere_cli.bench.{SUBJECTS[subject]}"), subject
    )
    return measure
