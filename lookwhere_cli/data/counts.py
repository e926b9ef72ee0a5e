"""How often each class occurs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from lookwhere_cli.data.examples import Example, LabelledSet, Split
from lookwhere_cli.data.masks import IGNORED, load_mask
from lookwhere_cli.errors import PictureError


def count_classes(labelled: LabelledSet, split: Split) -> Int64[ndarray, " classes"]:
    """Return the number of the split's pictures that show each class; for masks, the number of pixels."""
    count = _count_pixels if labelled.kind == "masks" else _count_labels
    return count(labelled.of(split), len(labelled.classes))


def _count_labels(examples: Sequence[Example], class_count: int) -> Int64[ndarray, " classes"]:
    labels = [label for example in examples for label in example.classes]
    return np.bincount(np.array(labels, dtype=np.int64), minlength=class_count)


def _count_pixels(examples: Sequence[Example], class_count: int) -> Int64[ndarray, " classes"]:
    counts = np.zeros(class_count, dtype=np.int64)
    for example in examples:
        assert example.mask is not None
        with suppress(PictureError):  # it has gone since it was checked, and is skipped in training, too
            counts += np.bincount(load_mask(example.mask).ravel(), minlength=IGNORED + 1)[:class_count]
    return counts
