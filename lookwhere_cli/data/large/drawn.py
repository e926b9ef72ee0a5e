"""Masks that are drawn from polygons when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Bool, UInt8
from numpy import ndarray

from lookwhere_cli.data.large.shapes import Ring

_MIDDLE = 0.5
"""Where the middle of a pixel lies."""


class ClassPolygon(NamedTuple):
    """A polygon, an outline and its holes in full-resolution pixels, and the value of the pixels inside."""

    rings: tuple[Ring, ...]
    value: int


class DrawnMask(str):
    """The name of a mask, with the polygons that it is drawn from; it takes the place of a mask's path.

    The name holds a hash of the polygons, so that masks that differ have different names.
    """

    polygons: tuple[ClassPolygon, ...]
    corner: tuple[int, int]
    size: tuple[int, int]
    rest: int

    def __new__(
        cls, name: str, polygons: tuple[ClassPolygon, ...], corner: tuple[int, int], size: tuple[int, int], rest: int
    ) -> Self:
        """Name a mask. corner: left and top in the picture. size: (height, width). rest: outside of all polygons."""
        made = super().__new__(cls, f"{name}&shapes={_digest(polygons, rest)}")
        made.polygons, made.corner, made.size, made.rest = polygons, corner, size, rest
        made._name = name
        return made

    _name: str

    def __getnewargs__(self) -> tuple[str, tuple[ClassPolygon, ...], tuple[int, int], tuple[int, int], int]:  # type: ignore[override]
        """Return what a copy is made of, for pickle."""
        return self._name, self.polygons, self.corner, self.size, self.rest

    def draw(self) -> UInt8[ndarray, "height width"]:
        """Draw the mask: each pixel has the value of the last polygon that covers it, else `rest`."""
        return draw_polygons(self.polygons, self.corner, self.size, self.size, self.rest)


def draw_polygons(
    polygons: Iterable[ClassPolygon],
    corner: tuple[float, float],
    size: tuple[float, float],
    shape: tuple[int, int],
    rest: int,
) -> UInt8[ndarray, "height width"]:
    """Draw polygons in a window on (height, width) pixels. corner: its left and top. size: its height and width."""
    drawn = np.full(shape, rest, np.uint8)
    scale = np.array([shape[1] / size[1], shape[0] / size[0]])
    for rings, value in polygons:
        _draw(drawn, [(ring - corner) * scale for ring in rings], value)
    return drawn


def _draw(canvas: UInt8[ndarray, "height width"], rings: Sequence[Ring], value: int) -> None:
    """Set the pixels whose middles lie inside an odd number of rings, as those of a polygon with holes do."""
    height, width = canvas.shape
    lower, upper = rings[0].min(axis=0), rings[0].max(axis=0)
    left, top = np.clip(np.floor(lower), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(upper), 0, (width, height)).astype(int).tolist()
    part = canvas[top:bottom, left:right]
    if part.size:
        part[_inside([ring - (left, top) for ring in rings], part.shape)] = value


def _inside(rings: Sequence[Ring], shape: tuple[int, ...]) -> Bool[ndarray, "height width"]:
    """Return the pixels whose middles lie inside: going right, each edge that is crossed leads in, or out again."""
    height, width = shape
    crossings = np.zeros((height, width + 1), np.int32)
    for ring in rings:
        start, end = ring, np.roll(ring, -1, axis=0)
        first, last = (
            np.clip(np.ceil(side - _MIDDLE), 0, height).astype(np.int64)
            for side in (np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1]))
        )
        edge = np.repeat(np.arange(len(ring)), last - first)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(last - first) - last, last - first)
        (x, y), (x_end, y_end) = start[edge].T, end[edge].T
        crossed = x + (row + _MIDDLE - y) * (x_end - x) / (y_end - y)
        np.add.at(crossings, (row, np.clip(np.ceil(crossed - _MIDDLE), 0, width).astype(np.int64)), 1)
    return np.asarray(crossings.cumsum(axis=1)[:, :width] % 2 == 1)


def _digest(polygons: Iterable[ClassPolygon], rest: int) -> str:
    digest = hashlib.sha256(str(rest).encode())
    for rings, value in polygons:
        for ring in rings:
            digest.update(ring.tobytes() + str(value).encode())
    return digest.hexdigest()[:12]
