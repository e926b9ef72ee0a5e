"""Regions of interest: the polygons of a GeoJSON file to which reading is limited."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.images.large.base import Coordinates, is_large
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.source import Source
from lookwhere_cli.windows.grid import WindowGrid

_DEGREES = ("CRS84", "EPSG::4326", "EPSG:4326")
"""Ends of the names of coordinate systems in degrees; GeoJSON without a name is in degrees, or in a slide's pixels."""


class RegionsOfInterest:
    """The polygons of a GeoJSON file, together.

    Raises UsageError for a file that can't be used, and without the package that compares polygons.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._shapely = require("shapely", "segment", "--roi")
        content = _read(path)
        self.crs = _crs_of(content)
        self.area: Any = self._joined(list(_polygons(content)))
        self._shapely.prepare(self.area)

    def check(self, source: Source) -> None:
        """Raise PictureError unless the polygons are in the coordinates of a picture."""
        coordinates: Coordinates = source.coordinates if is_large(source) else "pixels"
        name = in_message(getattr(source, "path", ""))
        if self.crs is not None and (coordinates == "pixels" or not self.crs.endswith(_DEGREES)):
            raise PictureError(
                f"The regions of {self.path!r} are in the coordinate system {self.crs}, those of {name} in "
                f"{coordinates}; convert the regions."
            )
        left, top, right, bottom = self.area.bounds
        if coordinates != "pixels" and (left < -180 or right > 180 or top < -90 or bottom > 90):
            raise PictureError(
                f"The regions of {self.path!r} reach from {left:.6g}, {top:.6g} to {right:.6g}, {bottom:.6g}, which "
                f"are not degrees; {name} lies in longitude and latitude (RFC 7946), so convert the regions."
            )

    def touch(self, corners: NDArray[np.float64]) -> Bool[ndarray, " windows"]:
        """Return which of some quadrilaterals (windows, 4, 2) share an area with the regions."""
        windows = self._shapely.polygons(corners)
        touching: NDArray[np.bool_] = self._shapely.intersects(self.area, windows)
        touching[touching] = ~self._shapely.touches(self.area, windows[touching])
        return touching

    def _joined(self, polygons: list[dict[str, Any]]) -> Any:
        if not polygons:
            raise UsageError(f"The file of regions {self.path!r} has no polygons; draw some, or leave --roi out.")
        try:
            made = [self._shapely.from_geojson(json.dumps(polygon)) for polygon in polygons]
        except (self._shapely.errors.ShapelyError, ValueError, TypeError) as error:
            raise UsageError(f"The file of regions {self.path!r} has a polygon that is none: {error}.") from error
        return self._shapely.union_all(self._shapely.make_valid(np.array(made, dtype=object)))


def touched(source: Source, grid: WindowGrid, roi: str | None) -> Bool[ndarray, " windows"]:
    """Return which windows touch the polygons of the file `roi`; all of them without a file.

    Raises UsageError for a file that can't be used, PictureError for polygons that are in other coordinates than the
    picture, or outside of it.
    """
    if roi is None:
        return np.ones(len(grid), np.bool_)
    regions = RegionsOfInterest(roi)
    regions.check(source)
    inside = np.concatenate([regions.touch(_placed(source, corners)) for corners in _corners(grid)])
    if not inside.any():
        name = in_message(getattr(source, "path", ""))
        raise PictureError(f"The regions of {roi!r} lie outside of {name}; use those that were drawn on it.")
    return inside


def _corners(grid: WindowGrid) -> Iterator[NDArray[np.float64]]:
    """Yield the corners (columns, 4, 2) of each row of windows, as x and y in full-resolution pixels."""
    height, width = grid.shape
    lefts = grid.lefts[:, None] + np.array([0, width, width, 0], np.float64)
    for top in grid.tops.tolist():
        downs = np.broadcast_to(top + np.array([0, 0, height, height], np.float64), lefts.shape)
        yield np.stack((lefts, downs), axis=-1)


def _placed(source: Source, corners: NDArray[np.float64]) -> NDArray[np.float64]:
    if not is_large(source):
        return corners
    return source.place(corners.reshape(-1, 2)).reshape(corners.shape)


def _read(path: str) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"The file of regions {path!r} can't be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise UsageError(f"The file of regions {path!r} is no GeoJSON: {error}.") from error


def _crs_of(content: Any) -> str | None:
    """Return the name of the coordinate system that older files have; None for those that follow RFC 7946."""
    crs = content.get("crs") if isinstance(content, dict) else None
    properties = crs.get("properties") if isinstance(crs, dict) else None
    return str(properties["name"]) if isinstance(properties, dict) and "name" in properties else None


def _polygons(content: Any) -> Iterator[dict[str, Any]]:
    """Yield the polygons of any GeoJSON object."""
    if isinstance(content, list):  # QuPath also writes a bare list of features
        for part in content:
            yield from _polygons(part)
    if not isinstance(content, dict):
        return
    if content.get("type") in ("Polygon", "MultiPolygon"):
        yield content
    for name in ("features", "geometries", "geometry"):
        yield from _polygons(content.get(name))
