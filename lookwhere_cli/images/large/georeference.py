"""Where a raster lies: its pixels' size in metres, and longitude and latitude of places in it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from lookwhere_cli.images.large.base import Spacing

_EARTH_RADIUS = 6_371_008.8  # metres
WGS84 = "EPSG:4326"


class Georeference(NamedTuple):
    """How the pixels of a raster lie in a coordinate reference system.

    crs: rasterio's CRS. transform: the affine one, from (x, y) in pixels; None where gcps is used. gcps: ground control
    points.
    """

    crs: Any
    transform: Any
    gcps: Any = None

    def project(self, points: Float64[ndarray, "n 2"]) -> tuple[Float64[ndarray, " n"], Float64[ndarray, " n"]]:
        """Return x and y in the CRS of (x, y) in full-resolution pixels."""
        if self.transform is not None:
            one, (x, y) = self.transform, points.T
            return one.a * x + one.b * y + one.c, one.d * x + one.e * y + one.f
        from rasterio.transform import GCPTransformer

        with GCPTransformer(self.gcps) as transformer:
            x, y = transformer.xy(points[:, 1], points[:, 0], offset="ul")
        return np.asarray(x, np.float64), np.asarray(y, np.float64)

    def longitude_latitude(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return (longitude, latitude) in degrees of WGS 84; NaN where the projection has no point of the Earth."""
        from rasterio.warp import transform

        placed = np.array(transform(self.crs, WGS84, *self.project(points)), np.float64).T
        return np.where(np.isfinite(placed), placed, np.nan)

    def pixels(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return (x, y) in full-resolution pixels of (longitude, latitude) in degrees of WGS 84; NaN where none is."""
        from rasterio.transform import GCPTransformer
        from rasterio.warp import transform

        x, y = np.array(transform(WGS84, self.crs, *points.T), np.float64)
        if self.transform is not None:
            one = ~self.transform
            located = np.column_stack([one.a * x + one.b * y + one.c, one.d * x + one.e * y + one.f])
        else:
            with GCPTransformer(self.gcps) as transformer:
                rows, columns = transformer.rowcol(x, y, op=float)
            located = np.column_stack([columns, rows]).astype(np.float64)
        return np.where(np.isfinite(located), located, np.nan)

    def spacing(self, size: tuple[int, int]) -> Spacing | None:
        """Return the size of a pixel in metres.

        That is the CRS's unit for a projected one and, for degrees, the distance on a sphere at the centre.
        """
        if self.transform is not None and self.crs.is_projected:
            unit = self.crs.linear_units_factor[1]
            across, down = (math.hypot(*vector) * unit for vector in self.transform.column_vectors[:2])
        else:
            across, down = self._distances(size)
        return Spacing(across, down, "m") if 0 < across < math.inf and 0 < down < math.inf else None

    def _distances(self, size: tuple[int, int]) -> tuple[float, float]:
        y, x = size[0] / 2, size[1] / 2
        places = np.array([(x - 0.5, y), (x + 0.5, y), (x, y - 0.5), (x, y + 0.5)])
        left, right, top, bottom = np.radians(self.longitude_latitude(places))
        return _distance(left, right), _distance(top, bottom)


def georeference_of(dataset: Any) -> Georeference | None:
    """Return how a rasterio dataset lies on the Earth; None if it does not tell."""
    if dataset.crs is not None and not dataset.transform.is_identity:
        return Georeference(dataset.crs, dataset.transform)
    gcps, crs = dataset.gcps
    if gcps and crs is not None:
        return Georeference(crs, None, gcps)
    return None


def _distance(start: Float64[ndarray, 2], end: Float64[ndarray, 2]) -> float:
    """Return the distance on a sphere between two places (longitude, latitude) in radians."""
    (along, up), (along_end, up_end) = start, end
    half = np.sin((up_end - up) / 2) ** 2 + np.cos(up) * np.cos(up_end) * np.sin((along_end - along) / 2) ** 2
    return float(2 * _EARTH_RADIUS * np.arcsin(np.sqrt(half)))
