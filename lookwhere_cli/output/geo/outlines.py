"""The outlines of boxes and masks as GeoJSON geometries: right-hand rule, cut at the antimeridian (RFC 7946)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from lookwhere_cli.output.geo.placement import Placement, Points
from lookwhere_cli.output.masks.polygons import require_shapely

PARTS = 8
"""Pieces into which an edge is divided if it is not straight on the map."""
MOST_OFF = 0.5
"""Pixels by which a straight edge may miss the true one."""


def box_geometry(box: Sequence[float], placement: Placement) -> dict[str, Any] | None:
    """Return the outline of a box: left, top, right, bottom in full-resolution pixels.

    Edges that are bent on the map get more points; a box across the antimeridian is a MultiPolygon. None for a box
    that lies nowhere on the Earth, as corners of some world maps do.
    """
    if not placement.is_earth:
        return _geometry([_corners(box, 1)], placement.decimals)
    fine = box_outline(box, placement)
    is_complete = len(fine) == 4 * PARTS + 1
    if is_complete and _most_off(fine, _corners(box, PARTS)) <= MOST_OFF:
        fine = fine[::PARTS]
    rings = list(_cut(fine))
    return _geometry(rings, placement.decimals) if rings else None


def box_outline(box: Sequence[float], placement: Placement) -> Points:
    """Return the outline of a box on the Earth, closed, in eight points to an edge; longitudes may exceed 180.

    Points that lie nowhere on the Earth are left out.
    """
    placed = placement.place(_corners(box, PARTS))
    placed = placed[np.isfinite(placed).all(axis=1)]
    if len(placed) < len(_corners(box, PARTS)):
        placed = np.concatenate([placed, placed[:1]])
    return np.column_stack([np.unwrap(placed[:, 0], period=360), placed[:, 1]])


def mask_geometry(polygons: Any, placement: Placement) -> dict[str, Any] | None:
    """Return a shapely MultiPolygon in full-resolution pixels as a geometry; None if it lies nowhere on the Earth.

    Raises UsageError without shapely.
    """
    shapely = require_shapely()
    placed = shapely.transform(polygons, placement.place)
    if placement.is_earth:
        placed = _cut_polygons(shapely, _on_earth(shapely, placed))
    placed = shapely.orient_polygons(placed)
    geometry: dict[str, Any] = shapely.geometry.mapping(placed)
    if not geometry["coordinates"]:
        return None
    return {"type": geometry["type"], "coordinates": _rounded(geometry["coordinates"], placement.decimals)}


def _corners(box: Sequence[float], parts: int) -> Points:
    """Return the points of a box's outline, counter-clockwise with y up, closed; each edge in equal parts."""
    left, top, right, bottom = box
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], np.float64)
    steps = np.linspace(0, 1, parts, endpoint=False)[:, None]
    edges = [first + steps * (second - first) for first, second in pairwise(corners)]
    return np.concatenate([*edges, corners[:1]])


def _most_off(fine: Points, pixels: Points) -> float:
    """Return by how many pixels, at most, straight edges miss the points between their ends."""
    ends, ends_in_pixels = fine[::PARTS], pixels[::PARTS]
    steps = np.arange(len(fine) - 1) / PARTS
    places = np.arange(len(ends))
    straight = np.column_stack([np.interp(steps, places, ends[:, axis]) for axis in (0, 1)])
    lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
    per_pixel = np.maximum(lengths / np.maximum(np.linalg.norm(np.diff(ends_in_pixels, axis=0), axis=1), 1e-9), 1e-12)
    return float((np.linalg.norm(fine[:-1] - straight, axis=1) / np.repeat(per_pixel, PARTS)).max())


