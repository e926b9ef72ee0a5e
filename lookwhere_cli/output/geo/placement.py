"""Where GeoJSON puts the pixels of a picture: where they are, or on the Earth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # --help imports this module, and no NumPy
    from jaxtyping import Float64
    from numpy import ndarray

Points: TypeAlias = "Float64[ndarray, 'n 2']"
"""(x, y), or (longitude, latitude)."""


@dataclass(frozen=True)
class Placement:
    """How one picture's coordinates are written.

    path: of the picture, any text. size: (height, width) at full resolution. place: from (x, y) in full-resolution
    pixels to what is written. is_earth: True if that is (longitude, latitude) in degrees of WGS 84, False for pixels.
    """

    path: str
    size: tuple[int, int]
    place: Callable[[Points], Points]
    is_earth: bool

    @classmethod
    def in_pixels(cls, path: str, size: tuple[int, int]) -> Placement:
        """Write full-resolution pixels, x to the right and y down."""
        return cls(path, size, lambda points: points, is_earth=False)

    @property
    def decimals(self) -> int:
        """The digits behind the point that are written: hundredths of a pixel, about a millimetre on the Earth."""
        return 8 if self.is_earth else 2
