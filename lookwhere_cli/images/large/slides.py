"""Whole-slide images, by OpenSlide (an extra)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64, UInt8
from numpy import ndarray
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.colour import to_srgb
from lookwhere_cli.images.large.base import Coordinates, Spacing
from lookwhere_cli.images.large.cache import PixelBlock
from lookwhere_cli.images.large.levels import Extent, Level
from lookwhere_cli.images.large.pyramid import PyramidSource
from lookwhere_cli.images.large.tissue import background_colour, differs
from lookwhere_cli.images.names import in_message

if TYPE_CHECKING:
    from openslide import OpenSlide, OpenSlideCache

_TILE = 512
"""Side of the blocks that are decoded together if a file does not tell the size of its tiles."""
_CACHE_BYTES = 16 << 20
"""For all slides, of tiles that OpenSlide keeps: blocks are kept by ourselves."""
_OVERVIEW = 1024
"""Side in pixels, about, of the overview that the colour of the empty glass is looked up in."""
Colour = tuple[int, int, int]


class SlideSource(PyramidSource):
    """A slide. Where the file tells the bounds of what was scanned, the picture is that part of it.

    properties: OpenSlide's.
    """

    def __init__(self, path: str, background: Colour) -> None:
        """background: behind transparent pixels if the slide tells no colour. Raises PictureError."""
        self._lock = threading.Lock()
        self._path = path
        self._slide = self._opened()
        self.properties: Mapping[str, str] = dict(self._slide.properties)
        self._background = _colour(self.properties.get("openslide.background-color")) or background
        self._profile = _profile(self._slide)
        left, top, width, height = _bounds(self.properties, self._slide.dimensions)
        super().__init__(path, (height, width), _levels(self._slide), (top, left))

    @property
    def format(self) -> str:
        """The format as OpenSlide names it, such as "aperio"."""
        return self.properties.get("openslide.vendor", "")

    @property
    def spacing(self) -> Spacing | None:
        """The size of a full-resolution pixel in micrometres; None if the file does not tell."""
        across, down = (_positive(self.properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
        return Spacing(across, down, "µm") if across and down else None

    @property
    def coordinates(self) -> Coordinates:
        """Pixels."""
        return "pixels"

    def place(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return the points: slides are written in full-resolution pixels."""
        return points

    def locate(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return the points."""
        return points

    def close(self) -> None:
        """Release the file."""
        self._slide.close()

    def _opened(self) -> OpenSlide:
        openslide = _openslide()
        try:
            slide = openslide.OpenSlide(self._path)
            slide.set_cache(_tile_cache())
        except (openslide.OpenSlideError, OSError) as error:
            raise PictureError(
                f"{in_message(self._path)} is a damaged or truncated slide, or of a kind that OpenSlide can't read "
                f"({error})."
            ) from error
        return slide

    def _read_block(self, number: int, extent: Extent) -> PixelBlock:
        """Decode a part of a level. Raises PictureError."""
        openslide = _openslide()
        slide = self._slide
        try:
            picture = _region(slide, number, extent)
        except openslide.OpenSlideError:
            try:  # with another handle: after its first failure, one fails always
                picture = _region(self._replaced(slide), number, extent)
            except openslide.OpenSlideError as error:
                raise self._unreadable(number, extent, str(error)) from error
        alpha = picture.getchannel("A")
        is_opaque = alpha.getextrema() == (255, 255)
        colours = to_srgb(to_srgb(picture, None, self._background), self._profile, self._background)
        return PixelBlock(np.asarray(colours), None if is_opaque else np.asarray(alpha))

    def _replaced(self, failed: OpenSlide) -> OpenSlide:
        """Return a handle that has not failed yet."""
        with self._lock:
            if self._slide is failed:
                self._slide = self._opened()
            return self._slide

    def _holds(self, block: PixelBlock) -> UInt8[ndarray, "height width"]:
        """Return where there is more than empty glass; all that is opaque if the slide's background is not bright."""
        opaque = super()._holds(block)
        if self._glass is None:
            return opaque
        return np.where(differs(block.colours, self._glass), opaque, np.uint8(0))

    @cached_property
    def _glass(self) -> Colour | None:
        height, width = self.size
        scale = min(1.0, _OVERVIEW / max(height, width))
        return background_colour(
            self.read((0, 0, width, height), max(1, round(height * scale)), max(1, round(width * scale)))
        )


@cache
def _tile_cache() -> OpenSlideCache:
    return _openslide().OpenSlideCache(_CACHE_BYTES)


def _openslide() -> Any:
    import openslide  # an extra

    return openslide


def _region(slide: OpenSlide, number: int, extent: Extent) -> Image.Image:
    step = slide.level_downsamples[number]
    corner = round(extent.left * step), round(extent.top * step)
    picture: Image.Image = slide.read_region(corner, number, (extent.width, extent.height))
    return picture


def _levels(slide: OpenSlide) -> list[Level]:
    levels = []
    for number, (width, height) in enumerate(slide.level_dimensions):
        step = slide.level_downsamples[number]
        tile = [
            _positive(slide.properties.get(f"openslide.level[{number}].tile-{side}")) for side in ("height", "width")
        ]
        sides = int(tile[0] or _TILE), int(tile[1] or _TILE)
        levels.append(Level((height, width), (step, step), sides))
    return levels


def _bounds(properties: Mapping[str, str], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return left, top, width and height of what was scanned, as far as the file tells it."""
    values = [properties.get(f"openslide.bounds-{name}") for name in ("x", "y", "width", "height")]
    try:
        left, top, width, height = (int(value) for value in values if value is not None)
    except ValueError:
        return 0, 0, *size
    width, height = min(width, size[0] - left), min(height, size[1] - top)
    return (left, top, width, height) if min(left, top) >= 0 and min(width, height) > 0 else (0, 0, *size)


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _colour(code: str | None) -> Colour | None:
    try:
        red, green, blue = bytes.fromhex(code or "")
    except ValueError:
        return None
    return red, green, blue


def _profile(slide: OpenSlide) -> bytes | None:
    profile = getattr(slide, "color_profile", None)
    return None if profile is None else bytes(profile.tobytes())
