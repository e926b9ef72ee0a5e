"""A window of a large picture, as a picture of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.decode import Reserve
from lookwhere_cli.images.frame import Box, Reading, frame_for
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.source import DecodedSource, LoadingSource, Source

AT_ONCE = 16 << 20
"""Bytes of a window that is read at once, and cut in memory; of a larger one, cells are read one by one."""


class WindowSource(LoadingSource):
    """A window as a source: `load` reads all of it, in the thread that reads ahead.

    picture: what the window is of. box: its left, top, right, bottom in whole full-resolution pixels.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, picture: Source, box: Box) -> None:
        left, top, right, bottom = (int(edge) for edge in box)
        self.size = (bottom - top, right - left)
        self.path: str = getattr(picture, "path", "")
        self._picture, self._corner = picture, (left, top)

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box of the window, resampled. Raises PictureError if it can't be read."""
        left, top = self._corner
        try:
            return self._picture.read((box[0] + left, box[1] + top, box[2] + left, box[3] + top), height, width)
        except OSError as error:
            raise PictureError(
                f"{in_message(self.path)} can't be read at {_described(self._corner, self.size)} "
                f"({error.strerror or error}); the file may be damaged."
            ) from error

    def load(self, reading: Reading, reserve: Reserve) -> Source:
        """Read the window at the resolution of its grid, and return it decoded; a very large one is returned as it is.

        reserve: called with the bytes that the pixels will take. Raises PictureError.
        """
        (rows, columns), box = frame_for(*self.size, reading)
        height, width = rows * reading.patch, columns * reading.patch
        if reading.mode == "crop" or 3 * height * width > AT_ONCE:
            return self
        reserve(3 * height * width)
        return DecodedSource(self.read(box, height, width), self.size, (0, 0, width, height), self.path)


def window_sources(picture: Source, boxes: Iterable[Box]) -> Iterator[WindowSource]:
    """Yield the windows at these boxes, as pictures to answer."""
    return (WindowSource(picture, box) for box in boxes)


def _described(corner: tuple[int, int], size: tuple[int, int]) -> str:
    return f"{corner[0]}, {corner[1]} ({size[1]} x {size[0]} pixels)"
