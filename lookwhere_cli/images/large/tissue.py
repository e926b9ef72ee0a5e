"""Which pixels of a slide are more than empty glass.

The rule: the glass has the median colour of the bright pixels of the overview; a pixel shows more than glass if one of
its channels differs from that colour by more than 16 levels.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

_BRIGHT = 190
"""The darkest channel of a bright pixel has at least this level."""
_LEAST_SHARE = 0.02
"""Of the overview that must be bright; else the slide has a dark background, or none."""
_DIFFERENCE = 16
"""Levels: noise and compression change empty glass by less than ten, the palest tissue is further away."""


def background_colour(overview: UInt8[ndarray, "height width 3"]) -> tuple[int, int, int] | None:
    """Return the colour of the empty glass; None if hardly anything is bright."""
    bright = overview[overview.min(axis=2) >= _BRIGHT]
    if len(bright) < _LEAST_SHARE * overview.shape[0] * overview.shape[1]:
        return None
    red, green, blue = (int(level) for level in np.median(bright, axis=0))
    return red, green, blue


def differs(
    colours: UInt8[ndarray, "height width 3"], background: tuple[int, int, int]
) -> Bool[ndarray, "height width"]:
    """Return which pixels show more than the background."""
    distance = np.abs(colours.astype(np.int16) - np.array(background, np.int16))
    return np.asarray(distance.max(axis=2) > _DIFFERENCE)
