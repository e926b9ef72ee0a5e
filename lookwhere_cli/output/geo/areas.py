"""How large a part of a map is, on the Earth's ellipsoid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from lookwhere_cli.output.geo.outlines import box_outline
from lookwhere_cli.output.geo.placement import Placement

RADIUS, FLATTENING = 6_378_137.0, 1 / 298.257223563
"""Of the ellipsoid of WGS 84: its equatorial radius in metres, and by how much it is flattened."""
_ECCENTRICITY = math.sqrt(FLATTENING * (2 - FLATTENING))


def area_on_earth(box: Sequence[float], placement: Placement) -> float:
    """Return the square metres that a box covers: left, top, right, bottom in full-resolution pixels of a map.

    Whatever the map's projection is: a pixel of a world map in degrees is smaller the nearer it is to a pole.
    """
    ring = box_outline(box, placement)
    if len(ring) < 4:
        return 0.0
    longitude, height = np.radians(ring[:, 0]), _zone(np.radians(ring[:, 1]))
    area = abs(np.sum(np.diff(longitude) * (height[:-1] + height[1:]) / 2))
    if abs(longitude[-1] - longitude[0]) > np.pi:  # around a pole: from the equator to the outline, so far
        area = 2 * np.pi * _zone(np.array([np.pi / 2]))[0] - area
    return float(RADIUS**2 / 2 * area)


def _zone(latitude: Float64[ndarray, " n"]) -> Float64[ndarray, " n"]:
    """Return the area between the equator and latitudes, for a radian of longitude, in halves of the squared radius."""
    sine, e = np.sin(latitude), _ECCENTRICITY
    return (1 - e**2) * (sine / (1 - (e * sine) ** 2) + np.arctanh(e * sine) / e)
