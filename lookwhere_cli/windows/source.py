"""A window of a large picture, as a picture of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from jaxtyping import Int, UInt8
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.decode import Reserve
from lookwhere_cli.images.frame import Box, Grid, Reading, frame_for
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.source import CellSource, DecodedSource, LoadingSource, Source

AT_ONCE = 16 << 20
"""Bytes of a window that is read at once, and cut in memory; of a larger one, cells are read one by one."""


class WindowSource(LoadingSource):
    """A window as a source: `load` reads all of it, in the thread that reads ahead.

    picture: what the window is of. box: its left, top, right, bottom in whole full-resolution pixels.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, picture: Source, box: Box) -> None:
        left, top, right, bottom = (int(edge) for edge in box)
        self._size = (bottom - top, right - left)
        self.path: str = getattr(picture, "path", "")
        self._picture, self._corner, self._box = picture, (left, top), box

    @property
    def size(self) -> tuple[int, int]:
        """The window's (height, width) in full-resolution pixels."""
        return self._size

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box of the window, resampled. Raises PictureError if it can't be read."""
        with self._telling_where():
            return self._picture.read(self._moved(box), height, width)

    def load(self, reading: Reading, reserve: Reserve) -> Source:
        """Read the window at the resolution of its grid, and return it decoded; a very large one is returned as it is.

        reserve: called with the bytes that the pixels will take. Raises PictureError.
        """
        (rows, columns), box = frame_for(*self.size, reading)
        height, width = rows * reading.patch, columns * reading.patch
        if reading.mode == "crop" or 3 * height * width > AT_ONCE:
            picture = self._picture
            return WindowOfCells(picture, self._box) if isinstance(picture, CellSource) else self
        reserve(3 * height * width)
        return DecodedSource(self.read(box, height, width), self.size, (0, 0, width, height), self.path)

    def _moved(self, box: Box) -> Box:
        left, top = self._corner
        return box[0] + left, box[1] + top, box[2] + left, box[3] + top

    @contextmanager
    def _telling_where(self) -> Iterator[None]:
        """Turn an OSError into a PictureError that tells where the window is."""
        try:
            yield
        except OSError as error:
            (left, top), (height, width) = self._corner, self.size
            raise PictureError(
                f"{in_message(self.path)} can't be read at {left}, {top} ({width} x {height} pixels) "
                f"({error.strerror or error}); the file may be damaged."
            ) from error


class WindowOfCells(WindowSource):
    """A window of a picture that can read many cells at once."""

    _picture: CellSource

    def read_cells(
        self, box: Box, grid: Grid, patch: int, cells: Int[ndarray, " k"]
    ) -> UInt8[ndarray, "k patch patch 3"]:
        """Return some cells of a grid that divides a box of the window. Raises PictureError if they can't be read."""
        with self._telling_where():
            return self._picture.read_cells(self._moved(box), grid, patch, cells)


def window_sources(picture: Source, boxes: Iterable[Box]) -> Iterator[WindowSource]:
    """Yield the windows at these boxes, as pictures to answer."""
    return (WindowSource(picture, box) for box in boxes)
