"""Masks that are drawn from polygons when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float64, UInt8
from numpy import ndarray
from PIL import Image, ImageDraw

from lookwhere_cli.data.large.shapes import Ring

_HALF = 0.5
"""Pillow's pixels have their middles at whole numbers; those of a picture have their edges there."""


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
    canvas = Image.new("L", shape[::-1], rest)
    scale = np.array([shape[1] / size[1], shape[0] / size[0]])
    for rings, value in polygons:
        outlines = [(ring - corner) * scale - _HALF for ring in rings]
        if len(outlines) == 1:
            ImageDraw.Draw(canvas).polygon(_corners(outlines[0]), fill=value)
        else:
            canvas.paste(value, mask=_with_holes(outlines, shape))
    return np.array(canvas)


def _with_holes(outlines: Sequence[Ring], shape: tuple[int, int]) -> Image.Image:
    inside = Image.new("1", shape[::-1], 0)
    draw = ImageDraw.Draw(inside)
    for number, outline in enumerate(outlines):
        draw.polygon(_corners(outline), fill=int(number == 0))
    return inside


def _corners(outline: Float64[ndarray, "corners 2"]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in outline.tolist()]


def _digest(polygons: Iterable[ClassPolygon], rest: int) -> str:
    digest = hashlib.sha256(str(rest).encode())
    for rings, value in polygons:
        for ring in rings:
            digest.update(ring.tobytes() + str(value).encode())
    return digest.hexdigest()[:12]
