"""Truths of pictures, made up."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.metrics.scores import Truth


def labelled(*labels: Sequence[int]) -> list[Truth]:
    """Pictures with these labels."""
    return [Truth(tuple(one), _no_mask) for one in labels]


def masked(*masks: NDArray[np.int64]) -> list[Truth]:
    """Pictures with these masks."""
    return [Truth((), lambda mask=mask: mask) for mask in masks]


def _no_mask() -> NDArray[np.int64]:
    raise AssertionError("a picture with labels has no mask")
