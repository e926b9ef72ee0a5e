"""Which of a model's labels each of the data's classes is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from lookwhere_cli.errors import DataError


def matched(classes: Sequence[str], labels: Sequence[str]) -> Int[ndarray, " classes"]:
    """The index of the label that each class names.

    By the name, without regard to case, and with _ for a space; or, where no class is a label but all are numbers,
    by the label's index. Raises DataError for a class that the model does not have, offering the near ones.
    """
    known = {_plain(label): index for index, label in enumerate(labels)}
    plain = [_plain(name) for name in classes]
    if not any(name in known for name in plain) and all(name.isdecimal() for name in plain):
        known |= {str(index): index for index in range(len(labels))}
    for name, given in zip(plain, classes, strict=True):
        if name not in known:
            raise DataError(f"The model has no class {given!r}. {_offer(name, known, labels)}")
    return np.array([known[name] for name in plain], dtype=np.int64)


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").casefold().split())


def _offer(name: str, known: dict[str, int], labels: Sequence[str]) -> str:
    near = [labels[known[one]] for one in difflib.get_close_matches(name, known, n=3)]
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    more = f" and {len(labels) - 5} more" if len(labels) > 5 else ""
    return f"It has {', '.join(map(repr, labels[:5]))}{more}."
