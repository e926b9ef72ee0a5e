"""Files that are decoded whole, as large sources: for those that are neither slide nor raster, but are cut as these."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray

from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Box, Reading
from lookwhere_cli.images.large.base import Coordinates, LargeSource, Spacing
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.peek import displayed_size
from lookwhere_cli.images.source import DecodedSource


class WholeSource:
    """A decoded file with what a large source has. Its coordinates are pixels, and all of it holds something."""

    coordinates: Coordinates = "pixels"
    spacing: Spacing | None = None

    def __init__(self, decoded: DecodedSource) -> None:
        self._decoded = decoded
        self.path, self.notes, self.size = decoded.path, decoded.notes, decoded.size

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box, resampled to height x width, as RGB values 0..255."""
        return self._decoded.read(box, height, width)

    def content(self, box: Box, height: int, width: int) -> Float32[ndarray, "height width"]:
        """Return 1 for each pixel."""
        return np.ones((height, width), np.float32)

    def place(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return the points."""
        return points

    def locate(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return the points."""
        return points

    def close(self) -> None:
        """Do nothing: the file is closed."""


def open_any(file: str, reading: Reading) -> LargeSource:
    """Open a slide or raster, or decode any other picture at full resolution. Raises PictureError."""
    return open_large(file, reading) or decode_whole(file, reading)


def decode_whole(file: str, reading: Reading) -> WholeSource:
    """Decode a picture that is neither slide nor raster at full resolution. Raises PictureError."""
    full = replace(reading, patch=1, size=max(displayed_size(file)), mode="stretch")  # no pixel is reduced
    return WholeSource(decode_file(file, full))
