"""Labels in the pixels of their picture: points and polygons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from lookwhere_cli.data.boxes.assemble import TOLERATED, listed
from lookwhere_cli.data.boxes.label_map import LabelMap
from lookwhere_cli.data.large.geojson import LabelFeature
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.base import LargeSource
from lookwhere_cli.text import counted

IGNORE = "Ignore*"
"""QuPath's class of places that do not count; the names of others below it end so, too."""
RECTANGULAR = 0.95
"""The least share of its bounds that a rectangle fills: one that was drawn on a map is turned a little in pixels."""
Ring = Float64[ndarray, "corners 2"]


@dataclass(frozen=True)
class DrawnShape:
    """A label that was drawn: a class, and points or polygons in full-resolution pixels.

    place: which feature of which file it is. polygons: each an outline and its holes.
    """

    place: str
    label: str
    points: Float64[ndarray, "n 2"]
    polygons: tuple[tuple[Ring, ...], ...]

    @property
    def is_ignored(self) -> bool:
        """True if what lies here is neither trained on nor counted."""
        return self.label.endswith(IGNORE)

    @property
    def bounds(self) -> Box:
        """Left, top, right, bottom."""
        corners = np.concatenate([self.points, *(rings[0] for rings in self.polygons)])
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return float(left), float(top), float(right), float(bottom)

    @property
    def is_rectangle(self) -> bool:
        """True for a single polygon of four corners that fills its bounds."""
        if len(self.polygons) != 1 or len(self.polygons[0]) != 1 or len(self.polygons[0][0]) != 4:
            return False
        left, top, right, bottom = self.bounds
        return ring_area(self.polygons[0][0]) >= RECTANGULAR * (right - left) * (bottom - top) > 0

    @property
    def area(self) -> float:
        """The area of its polygons, without their holes, in square pixels."""
        return sum(ring_area(rings[0]) - sum(map(ring_area, rings[1:])) for rings in self.polygons)


def ring_area(ring: Ring) -> float:
    """Return the area that a ring encloses."""
    x, y = (ring - ring[0]).T  # near the origin, where nothing is lost to rounding
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def shapes_in(
    source: LargeSource, features: Sequence[LabelFeature], label_map: LabelMap | None
) -> tuple[list[DrawnShape], list[str]]:
    """Return the features that lie in a picture, in its pixels, and sentences about those that do not.

    label_map: renames classes. Raises DataError if more than a tenth lie outside; on a map, if all do: a file of labels
    may well cover more than one raster.
    """
    shapes = _in_pixels(source, features)
    inside = [shape for shape in shapes if _is_inside(shape, source.size)]
    outside = [_outside(shape, source) for shape in shapes if not _is_inside(shape, source.size)]
    is_map = source.coordinates != "pixels"
    if outside and len(outside) > (len(shapes) - 1 if is_map else TOLERATED * len(shapes)):
        unit = "longitude and latitude" if is_map else "full-resolution pixels"
        raise DataError(
            f"{len(outside):,} of {counted(len(shapes), 'feature')} lie outside {source.path!r}; its labels are "
            f"in {unit}:",
            listed(outside),
        )
    if label_map is not None:
        inside = [_renamed(shape, label_map) for shape in inside]
    return inside, listed(outside)


def _renamed(shape: DrawnShape, label_map: LabelMap) -> DrawnShape:
    return DrawnShape(shape.place, label_map.label(shape.label, shape.place), shape.points, shape.polygons)


def _in_pixels(source: LargeSource, features: Sequence[LabelFeature]) -> list[DrawnShape]:
    """Return the features with their places in pixels, all of which are found at once."""
    if not features:
        return []
    _check_degrees(source, features)
    places = iter(_located(source, [ring for feature in features for ring in _rings(feature)]))
    shapes = []
    for feature in features:
        points = next(places)
        polygons = tuple(tuple(next(places) for _ in rings) for rings in feature.polygons)
        shapes.append(DrawnShape(feature.place, feature.label, points, polygons))
    return shapes


def _rings(feature: LabelFeature) -> Iterator[Ring]:
    """Yield the points of a feature, and then the corners of each ring."""
    yield feature.points
    for rings in feature.polygons:
        yield from rings


def _located(source: LargeSource, parts: Sequence[Ring]) -> list[Ring]:
    """Return the places of several arrays of coordinates, in pixels."""
    located = source.locate(np.concatenate(parts))
    return np.split(located, np.cumsum([len(part) for part in parts])[:-1])


def _check_degrees(source: LargeSource, features: Sequence[LabelFeature]) -> None:
    """Raise DataError for coordinates on a map that are no degrees: those of a projection that is not named."""
    if source.coordinates == "pixels":
        _check_pixels(source, features)
        return
    for feature in features:
        for ring in _rings(feature):
            wrong = (np.abs(ring) > (360, 90)).any(axis=1)
            if wrong.any():
                x, y = ring[wrong.argmax()]
                raise DataError(
                    f"{feature.place} has the coordinates {x:g}, {y:g}, which are no longitude and latitude; export "
                    "it as EPSG:4326."
                )


def _check_pixels(source: LargeSource, features: Sequence[LabelFeature]) -> None:
    """Raise DataError for degrees: a file that names them, or in which no polygon is as large as a pixel."""
    named = next((feature for feature in features if feature.names_degrees), None)
    outlines = [rings[0] for feature in features for rings in feature.polygons]
    if named is not None:
        why = f"{named.place} is in longitude and latitude, as its file says"
    elif outlines and all((np.ptp(outline, axis=0) < 1).all() for outline in outlines):
        why = f"{features[0].place} and all others are smaller than a pixel, as degrees are"
    else:
        return
    raise DataError(f"{why}, but {source.path!r} does not tell where it lies; its labels are full-resolution pixels.")


def _is_inside(shape: DrawnShape, size: tuple[int, int]) -> bool:
    left, top, right, bottom = shape.bounds
    return bool(np.isfinite(shape.bounds).all()) and right >= 0 and bottom >= 0 and left < size[1] and top < size[0]


def _outside(shape: DrawnShape, source: LargeSource) -> str:
    left, top, right, bottom = (round(edge) if np.isfinite(edge) else edge for edge in shape.bounds)
    return (
        f"{shape.place} lies outside {source.path!r}, which is {source.size[1]} x {source.size[0]} pixels: from "
        f"{left}, {top} to {right}, {bottom}."
    )
