"""Pixels in which a raster has no data."""

from __future__ import annotations

from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.large.open import has_nodata
from lookwhere_cli.output.geo.mask_tiff import NODATA

UNKNOWN_NODATA = "which pixels have no data can't be read, so that they may have a class"
_HALF = 0.5
"""Share of a pixel that holds data, below which it has no class."""


def leave_out_nodata(source: object, box: Box, classes: UInt8[ndarray, "height width"]) -> None:
    """Set classes to NODATA where a raster has no data: a class of its background would be none of the picture's.

    classes: class indices of the part `box` of the source, at any resolution; changed in place. Raises
    PictureError, without a change, if that can't be read.
    """
    if has_nodata(source) and is_large(source):
        classes[source.content(box, *classes.shape) < _HALF] = NODATA
