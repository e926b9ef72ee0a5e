"""Bilinear resizing of maps to a grid. Imports no torch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray

from lookwhere_cli.models.chosen import Grid


class _Pairs(NamedTuple):
    """Along one axis: the two positions around each new one, and the weight of the second."""

    lower: Int64[ndarray, " wanted"]
    upper: Int64[ndarray, " wanted"]
    weight: Float32[ndarray, " wanted"]


def resize_bilinear(
    maps: Float32[ndarray, "batch rows columns channels"], grid: Grid
) -> Float32[ndarray, "batch wanted_rows wanted_columns channels"]:
    """Resize maps to `grid`.

    The values are those of F.interpolate(mode="bilinear", align_corners=False, antialias=False) to float32's precision.
    """
    down, across = _pairs(maps.shape[1], grid[0]), _pairs(maps.shape[2], grid[1])
    tall = _blend(maps[:, down.lower], maps[:, down.upper], down.weight[:, None, None])
    return _blend(tall[:, :, across.lower], tall[:, :, across.upper], across.weight[:, None])


def _blend(
    first: Float32[ndarray, "batch rows columns channels"],
    second: Float32[ndarray, "batch rows columns channels"],
    weight: Float32[ndarray, "*axes"],
) -> Float32[ndarray, "batch rows columns channels"]:
    return first * (1 - weight) + second * weight


def _pairs(count: int, wanted: int) -> _Pairs:
    """Return the pairs of `wanted` positions among `count`; centres are half a position from the edges."""
    centres = ((np.arange(wanted) + 0.5) * count / wanted - 0.5).clip(0, count - 1)
    lower = centres.astype(np.int64)
    return _Pairs(lower, np.minimum(lower + 1, count - 1), (centres - lower).astype(np.float32))
