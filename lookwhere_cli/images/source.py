"""Sources of pixels: anything that is read by windows, such as a decoded picture."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeGuard, runtime_checkable

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray
from PIL import Image

from lookwhere_cli.images import resample
from lookwhere_cli.images.frame import Box, Grid, Reading

_TOLERANCE = 0.01
"""Pixels by which a box may exceed the decoded ones, for the rounding of its edges."""


class Source(Protocol):
    """A picture that is read by windows; any object with these two members is one.

    Two more are used where an object has them: `path` (str), which names the picture in rows and messages, and `notes`
    (tuple of str), what its row should say about it.
    """

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """The picture's (height, width) in pixels, as displayed, at full resolution."""

    @abstractmethod
    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box, resampled to height x width, as RGB values 0..255.

        box: (left, top, right, bottom) in displayed full-resolution pixels; the edges may lie between pixels. It is
        resampled with antialiasing: each pixel returned is a weighted mean of all that it covers.
        """


@runtime_checkable
class CellSource(Source, Protocol):
    """A source that can read many cells at once. From any other source, a View reads them one by one."""

    @abstractmethod
    def read_cells(
        self, box: Box, grid: Grid, patch: int, cells: Int[ndarray, " k"]
    ) -> UInt8[ndarray, "k patch patch 3"]:
        """Return some cells of a grid that divides a box, as RGB values 0..255.

        grid: (rows, columns). Each cell, row * columns + column, is resampled to patch x patch pixels, which must not
        depend on the other cells that are read.
        """


class LoadingSource(Source):
    """A source whose pixels are better read at once, in the thread that opens it, than cell by cell."""

    @abstractmethod
    def load(self, reading: Reading, reserve: Callable[[int], None]) -> Source:
        """Return the source to read from. Raises PictureError.

        reading: how the picture will be read. reserve: to be called with the bytes that loading takes; it may wait.
        """


def is_source(picture: object) -> TypeGuard[Source]:
    """Return True if an object has a source's members: a size (height, width) and a `read` method."""
    return isinstance(getattr(picture, "size", None), tuple) and callable(getattr(picture, "read", None))


class DecodedSource:
    """A decoded picture, upright. It may be reduced in size, and cropped to the part that is read.

    pixels: RGB. size: (height, width) of the full picture. place: the box, in `pixels`, of the full picture. It is
    larger than `pixels` if the picture was cropped, and smaller if the decoder padded the last rows or columns.
    """

    def __init__(
        self,
        pixels: UInt8[ndarray, "h w 3"],
        size: tuple[int, int],
        place: Box,
        path: str = "",
        notes: tuple[str, ...] = (),
    ) -> None:
        self.pixels, self.place, self.path, self.notes = pixels, place, path, notes
        self._size = size

    @property
    def size(self) -> tuple[int, int]:
        """The picture's (height, width) in pixels, as displayed, at full resolution."""
        return self._size

    @property
    def nbytes(self) -> int:
        """The bytes that the decoded pixels take."""
        return self.pixels.nbytes

    def image(self) -> Image.Image:
        """Return the decoded pixels as a Pillow image."""
        return Image.fromarray(self.pixels)

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box, resampled (bicubic) to height x width. Raises ValueError for a box outside of a crop."""
        return np.array(self.image().resize((width, height), Image.Resampling.BICUBIC, self._inner(box)))

    def read_cells(
        self, box: Box, grid: Grid, patch: int, cells: Int[ndarray, " k"]
    ) -> UInt8[ndarray, "k patch patch 3"]:
        """Return some cells of a grid, each row * columns + column: those of the whole box resampled, then cut.

        The box is resampled (bicubic) first across, then down, each rounded to 8 bits.
        """
        left, top, right, bottom = self._inner(box)
        down = resample.axis(top, bottom, grid[0], patch, self.pixels.shape[0])
        across = resample.axis(left, right, grid[1], patch, self.pixels.shape[1])
        return resample.some_cells(self.pixels, down, across, cells)

    def _inner(self, box: Box) -> Box:
        """Return a box of the full picture in decoded pixels."""
        (height, width), (left, top, right, bottom) = self.size, self.place
        across, down = (right - left) / width, (bottom - top) / height
        inner = left + box[0] * across, top + box[1] * down, left + box[2] * across, top + box[3] * down
        high, wide = self.pixels.shape[:2]
        if min(inner[:2]) < -_TOLERANCE or inner[2] > wide + _TOLERANCE or inner[3] > high + _TOLERANCE:
            raise ValueError(f"the box {box} exceeds what was decoded of {self.path!r}")
        return max(0.0, inner[0]), max(0.0, inner[1]), min(inner[2], wide), min(inner[3], high)
