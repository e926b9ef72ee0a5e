"""EXIF orientations as flips and swaps of axes, for pixels, sizes and boxes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Shaped
from numpy import ndarray

from lookwhere_cli.images.frame import Box


@dataclass(frozen=True)
class Turn:
    """How a stored picture becomes the displayed one: rows and columns are flipped, then the axes are swapped."""

    flips_rows: bool = False
    flips_columns: bool = False
    swaps_axes: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Convert (height, width) from stored to displayed, or back."""
        return (width, height) if self.swaps_axes else (height, width)

    def displayed_box(self, box: Box, height: float, width: float) -> Box:
        """Convert a box of a stored height x width picture to the displayed picture."""
        left, top, right, bottom = self._flipped(box, height, width)
        return (top, left, bottom, right) if self.swaps_axes else (left, top, right, bottom)

    def stored_box(self, box: Box, height: float, width: float) -> Box:
        """Convert a box of the displayed picture to the stored height x width picture."""
        left, top, right, bottom = box
        return self._flipped((top, left, bottom, right) if self.swaps_axes else box, height, width)

    def stored_view(self, displayed: Shaped[ndarray, "..."]) -> Shaped[ndarray, "..."]:
        """Return a view of displayed pixels (height, width, ...) whose rows and columns are in the stored order."""
        stored = np.swapaxes(displayed, 0, 1) if self.swaps_axes else displayed
        return stored[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]

    def displayed(self, stored: Shaped[ndarray, "..."]) -> Shaped[ndarray, "..."]:
        """Return a view of stored pixels (height, width, ...) as they are displayed."""
        flipped = stored[:: -1 if self.flips_rows else 1, :: -1 if self.flips_columns else 1]
        return np.swapaxes(flipped, 0, 1) if self.swaps_axes else flipped

    def _flipped(self, box: Box, height: float, width: float) -> Box:
        left, top, right, bottom = box
        if self.flips_columns:
            left, right = width - right, width - left
        if self.flips_rows:
            top, bottom = height - bottom, height - top
        return left, top, right, bottom


TURNS = {
    1: Turn(),
    2: Turn(flips_columns=True),
    3: Turn(flips_rows=True, flips_columns=True),
    4: Turn(flips_rows=True),
    5: Turn(swaps_axes=True),
    6: Turn(flips_rows=True, swaps_axes=True),
    7: Turn(flips_rows=True, flips_columns=True, swaps_axes=True),
    8: Turn(flips_columns=True, swaps_axes=True),
}
"""The turn of each EXIF orientation."""
