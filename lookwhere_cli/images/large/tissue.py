"""Which pixels of a slide are more than empty glass.

The rule: the glass has the median colour of the bright, nearly grey pixels of the overview. A pixel shows more than
glass if its difference from that colour is itself coloured by more than 12 levels (pale stains), or if one of its
channels is darker by more than 32 levels (ink, dust, dark stains). What is brighter, as padding is, shows nothing.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

_BRIGHT = 190
"""The darkest channel of glass has at least this level."""
_NEARLY_GREY = 24
"""Its channels differ by at most this many levels."""
_LEAST_SHARE = 0.02
"""Of the overview that must look so; else the slide has a dark background, or none."""
_COLOURED, _DARKER = 12, 32
"""Levels: noise and compression change empty glass by less than half of that."""


def background_colour(overview: UInt8[ndarray, "height width 3"]) -> tuple[int, int, int] | None:
    """Return the colour of the empty glass; None if hardly anything looks like glass."""
    pixels = overview.reshape(-1, 3)
    least, greatest = pixels.min(axis=1), pixels.max(axis=1)
    glass = pixels[(least >= _BRIGHT) & (greatest - least <= _NEARLY_GREY)]
    if len(glass) < _LEAST_SHARE * len(pixels):
        return None
    red, green, blue = (int(level) for level in np.median(glass, axis=0))
    return red, green, blue


def differs(
    colours: UInt8[ndarray, "height width 3"], background: tuple[int, int, int]
) -> Bool[ndarray, "height width"]:
    """Return which pixels show more than the background."""
    difference = colours.astype(np.int16) - np.array(background, np.int16)
    darkest, brightest = difference.min(axis=2), difference.max(axis=2)
    return np.asarray((brightest - darkest > _COLOURED) & (darkest < 0) | (darkest < -_DARKER))
