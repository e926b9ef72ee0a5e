"""The classes of a large picture at the size of its overview."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.output.geo.mask_tiff import NODATA
from lookwhere_cli.windows.masks import MaskPart, nearest


class MaskOverview:
    """Class indices, or NODATA where nothing was read, of (height, width) pixels that cover all of a picture.

    full: the picture's (height, width).
    """

    def __init__(self, full: tuple[int, int], size: tuple[int, int]) -> None:
        self.classes: UInt8[ndarray, "height width"] = np.full(size, NODATA, np.uint8)
        self._down, self._across = full[0] / size[0], full[1] / size[1]

    def add(self, part: MaskPart) -> None:
        """Add a part: each pixel gets the class at its centre."""
        if part.classes is None:
            return
        left, top, right, bottom = part.box
        first, last = (math.ceil(edge / self._down - 0.5) for edge in (top, bottom))
        start, stop = (math.ceil(edge / self._across - 0.5) for edge in (left, right))
        rows = nearest(first, last, self._down, top, bottom, part.classes.shape[0])
        columns = nearest(start, stop, self._across, left, right, part.classes.shape[1])
        self.classes[first:last, start:stop] = part.classes[rows[:, None], columns]
