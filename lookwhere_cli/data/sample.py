"""A picture as a training example: pixels, and what is known of them."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor


class Sample(NamedTuple):
    """A picture, and what is known of its pixels. All parts have the picture's height and width."""

    picture: UInt8[Tensor, "3 height width"]
    mask: UInt8[Tensor, "height width"] | None = None
    """Class indices; 255 is left out of loss and measures."""
    boxes: Float[Tensor, "boxes 4"] | None = None
    """Where to look: left, top, right, bottom in the picture's pixels, the right and bottom edge excluded."""
    look: UInt8[Tensor, "height width"] | None = None
    """1 where to look, 0 where not, 255 where nobody knows."""