def _around_pole(ring: Points) -> Points:
    """Lead a ring that goes once around the Earth over the pole that it holds, along the antimeridian."""
    turn = ring[-1, 0] - ring[0, 0]
    if abs(turn) < 180:
        return ring
    longitude, latitude = (ring[:-1, 0] + 180) % 360 - 180, ring[:-1, 1]
    last = int(np.abs(np.diff(longitude, append=longitude[0])).argmax())  # before the antimeridian
    order = np.roll(np.arange(len(longitude)), -last - 1)
    edge, pole = np.copysign(180.0, turn), np.copysign(90.0, latitude.mean())
    ends = order[[0, -1]]
    crossing = np.average(latitude[ends], weights=180 - np.abs(longitude[ends[::-1]]) + 1e-12)
    over = [(edge, crossing), (edge, pole), (-edge, pole), (-edge, crossing)]
    return np.concatenate([over[-1:], np.column_stack([longitude, latitude])[order], over])


def _cut(ring: Points) -> Iterator[Points]:
    """Yield the parts of a ring in each turn of the Earth, with longitudes of -180..180."""
    if len(ring) < 4:
        return
    ring = _around_pole(ring)
    for turn in (-360.0, 0.0, 360.0):
        part = ring - (turn, 0.0)
        if part[:, 0].min() < -180:
            part = _above(part, -180.0, 1.0)
        if len(part) and part[:, 0].max() > 180:
            part = _above(part, 180.0, -1.0)
        if len(part) > 3 and np.ptp(part[:, 0]) > 0:
            yield part


def _above(ring: Points, limit: float, sign: float) -> Points:
    """Return the part of a ring whose longitudes are at least (sign 1) or at most (sign -1) the limit."""
    beyond = sign * (ring[:, 0] - limit)
    kept: list[Any] = []
    for place in range(len(ring) - 1):
        (here, there), (first, second) = ring[place : place + 2], beyond[place : place + 2]
        if first >= 0:
            kept.append(here)
        if first * second < 0:
            crossing = here + (there - here) * first / (first - second)
            kept.append((limit, crossing[1]))
    return np.array([*kept, kept[0]]) if kept else ring[:0]


def _on_earth(shapely: Any, placed: Any) -> Any:
    """Leave out polygons with points that lie nowhere on the Earth."""
    if np.isfinite(shapely.get_coordinates(placed)).all():
        return placed
    parts = [part for part in shapely.get_parts(placed) if np.isfinite(shapely.get_coordinates(part)).all()]
    return shapely.MultiPolygon(parts)


def _cut_polygons(shapely: Any, placed: Any) -> Any:
    """Cut polygons of a small part of the Earth at the antimeridian."""
    longitudes = shapely.get_coordinates(placed)[:, 0]
    if not len(longitudes) or np.ptp(longitudes) < 180:
        return placed
    eastern = shapely.transform(placed, lambda points: points + np.where(points < 0, 1, 0) * (360.0, 0.0))
    east = shapely.clip_by_rect(eastern, -180, -90, 180, 90)
    west = shapely.clip_by_rect(eastern, 180, -90, 540, 90)
    parts = [*_parts(shapely, east), *_parts(shapely, shapely.transform(west, lambda points: points - (360.0, 0.0)))]
    return shapely.MultiPolygon(parts)


def _parts(shapely: Any, shape: Any) -> list[Any]:
    return [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]


def _geometry(rings: list[Points], decimals: int) -> dict[str, Any]:
    written = [[_rounded(_right_handed(ring).tolist(), decimals)] for ring in rings]
    if len(written) == 1:
        return {"type": "Polygon", "coordinates": written[0]}
    return {"type": "MultiPolygon", "coordinates": written}


def _right_handed(ring: Points) -> Points:
    """Return a ring counter-clockwise."""
    x, y = (ring - ring[0]).T
    twice_area = float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    return ring if twice_area >= 0 else ring[::-1]


def _rounded(value: Any, decimals: int) -> Any:
    """Round all numbers in nested sequences."""
    if isinstance(value, list | tuple):
        return [_rounded(one, decimals) for one in value]
    return round(float(value), decimals)
