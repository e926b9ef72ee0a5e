"""Decoding a picture, at the smallest scale that is enough: at most twice the grid's pixels are kept of it."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from lookwhere_cli.images.colour import Conversion, eight_bits, to_srgb
from lookwhere_cli.images.cost import decoded_pixel_bytes, decoder_pixel_bytes
from lookwhere_cli.images.frame import Box, Reading, frame_for
from lookwhere_cli.images.header import check_pixels, failures, frame_notes, opened_picture, turn_of
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.images.names import EncodedPicture, picture_name
from lookwhere_cli.images.orientation import Turn
from lookwhere_cli.images.source import DecodedSource

_KEPT_PER_PIXEL = 2
"""A picture keeps at most so many pixels, in each direction, for a pixel of the grid."""
_REACH = 5
"""Pixels that are kept around the part that is read, since resampling to the grid reaches for them."""
_BAND_PIXELS = 1 << 20
"""Decoded pixels that are converted together: a large picture should not need a second copy of itself."""
_BYTES_PER_BAND_PIXEL = 12
_REDUCING_GAP = 1.5
"""Pillow averages blocks of pixels first, which is faster, where at least so many blocks remain for a pixel.

On photographs the patches then differ from those of the full picture by 0.3 to 0.7 levels on average; with Pillow's BOX
filter alone by 1.1 to 2.0.
"""

Reserve: TypeAlias = Callable[[int], None]
"""Is told how many bytes decoding a picture takes before it begins, and may wait until there is room for them."""


def ignore(_size: int) -> None:
    """Let decoding begin at once, whatever it takes."""


class Plan(NamedTuple):
    """What a header and a reading say about decoding a picture. All but `size` is of the picture as it is stored.

    size: (height, width) as displayed. box: what is read, in full-resolution pixels. rows, columns: the grid's pixels.
    """

    turn: Turn
    size: tuple[int, int]
    box: Box
    rows: int
    columns: int

    @property
    def divisor(self) -> int:
        """The largest divisor of a JPEG's size, of those that its decoder offers, that still fills the grid."""
        left, top, right, bottom = self.box
        room = min((right - left) / self.columns, (bottom - top) / self.rows)
        return next((divisor for divisor in (8, 4, 2) if room >= divisor), 1)


class Kept(NamedTuple):
    """What is kept along one axis: decoded pixels near..far, resampled to so many pixels."""

    near: float
    far: float
    pixels: int

    @property
    def scale(self) -> float:
        """Decoded pixels per kept pixel."""
        return (self.far - self.near) / self.pixels

    def source(self, start: int, stop: int, length: int) -> tuple[int, int]:
        """Return the first and the last of `length` decoded pixels that kept pixels start..stop are made of."""
        reach = 2 * self.scale + 1 if self.scale > 1 else 0
        near, far = self.near + start * self.scale - reach, self.near + stop * self.scale + reach
        return max(0, math.floor(near)), min(length, math.ceil(far))


def decode_file(file: EncodedPicture, reading: Reading, name: str = "", reserve: Reserve = ignore) -> DecodedSource:
    """Decode a picture file. Raises PictureError with a sentence that names it; `name` stands for its path."""
    name = name or picture_name(file)
    with opened_picture(file, name, reading.max_pixels) as picture:
        plan, notes = plan_for(picture, reading), frame_notes(picture)
        divisor = _draft(picture, plan.divisor)
        reserve(decoding_bytes(picture, plan, divisor))
        return _decode(picture, plan, divisor, reading.background, name, notes)


def decode_picture(
    picture: Image.Image, reading: Reading, name: str = "", notes: tuple[str, ...] = ()
) -> DecodedSource:
    """Decode a Pillow image, which is left as it is. Raises PictureError with a sentence that names it."""
    with failures(name), pillow_limit(reading.max_pixels):
        check_pixels(picture, name, reading.max_pixels)
        return _decode(picture, plan_for(picture, reading), 1, reading.background, name, notes)


def plan_for(picture: Image.Image, reading: Reading) -> Plan:
    """Plan the decoding of a picture from its header."""
    width, height = picture.size
    turn = turn_of(picture)
    size = turn.size(height, width)
    grid, box = frame_for(*size, reading)
    rows, columns = turn.size(*grid)
    return Plan(turn, size, turn.stored_box(box, height, width), rows * reading.patch, columns * reading.patch)


