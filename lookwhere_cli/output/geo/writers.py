"""Writers of GeoJSON: a polygon for each window, and the outlines of the classes in each window of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.output.geo.collection import Feature, FeatureStream, PlacedPictures
from lookwhere_cli.output.geo.features import ColourOf, share_properties, window_properties
from lookwhere_cli.output.geo.outlines import box_geometry, mask_geometry
from lookwhere_cli.output.geo.placement import Placement
from lookwhere_cli.output.masks.polygons import outlines, require_shapely
from lookwhere_cli.output.rows import Row
from lookwhere_cli.output.writers import RowWriter
from lookwhere_cli.text import printable

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom in full-resolution pixels."""


class WindowGeoJsonWriter(RowWriter):
    """A polygon for each window that was read, with its answer. QuPath reads them as tiles."""

    def __init__(self, stream: BinaryIO, colour: ColourOf | None = None) -> None:
        """colour: returns red, green and blue of a class by its index; without it, QuPath chooses them."""
        self._features, self._pictures, self._colour = FeatureStream(stream), PlacedPictures(), colour

    def write(self, row: Row, placement: Placement | None = None) -> None:
        """Write the feature of a window; rows of whole pictures, which have no `window`, only name them.

        placement: of the picture; by default, full-resolution pixels.
        """
        placement = placement or Placement.in_pixels(row.path, (row.height, row.width))
        if row.error is None or row.window is not None:
            self._pictures.add(placement)
        if row.window is not None:
            self._features.write([(window_properties(row, self._colour), box_geometry(row.window, placement))])

    def close(self) -> None:
        """Write the pictures and the extent of all windows."""
        self._features.close(self._pictures.members(), self._pictures.share_coordinates)


class MaskGeoJsonWriter:
    """The outlines of each class in each window; shapes that lie in several windows are cut at their edges."""

    def __init__(self, stream: BinaryIO, colour: ColourOf | None = None) -> None:
        """colour: see `WindowGeoJsonWriter`. Raises UsageError without shapely."""
        require_shapely()
        self._features, self._pictures, self._colour = FeatureStream(stream), PlacedPictures(), colour

    def write(self, row: Row, classes: UInt8[ndarray, "height width"], box: Box, placement: Placement) -> None:
        """Write the classes of a part of a window.

        row: the window's, with the shares of the classes that occur in the part. box: left, top, right, bottom of the
        part in full-resolution pixels.
        """
        self._pictures.add(placement)
        self._features.write(self._of_part(row, classes, box, placement))

    def close(self) -> None:
        """Write the pictures and the extent of all shapes."""
        self._features.close(self._pictures.members(), self._pictures.share_coordinates)

    def _of_part(
        self, row: Row, classes: UInt8[ndarray, "height width"], box: Box, placement: Placement
    ) -> Iterator[Feature]:
        place = {"path": printable(row.path), "window": row.window and list(row.window)}
        shapes = outlines(classes)
        for share in row.shares:
            shape = _in_picture(shapes[share.index], box, classes.shape)
            yield place | share_properties(share, self._colour), mask_geometry(shape, placement)


def _in_picture(shape: Any, box: Box, size: tuple[int, ...]) -> Any:
    """Move a shape from the pixels of a part's mask, of this (height, width), to those of the picture."""
    left, top, right, bottom = box
    scale = np.array(((right - left) / size[1], (bottom - top) / size[0]))
    return require_shapely().transform(shape, lambda points: points * scale + (left, top))
