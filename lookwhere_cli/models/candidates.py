"""The numbers of a candidate, as a detection model returns them for each point. Imports no torch.

Lengths are in cells of the picture's grid, from its upper left corner: x in columns, y in rows.
"""

from __future__ import annotations

from typing import Any, TypeVar

A = TypeVar("A", bound=Any)

BOX = slice(0, 4)
"""Left, top, right and bottom of the candidate's box."""
POINT = slice(4, 6)
"""The x and y of the point that predicts it."""
CLASSES = slice(6, None)
"""A score for each class, before the sigmoid."""
MASK_PLACES = 4
"""Places along each side of a cell, each of which has values of its own for the masks of objects."""
MASK_SIDE = 28
"""Rows and columns of a mask in its box, before it is resized to the picture."""
MASK_TERMS = 6
"""Terms of a place in its box that a mask is made of beside these values: 1, x, y, x squared, y squared, x times y."""


def split_numbers(output: A, labels: int) -> tuple[A, A]:
    """Return the numbers above, and those of masks; an array of either kind, (..., numbers).

    The numbers of masks are empty for a model without them. Else they are a factor for each channel and for each of
    MASK_TERMS, then the channels' values at the places next to the point, row by row, the channels last.
    """
    end = CLASSES.start + labels
    return output[..., :end], output[..., end:]
