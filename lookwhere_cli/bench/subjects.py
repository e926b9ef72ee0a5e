"""The subjects of `lookwhere bench`, by name, in the order in which they are measured."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module

from lookwhere_cli.bench.record import Record
from lookwhere_cli.bench.settings import Settings
from lookwhere_cli.errors import UsageError

SUBJECTS = {
    "start": "start",
    "model": "model",
    "published": "model",
    "weights": "weights",
    "folder": "folder",
    "memory": "memory",
}
"""Each with the module that measures it."""
NEED_PHOTOGRAPHS = {"start", "weights", "folder", "memory"}


def check(names: Sequence[str]) -> list[str]:
    """The names, each once, in the order of measuring. Raises UsageError for an unknown one, offering the near one."""
    for name in names:
        if name not in SUBJECTS:
            near = difflib.get_close_matches(name, SUBJECTS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "choose among these:"
            raise UsageError(f"There is no subject {name!r}; {hint} ({', '.join(SUBJECTS)})")
    return [name for name in SUBJECTS if name in names]


def subject(name: str) -> Callable[[Settings], Iterator[Record]]:
    """What measures the subject; its module, and torch with it, is imported only now."""
    measure: Callable[[Settings], Iterator[Record]] = getattr(
        import_module(f"lookwhere_cli.bench.{SUBJECTS[name]}"), name
    )
    return measure
