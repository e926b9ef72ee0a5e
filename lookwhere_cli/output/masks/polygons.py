"""The exact outlines of the classes in a mask, along the edges of its pixels, with holes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8

from lookwhere_cli.extras import require


def require_shapely() -> Any:
    """Return the module `shapely`. Raises UsageError, which names the extra to install, if it is missing."""
    return require("shapely", "segment", "--format geojson")


def outlines(classes: UInt8[np.ndarray, "height width"]) -> dict[int, Any]:
    """Return a shapely MultiPolygon for each class that occurs, by class index.

    Coordinates are whole pixels, x to the right and y down; (0, 0) is the picture's top left corner, and its first
    pixel covers 0..1 in both. Pixels belong to one region if they share an edge; a corner is not enough. The polygons
    do not overlap, and together they cover the picture.
    """
    shapely = require_shapely()
    lines = shapely.linestrings(np.concatenate(list(_lines(classes))))
    regions = shapely.get_parts(shapely.polygonize(lines))
    inside = shapely.get_coordinates(shapely.point_on_surface(regions)).astype(np.intp)
    indices = classes[inside[:, 1], inside[:, 0]]
    regions = shapely.orient_polygons(regions)
    return {int(index): shapely.multipolygons(regions[indices == index]) for index in np.unique(indices)}


def _lines(classes: UInt8[np.ndarray, "height width"]) -> Iterator[Int[np.ndarray, "lines 2 2"]]:
    """Yield the lines between pixels of different classes and around the picture, as pairs of (x, y): all horizontal
    ones, then all vertical ones, cut at every point where the two kinds meet.
    """
    horizontal, vertical = _borders(classes), _borders(classes.T)
    yield _cut(horizontal, _touched(vertical.T))[..., ::-1]
    yield _cut(vertical, _touched(horizontal.T))


def _borders(classes: UInt8[np.ndarray, "height width"]) -> Bool[np.ndarray, "height+1 width"]:
    """Mark each edge above a pixel, and below the last row, that separates classes or bounds the picture."""
    borders = np.ones((len(classes) + 1, classes.shape[1]), np.bool_)
    np.not_equal(classes[1:], classes[:-1], out=borders[1:-1])
    return borders


def _touched(borders: Bool[np.ndarray, "height edges"]) -> Bool[np.ndarray, "height+1 edges"]:
    """Mark each corner of a pixel that is the end of a vertical border."""
    touched = np.zeros((len(borders) + 1, borders.shape[1]), np.bool_)
    touched[1:] = borders
    touched[:-1] |= borders
    return touched


def _cut(
    borders: Bool[np.ndarray, "edges width"], touched: Bool[np.ndarray, "edges width+1"]
) -> Int[np.ndarray, "lines 2 2"]:
    """Join horizontal borders to straight lines between touched corners: (row, column) of both ends.

    A border always ends at a vertical one, because around a corner the class changes twice or more, or not at all.
    """
    starts, stops = np.nonzero(borders & touched[:, :-1]), np.nonzero(borders & touched[:, 1:])
    ends = (np.stack(starts, axis=-1), np.stack((stops[0], stops[1] + 1), axis=-1))
    return np.stack(ends, axis=1)
