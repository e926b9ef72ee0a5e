"""The model's label for each class of a labelled set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from lookwhere_cli.data.wording import list_names
from lookwhere_cli.encodings import composed
from lookwhere_cli.errors import DataError
from lookwhere_cli.text import near_names


def match_classes(classes: Sequence[str], labels: Sequence[str]) -> Int[ndarray, " classes"]:
    """Return the index of the model's label for each class.

    Names match without regard to case, and with _ for a space. If no class is a label but all of them are numbers,
    they are the labels' indices. Raises DataError, which offers similar labels, for a class that the model lacks.
    """
    index_of = {_simplified(label): index for index, label in enumerate(labels)}
    names = [_simplified(name) for name in classes]
    if not any(name in index_of for name in names) and all(name.isdecimal() for name in names):
        index_of |= {str(index): index for index in range(len(labels))}
    for name, original in zip(names, classes, strict=True):
        if name not in index_of:
            raise DataError(f"The model has no class {original!r}. {_suggest_label(name, index_of, labels)}")
    return np.array([index_of[name] for name in names], dtype=np.int64)


def _simplified(name: str) -> str:
    return " ".join(composed(name).replace("_", " ").casefold().split())


def _suggest_label(name: str, index_of: dict[str, int], labels: Sequence[str]) -> str:
    near = [labels[index_of[one]] for one in near_names(name, index_of)]
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    return f"It has {list_names(labels, most=5)}."
