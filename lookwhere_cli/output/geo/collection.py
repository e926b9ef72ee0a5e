"""A FeatureCollection that is written feature by feature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, TypeAlias

from lookwhere_cli.output.geo.placement import Placement
from lookwhere_cli.text import printable

Geometry: TypeAlias = dict[str, Any] | None
Feature: TypeAlias = tuple[dict[str, Any], Geometry]
"""Properties and geometry; None for one that lies nowhere on the Earth."""
_END = b"\n]}\n"


class FeatureStream:
    """Writes features to a binary stream, which stays open.

    What a file holds after each call is a complete collection: its end is written each time, and the next features
    replace it. So a side file that a killed process leaves can be read as it is. On a pipe the end comes last.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._end = stream.tell() if _can_rewrite(stream) else None
        self._separator = b"\n"
        self._extent: list[float] | None = None
        self._add(b'{"type": "FeatureCollection", "features": [')

    def write(self, features: Iterable[Feature]) -> None:
        """Write features."""
        content = []
        for properties, geometry in features:
            self._extend(_outer_points(geometry))
            feature = {"type": "Feature", "properties": properties, "geometry": geometry}
            content += [self._separator, to_json(feature).encode()]
            self._separator = b",\n"
        self._add(b"".join(content))

    def close(self, members: Mapping[str, Any], with_extent: bool) -> None:
        """Write the members of the collection that follow its features, and the extent of all as `bbox`."""
        if self._end is not None:
            self._stream.seek(self._end)
        extent = {"bbox": self._extent} if with_extent and self._extent is not None else {}
        self._stream.write(b"\n], " + to_json({**extent, **members}).encode()[1:] + b"\n")

    def _add(self, content: bytes) -> None:
        if self._end is None:
            self._stream.write(content)
            return
        self._stream.seek(self._end)
        self._stream.write(content + _END)
        self._end += len(content)

    def _extend(self, points: Iterable[Sequence[float]]) -> None:
        for x, y in points:
            west, south, east, north = self._extent or (x, y, x, y)
            self._extent = [min(west, x), min(south, y), max(east, x), max(north, y)]


class PlacedPictures:
    """The pictures of a collection, also those without features."""

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}
        self._systems: set[bool] = set()

    def add(self, placement: Placement) -> None:
        """Add a picture, once."""
        (height, width), is_earth = placement.size, placement.is_earth
        entry = {"path": printable(placement.path), "width": width, "height": height}
        self._entries[placement.path] = entry | {"coordinates": "longitude and latitude" if is_earth else "pixels"}
        self._systems.add(is_earth)

    def members(self) -> dict[str, Any]:
        """Return the members of the collection that tell about them."""
        return {"pictures": list(self._entries.values())}

    @property
    def share_coordinates(self) -> bool:
        """False if some are written in pixels and others in degrees."""
        return len(self._systems) < 2


def to_json(value: object) -> str:
    """Return JSON on one line, without NaN."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _outer_points(geometry: Geometry) -> Iterator[Sequence[float]]:
    """Yield the points of the outer rings of a Polygon or MultiPolygon."""
    if geometry is None:
        return
    coordinates = geometry["coordinates"]
    for polygon in coordinates if geometry["type"] == "MultiPolygon" else [coordinates]:
        yield from polygon[0]


def _can_rewrite(stream: BinaryIO) -> bool:
    """Return True for a file that only this process writes to, from its beginning: not standard output, no log."""
    return getattr(stream, "mode", "") in ("xb", "rb+") and stream.seekable()
