"""A decoded frame as RGB pixels as they are displayed: upright, and square."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.images.orientation import Turn

_DISPLAY_MATRIX = "DISPLAYMATRIX"
_HDR = {16: "PQ", 18: "HLG"}
"""Transfer functions of films with a high dynamic range, by FFmpeg's number."""


def upright(picture: Any, reformatter: Any, stretch: Fraction) -> UInt8[ndarray, "height width 3"]:
    """Convert a frame to RGB 0..255, in the range and the colour space that the film names, and turn it.

    reformatter: a VideoReformatter that only this thread uses. stretch: width of a pixel by its height.
    """
    width = max(1, round(picture.width * stretch))
    rgb = reformatter.reformat(picture, width=width, format="rgb24", threads=1).to_ndarray()
    return np.ascontiguousarray(turn_of(picture).displayed(rgb))


def pixel_shape(stream: Any) -> Fraction:
    """Return the width of a pixel by its height: 1 for square ones, and where nothing is said."""
    ratio = stream.sample_aspect_ratio
    return Fraction(ratio) if ratio else Fraction(1)


def turn_of(picture: Any) -> Turn:
    """Return how a stored frame becomes the displayed one, to the nearest quarter turn."""
    data = picture.side_data.get(_DISPLAY_MATRIX)
    return Turn() if data is None else turn_by(struct.unpack("=9i", bytes(data)[:36]))


def turn_by(matrix: Sequence[int]) -> Turn:
    """Return the turn that a display matrix stands for: 9 numbers, of which 0, 1, 3 and 4 turn and flip."""
    right, down, right_of_row, down_of_row = matrix[0], matrix[1], matrix[3], matrix[4]
    if abs(right) >= abs(down):  # a stored column moves x, a stored row y
        return Turn(flips_rows=down_of_row < 0, flips_columns=right < 0)
    return Turn(flips_rows=right_of_row < 0, flips_columns=down < 0, swaps_axes=True)


def degrees(turn: Turn) -> int:
    """Return by how many degrees a turn rotates to the right: 0, 90, 180 or 270, flips left out."""
    if turn.swaps_axes:
        return 90 if turn.flips_rows else 270
    return 180 if turn.flips_rows else 0


def brightness_note(picture: Any) -> str | None:
    """Return a note for a film of high dynamic range, whose brightness is not reduced to that of a picture."""
    name = _HDR.get(int(picture.color_trc))
    return None if name is None else f"high dynamic range ({name}), shown flat"
