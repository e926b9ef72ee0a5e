"""Small masks of boxes, at the size of the picture."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray

from lookwhere_cli.output.masks.run_lengths import RunLengths, encode_part

THRESHOLD = 0.5
"""The least probability of a pixel that belongs to an object."""


def paste_masks(
    probabilities: Float[ndarray, "n rows columns"], boxes: Float32[ndarray, "n 4"], size: tuple[int, int]
) -> tuple[RunLengths, ...]:
    """Return the mask of each box as run lengths of the whole picture; memory is that of the largest box.

    probabilities: that a place in the box belongs to its object, 0..1. boxes: left, top, right, bottom in pixels of the
    picture. size: its height and width. Values between the places are interpolated. Raises UsageError without
    pycocotools.
    """
    return tuple(_paste(*pair, size) for pair in zip(probabilities, boxes.tolist(), strict=True))


def _paste(probabilities: Float[ndarray, "rows columns"], box: list[float], size: tuple[int, int]) -> RunLengths:
    left, top, right, bottom = box
    first_column, first_row = _first(left, size[1]), _first(top, size[0])
    columns = np.arange(first_column, _first(right, size[1])) + 0.5
    rows = np.arange(first_row, _first(bottom, size[0])) + 0.5
    values = _sampled(
        probabilities,
        _places(rows, top, bottom, probabilities.shape[0]),
        _places(columns, left, right, probabilities.shape[1]),
    )
    return encode_part(values >= THRESHOLD, first_column, first_row, size)


def _first(edge: float, most: int) -> int:
    """Return the first pixel whose centre is not before the edge."""
    return min(max(0, int(np.ceil(edge - 0.5))), most)


def _places(centres: Float[ndarray, " pixels"], start: float, stop: float, count: int) -> Float[ndarray, " pixels"]:
    """Return where pixels lie among `count` values between two edges, 0 at the centre of the first one."""
    return ((centres - start) / max(stop - start, 1e-6) * count - 0.5).clip(0, count - 1)


def _sampled(
    values: Float[ndarray, "rows columns"], rows: Float[ndarray, " height"], columns: Float[ndarray, " width"]
) -> Float[ndarray, "height width"]:
    """Interpolate values at rows and columns, bilinearly."""
    above, before = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    below, after = np.minimum(above + 1, len(values) - 1), np.minimum(before + 1, values.shape[1] - 1)
    down, across = (rows - above)[:, None], columns - before
    lines = values[above] * (1 - down) + values[below] * down
    found: Float[ndarray, "height width"] = lines[:, before] * (1 - across) + lines[:, after] * across
    return found