def decoding_bytes(picture: Image.Image, plan: Plan, divisor: int = 1) -> int:
    """Estimate the bytes that decoding a picture takes at its peak, from its header.

    They are those of the decoder, of what it returns (where a JPEG's size is divided, less), and of what is kept of it.
    """
    width, height = picture.size
    pixels = width * height
    kept = min(pixels, _KEPT_PER_PIXEL**2 * plan.rows * plan.columns)
    returned = pixels * decoded_pixel_bytes(picture)
    decoder = divisor**2 * pixels * decoder_pixel_bytes(picture)
    return math.ceil(decoder) + returned + 3 * kept + _BYTES_PER_BAND_PIXEL * min(pixels, _BAND_PIXELS)


def kept_of(near: float, far: float, pixels: int, extent: float, length: int) -> Kept:
    """Return what is kept along an axis of which near..far is read into `pixels` pixels of the grid.

    extent: where the picture ends. length: where its decoded pixels end, which is up to one pixel later.
    """
    most = _KEPT_PER_PIXEL * pixels
    if extent <= most:
        return Kept(0, length, length)
    if near <= 0 and far >= extent:
        return Kept(0, extent, most)
    scale = max(1.0, (far - near) / max(most / 2, most - 2 * _REACH - 2))
    near, far = max(0.0, near - _REACH * scale), min(extent, far + _REACH * scale)
    if scale > 1:
        return Kept(near, far, min(most, round((far - near) / scale)))
    near, far = math.floor(near), min(length, math.ceil(far))
    return Kept(near, far, far - near)


def _draft(picture: Image.Image, divisor: int) -> int:
    """Ask a JPEG's decoder for a fraction of the size; return the divisor, 1 where there is no such choice."""
    if divisor == 1 or picture.format not in ("JPEG", "MPO"):
        return 1
    width, height = picture.size
    picture.draft(None, (width // divisor, height // divisor))
    return divisor if picture.width == -(-width // divisor) else 1


def _decode(
    picture: Image.Image,
    plan: Plan,
    divisor: int,
    background: tuple[int, int, int],
    name: str,
    notes: tuple[str, ...],
) -> DecodedSource:
    picture.load()
    height, width = plan.turn.size(*plan.size)
    # A divided size is rounded up, so that the last decoded row and column show less of the picture than the others.
    right, bottom = (width / divisor, height / divisor) if divisor > 1 else map(float, picture.size)
    across, down = right / width, bottom / height
    columns = kept_of(plan.box[0] * across, plan.box[2] * across, plan.columns, right, picture.width)
    rows = kept_of(plan.box[1] * down, plan.box[3] * down, plan.rows, bottom, picture.height)
    convert, range_notes = eight_bits(picture)
    pixels = np.empty((*plan.turn.size(rows.pixels, columns.pixels), 3), np.uint8)
    stored = plan.turn.stored_view(pixels)
    for start, band in _bands(picture, rows, columns, convert):
        band = to_srgb(band, picture.info.get("icc_profile"), background)
        stored[start : start + band.height] = band
    place = (
        -columns.near / columns.scale,
        -rows.near / rows.scale,
        (right - columns.near) / columns.scale,
        (bottom - rows.near) / rows.scale,
    )
    place = plan.turn.displayed_box(place, rows.pixels, columns.pixels)
    return DecodedSource(pixels, plan.size, place, name, notes + range_notes)


def _bands(picture: Image.Image, rows: Kept, columns: Kept, convert: Conversion) -> Iterator[tuple[int, Image.Image]]:
    """Yield (first row, pixels) of bands of what is kept of a picture, as L, RGB, RGBA or CMYK."""
    step = max(1, int(_BAND_PIXELS / (picture.width * rows.scale)))
    left, right = columns.source(0, columns.pixels, picture.width)
    for start in range(0, rows.pixels, step):
        stop = min(start + step, rows.pixels)
        top, bottom = rows.source(start, stop, picture.height)
        box = left, top, right, bottom
        band = convert(picture if box == (0, 0, *picture.size) else picture.crop(box))
        if columns.scale == rows.scale == 1:
            yield start, band
            continue
        near, far = rows.near + start * rows.scale - top, rows.near + stop * rows.scale - top
        inner = columns.near - left, near, min(columns.far - left, band.width), min(far, band.height)
        size = columns.pixels, stop - start
        yield start, band.resize(size, Image.Resampling.BICUBIC, inner, _REDUCING_GAP)
