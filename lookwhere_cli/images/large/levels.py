"""The resolutions that a file holds, and which of them is fine enough for what is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_TOLERANCE = 1.01
"""A level counts as fine enough if its pixels are up to this much larger: sizes of levels are rounded."""
_LEAST = 4
"""From this many pixels of a level on, in each direction, blocks are averaged before they are resampled."""
_SPARE = 2
"""Averaged pixels that remain, at least, for each pixel that is asked for."""
_LONGEST_BLOCK = 2048
_UNIT = 1 << 18
"""Pixels of several strips that are decoded together."""
_GREATEST_REDUCTION = 1024


class Level(NamedTuple):
    """One resolution of a file.

    size: (height, width) in its own pixels. step: (down, across) full-resolution pixels of each of them.
    tile: (height, width) of the file's tiles or strips, in its own pixels.
    """

    size: tuple[int, int]
    step: tuple[float, float]
    tile: tuple[int, int]

    @property
    def unit(self) -> tuple[int, int]:
        """(height, width) that is decoded together: a tile, or several of the narrow strips of an untiled file."""
        height, width = self.tile
        is_strip = width >= self.size[1]
        return (height * max(1, _UNIT // (height * width)) if is_strip else height), width


class Extent(NamedTuple):
    """A rectangle of whole pixels of a level."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.right - self.left

    def pieces(self, size: tuple[int, int]) -> Iterator[tuple[int, int]]:
        """Yield (row, column) of each piece, of a height and a width, that the rectangle touches, row by row."""
        for row in range(self.top // size[0], -(-self.bottom // size[0])):
            for column in range(self.left // size[1], -(-self.right // size[1])):
                yield row, column


class Scale(NamedTuple):
    """A level whose pixels are averaged in rectangles.

    number: of the level, from 0, the finest. averaged: (height, width) of the rectangles. size: (height, width) in
    averaged pixels. step: (down, across) full-resolution pixels of each. block: (height, width) that is decoded
    together, in averaged pixels: a tile of the file or, where pixels are averaged, several.
    """

    number: int
    averaged: tuple[int, int]
    size: tuple[int, int]
    step: tuple[float, float]
    block: tuple[int, int]

    def stored(self, row: int, column: int, level: Level) -> Extent:
        """Return the pixels of the level that a block is made of."""
        height, width = (block * averaged for block, averaged in zip(self.block, self.averaged, strict=True))
        bottom, right = min((row + 1) * height, level.size[0]), min((column + 1) * width, level.size[1])
        return Extent(row * height, column * width, bottom, right)


def scale_for(levels: Sequence[Level], down: float, across: float) -> Scale:
    """Choose the level, and how its pixels are averaged, for pixels that cover down x across full-resolution ones.

    It is the coarsest level with a pixel or more for each; if that has four or more, they are averaged to two to four.
    """
    fits = [
        number
        for number, level in enumerate(levels)
        if level.step[0] <= down * _TOLERANCE and level.step[1] <= across * _TOLERANCE
    ]
    number = max(fits, key=lambda one: levels[one].step[0] * levels[one].step[1], default=0)
    level = levels[number]
    averaged = _reduction(down / level.step[0]), _reduction(across / level.step[1])
    return Scale(
        number,
        averaged,
        _divided(level.size, averaged),
        (level.step[0] * averaged[0], level.step[1] * averaged[1]),
        (_block(level.unit[0], averaged[0]), _block(level.unit[1], averaged[1])),
    )


def _reduction(ratio: float) -> int:
    """Return the greatest power of two that leaves two pixels of a level, of `ratio`, for each that is asked for."""
    if ratio < _LEAST:
        return 1
    return int(min(2 ** math.floor(math.log2(ratio / _SPARE)), _GREATEST_REDUCTION))


def _divided(size: tuple[int, int], averaged: tuple[int, int]) -> tuple[int, int]:
    return -(-size[0] // averaged[0]), -(-size[1] // averaged[1])


def _block(tile: int, averaged: int) -> int:
    """Return the side of a block in averaged pixels: whole tiles, unless that would be too many."""
    together = math.lcm(tile, averaged)
    if together > max(tile, _LONGEST_BLOCK):
        together = -(-tile // averaged) * averaged
    return together // averaged
