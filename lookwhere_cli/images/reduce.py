"""Reduction of a decoded picture to what its grid needs: at most two pixels, in each direction, per grid pixel."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from lookwhere_cli.images.colour import Conversion

PIXELS_PER_GRID_PIXEL = 2
"""In each direction: more would cost memory and change patches by less than a level."""
_BAND_PIXELS = 1 << 20
"""Decoded pixels that are converted together, so that a large picture is never copied as a whole."""
_REACH = 5
"""Pixels around a crop that resampling to the grid reaches for."""
_REDUCING_GAP = 3.0
"""Pillow averages blocks of pixels first, which is faster, if at least this many blocks remain for a pixel.

With fewer, a turned picture would differ from its upright twin, whose blocks begin elsewhere. Patches of photographs
differ from those of the full picture by 0.3 to 0.5 levels on average; with Pillow's BOX filter by 1.1 to 2.0.
"""


class Reduction(NamedTuple):
    """How one axis of a picture is reduced: decoded pixels start..stop are resampled to `pixels` pixels."""

    start: float
    stop: float
    pixels: int

    @property
    def scale(self) -> float:
        """Decoded pixels per reduced pixel."""
        return (self.stop - self.start) / self.pixels

    def decoded(self, first: int, last: int, length: int) -> tuple[int, int]:
        """Return the range of decoded pixels, of `length` in all, that reduced pixels first..last are made of."""
        reach = 2 * self.scale if self.scale > 1 else 0  # bicubic's
        start, stop = self.start + first * self.scale - reach, self.start + last * self.scale + reach
        return max(0, math.floor(start)), min(length, math.ceil(stop))


def reduction_for(near: float, far: float, grid_pixels: int, extent: float, length: int) -> Reduction:
    """Choose the reduction of an axis, so that `near..far` of it can be resampled to `grid_pixels`.

    extent: where the picture ends, in decoded pixels. length: where its last decoded pixel ends, up to one pixel later.
    """
    most = PIXELS_PER_GRID_PIXEL * grid_pixels
    if extent <= most:
        return Reduction(0, length, length)
    if near <= 0 and far >= extent:
        return Reduction(0, extent, most)
    scale = max(1.0, (far - near) / max(most / 2, most - 2 * _REACH - 2))
    start, stop = max(0.0, near - _REACH * scale), min(extent, far + _REACH * scale)
    if scale > 1:
        return Reduction(start, stop, min(most, round((stop - start) / scale)))
    start, stop = math.floor(start), min(length, math.ceil(stop))
    return Reduction(start, stop, stop - start)


def band_count(pixels: int) -> int:
    """Return the number of bands in which a picture of this many decoded pixels is converted."""
    return max(1, pixels // _BAND_PIXELS)


def reduced_bands(
    picture: Image.Image, rows: Reduction, columns: Reduction, convert: Conversion
) -> Iterator[tuple[int, Image.Image]]:
    """Yield the reduced picture in bands, converted before they are resampled, each with the row that it begins at."""
    step = math.ceil(rows.pixels / band_count(picture.width * picture.height))
    left, right = columns.decoded(0, columns.pixels, picture.width)
    for first in range(0, rows.pixels, step):
        last = min(first + step, rows.pixels)
        top, bottom = rows.decoded(first, last, picture.height)
        box = left, top, right, bottom
        band = convert(picture if box == (0, 0, *picture.size) else picture.crop(box))
        if columns.scale == rows.scale == 1:
            yield first, band
            continue
        start, stop = (rows.start + row * rows.scale - top for row in (first, last))
        inner = columns.start - left, start, min(columns.stop - left, band.width), min(stop, band.height)
        size = columns.pixels, last - first
        yield first, band.resize(size, Image.Resampling.BICUBIC, inner, _REDUCING_GAP)
