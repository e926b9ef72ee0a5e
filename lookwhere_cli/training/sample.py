"""A picture with what is known of its pixels, as tensors."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, UInt8
from torch import Tensor


class Sample(NamedTuple):
    """A picture with its mask and its regions, all of the same height and width."""

    picture: UInt8[Tensor, "3 height width"]
    mask: UInt8[Tensor, "height width"] | None = None
    """Class indices; pixels of 255 have no class."""
    boxes: Float[Tensor, "boxes 4"] | None = None
    """Regions worth reading: left, top, right, bottom in the picture's pixels, right and bottom edges excluded."""
    regions: UInt8[Tensor, "height width"] | None = None
    """Regions worth reading: 1 inside, 0 outside, 255 where that is unknown."""
    objects: Float[Tensor, "objects 4"] | None = None
    """Boxes of the objects to be found, in the same form as `boxes`."""
    kinds: Float[Tensor, "objects 2"] | None = None
    """Of each object: its class index, and 1 for a crowd."""
    rasters: Float[Tensor, "objects rows columns"] | None = None
    """Of each object: the share of each place in its box that belongs to it; NaN where that is unknown."""
