"""What slides and rasters have beyond a source: where they hold something, how large a pixel is, where it lies."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypeGuard

from jaxtyping import Float32, Float64
from numpy import ndarray

from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.source import Source

Coordinates: TypeAlias = Literal["pixels", "longitude and latitude"]
"""What GeoJSON of a source is written in: full-resolution pixels, or degrees of WGS 84 (RFC 7946)."""


@dataclass(frozen=True)
class Spacing:
    """What a full-resolution pixel covers.

    across, down: its width and height in `unit`.
    """

    across: float
    down: float
    unit: Literal["µm", "m"]


class LargeSource(Source, Protocol):
    """A picture that is read by windows because it is too large to decode. Threads may read from it at once."""

    @property
    @abstractmethod
    def path(self) -> str:
        """The file's path or address."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What rows should say about how the file is read."""

    @property
    @abstractmethod
    def spacing(self) -> Spacing | None:
        """The size of a full-resolution pixel; None if the file does not tell."""

    @property
    @abstractmethod
    def coordinates(self) -> Coordinates:
        """What `place` returns."""

    @abstractmethod
    def content(self, box: Box, height: int, width: int) -> Float32[ndarray, "height width"]:
        """Return the share, 0..1, of each pixel of a box, resampled to height x width, that holds something.

        Nothing is what is transparent, without data, or of the background.
        """

    @abstractmethod
    def place(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return where (x, y) in full-resolution pixels lie: the same, or (longitude, latitude) in degrees."""

    @abstractmethod
    def locate(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return the (x, y) in full-resolution pixels of points in `coordinates`; the inverse of `place`."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


_MEMBERS = ("size", "read", "path", "notes", "spacing", "coordinates", "content", "place", "locate", "close")


def is_large(source: object) -> TypeGuard[LargeSource]:
    """Return True if a source has what slides and rasters have beyond size and `read`.

    No member is evaluated for it, as isinstance would: notes of a raster may read pixels.
    """
    missing = object()
    return all(inspect.getattr_static(source, name, missing) is not missing for name in _MEMBERS)
