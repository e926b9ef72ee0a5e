"""Writers of GeoJSON: a polygon for each window, and the outlines of the classes in each window of a mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

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

    def write(self, row: Row, classes: UInt8[ndarray, "height width"], placement: Placement) -> None:
        """Write the classes of a window, which `row` tells: its place, and the shares of the classes that occur."""
        self._pictures.add(placement)
        self._features.write(self._of_window(row, classes, placement))

    def close(self) -> None:
        """Write the pictures and the extent of all shapes."""
        self._features.close(self._pictures.members(), self._pictures.share_coordinates)

    def _of_window(self, row: Row, classes: UInt8[ndarray, "height width"], placement: Placement) -> Iterator[Feature]:
        assert row.window is not None
        place = {"path": printable(row.path), "window": list(row.window)}
        shapes = _in_picture(outlines(classes), row.window, classes.shape)
        for share in row.shares:
            yield place | share_properties(share, self._colour), mask_geometry(shapes[share.index], placement)


def _in_picture(
    shapes: dict[int, Any], window: tuple[float, float, float, float], shape: tuple[int, ...]
) -> dict[int, Any]:
    """Move shapes from the pixels of a window's mask to those of the picture at full resolution."""
    shapely = require_shapely()
    left, top, right, bottom = window
    scale = np.array(((right - left) / shape[1], (bottom - top) / shape[0]))
    return {index: shapely.transform(one, lambda points: points * scale + (left, top)) for index, one in shapes.items()}
