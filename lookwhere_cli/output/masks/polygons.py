"""The exact outlines of what a mask shows: along the edges of its pixels, holes included."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.errors import UsageError


def shapely() -> ModuleType:
    """The library. Raises UsageError, which names what to install, where it is missing."""
    try:
        import shapely
    except ImportError as missing:
        raise UsageError(
            "--format geojson needs shapely, which is not installed; install it with: pip install 'lookwhere[segment]'."
        ) from missing
    return shapely


def outlines(classes: NDArray[np.uint8]) -> dict[int, Any]:
    """For each class that occurs in (height, width) indices, by index: a shapely MultiPolygon of its regions.

    Coordinates are x to the right and y down, in pixels, whole numbers; (0, 0) is the picture's top left corner, and
    the pixel in its first row and column covers 0..1 in both. Regions hang together along edges, not at corners.
    The polygons neither overlap nor leave gaps: together they cover the picture.
    """
    library = shapely()
    lines = library.linestrings(np.concatenate(list(_lines(classes))))
    regions = library.get_parts(library.polygonize(lines))
    inside = library.get_coordinates(library.point_on_surface(regions)).astype(np.intp)
    found = classes[inside[:, 1], inside[:, 0]]
    regions = library.orient_polygons(regions)
    return {int(index): library.multipolygons(regions[found == index]) for index in np.unique(found)}


def _lines(classes: NDArray[np.uint8]) -> Iterator[NDArray[np.intp]]:
    """Lines between pixels of different classes and around the picture, cut wherever lines of the two ways meet.

    Each is its two ends as (x, y), of shape (lines, 2, 2): first all that run across, then all that run down.
    """
    across, down = _borders(classes), _borders(classes.T)
    yield _cut(across, _touched(down.T))[..., ::-1]
    yield _cut(down, _touched(across.T))


def _borders(classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether a border runs above each pixel, and below those of the last row: (height + 1, width)."""
    borders = np.ones((len(classes) + 1, classes.shape[1]), np.bool_)
    np.not_equal(classes[1:], classes[:-1], out=borders[1:-1])
    return borders


def _touched(borders: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each corner of a pixel, (height + 1, width + 1), ends one of the upright borders (height, width + 1)."""
    touched = np.zeros((len(borders) + 1, borders.shape[1]), np.bool_)
    touched[1:] = borders
    touched[:-1] |= borders
    return touched


def _cut(borders: NDArray[np.bool_], touched: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Level borders (height + 1, width) as straight lines, (lines, 2, 2): the row and column of either end.

    No border ends but at another one: going around a corner, classes change twice or more, or not at all.
    """
    starts, stops = np.nonzero(borders & touched[:, :-1]), np.nonzero(borders & touched[:, 1:])
    ends = (np.stack(starts, axis=-1), np.stack((stops[0], stops[1] + 1), axis=-1))
    return np.stack(ends, axis=1)
