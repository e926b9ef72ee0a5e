"""Decoding of pictures at the smallest scale that fills their grid."""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.blocks import enlarge_blocks
from lookwhere_cli.images.colour import eight_bits, to_srgb
from lookwhere_cli.images.cost import decoded_pixel_bytes, decoder_pixel_bytes
from lookwhere_cli.images.frame import Box, Reading, frame_for
from lookwhere_cli.images.header import check_pixels, failures, header_notes, opened_picture, turn_of
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.images.load import loaded
from lookwhere_cli.images.names import EncodedPicture, in_message, picture_name
from lookwhere_cli.images.notes import notes_of
from lookwhere_cli.images.orientation import Turn
from lookwhere_cli.images.reduce import PIXELS_PER_GRID_PIXEL, band_count, reduced_bands, reduction_for
from lookwhere_cli.images.samples import samples_of
from lookwhere_cli.images.source import DecodedSource
from lookwhere_cli.images.tiff import is_misread

_BYTES_PER_BAND_PIXEL = 12

Reserve: TypeAlias = Callable[[int], None]
"""Called with the bytes that decoding a picture will take, before it begins; may block until there is room for them."""


def unlimited(_size: int) -> None:
    """Reserve nothing: decoding begins at once."""


class Plan(NamedTuple):
    """What is known of a picture before it is decoded. Everything but `size` refers to the picture as it is stored.

    size: (height, width) as displayed. box: the part that is read, in full-resolution pixels. rows, columns: the grid's
    size in pixels.
    """

    turn: Turn
    size: tuple[int, int]
    box: Box
    rows: int
    columns: int

    @property
    def divisor(self) -> int:
        """The largest of a JPEG decoder's divisors (8, 4, 2, 1) that leaves a pixel or more for each grid pixel."""
        left, top, right, bottom = self.box
        scale = min((right - left) / self.columns, (bottom - top) / self.rows)
        return next((divisor for divisor in (8, 4, 2) if scale >= divisor), 1)


def decode_file(file: EncodedPicture, reading: Reading, name: str = "", reserve: Reserve = unlimited) -> DecodedSource:
    """Decode a picture file; `name` replaces its path in messages. Raises PictureError, which names the picture."""
    name = name or picture_name(file)
    with opened_picture(file, name, reading.max_pixels) as picture:
        plan, notes = plan_for(picture, reading), header_notes(picture)
        divisor = _draft(picture, plan.divisor)
        reserve(decoding_bytes(picture, plan, divisor))
        return _decode(picture, plan, divisor, reading.background, name, notes)


def decode_picture(
    picture: Image.Image, reading: Reading, name: str = "", notes: tuple[str, ...] = ()
) -> DecodedSource:
    """Decode a Pillow image, which is not changed. Raises PictureError with a sentence that names it."""
    with failures(name), pillow_limit(reading.max_pixels):
        check_pixels(picture, name, reading.max_pixels)
        if is_misread(picture):
            raise PictureError(
                f"{in_message(name)} is a TIFF that Pillow reads wrongly (16 bits, in planes); give its path instead."
            )
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
    """Estimate the memory, in bytes, that decoding a picture takes at its peak, from its header.

    picture: with the size at which it will be decoded. divisor: of its full size by that size.
    """
    width, height = picture.size
    pixels = width * height
    reduced = min(pixels, PIXELS_PER_GRID_PIXEL**2 * plan.rows * plan.columns)
    decoder = math.ceil(divisor**2 * pixels * decoder_pixel_bytes(picture))
    band = _BYTES_PER_BAND_PIXEL * pixels // band_count(pixels)
    return decoder + pixels * decoded_pixel_bytes(picture) + band + 3 * reduced


def _draft(picture: Image.Image, divisor: int) -> int:
    """Have a JPEG decoded at a fraction of its size; return the divisor, 1 for a format that has no such choice."""
    if divisor == 1 or picture.format not in ("JPEG", "MPO"):
        return 1
    if divisor == 8 and _uneven_colours(picture):
        divisor = 4
    width, height = picture.size
    picture.draft(None, (width // divisor, height // divisor))
    return divisor if picture.width == -(-width // divisor) else 1


def _uneven_colours(picture: Image.Image) -> bool:
    """Return True for a JPEG whose colours are sampled less across than down, or the other way round.

    At 1/8 of the size the decoder would repeat them, and not interpolate.
    """
    layers: list[tuple[int, int, int, int]] = getattr(picture, "layer", [])
    return any(across != down for _, across, down, _ in layers)


def _decode(
    picture: Image.Image,
    plan: Plan,
    divisor: int,
    background: tuple[int, int, int],
    name: str,
    notes: tuple[str, ...],
) -> DecodedSource:
    enlarge_blocks()
    samples = samples_of(picture)
    picture = loaded(picture)
    height, width = plan.turn.size(*plan.size)
    # A divided size is rounded up: the last decoded row and column show less of the picture than the others.
    right, bottom = (width / divisor, height / divisor) if divisor > 1 else map(float, picture.size)
    across, down = right / width, bottom / height
    columns = reduction_for(plan.box[0] * across, plan.box[2] * across, plan.columns, right, picture.width)
    rows = reduction_for(plan.box[1] * down, plan.box[3] * down, plan.rows, bottom, picture.height)
    convert, range_notes = eight_bits(picture, samples)
    pixels = np.empty((*plan.turn.size(rows.pixels, columns.pixels), 3), np.uint8)
    stored = plan.turn.stored_view(pixels)
    for first, band in reduced_bands(picture, rows, columns, convert):
        band = to_srgb(band, picture.info.get("icc_profile"), background)
        stored[first : first + band.height] = band
    place = (
        -columns.start / columns.scale,
        -rows.start / rows.scale,
        (right - columns.start) / columns.scale,
        (bottom - rows.start) / rows.scale,
    )
    place = plan.turn.displayed_box(place, rows.pixels, columns.pixels)
    return DecodedSource(pixels, plan.size, place, name, tuple(dict.fromkeys(notes + notes_of(picture) + range_notes)))
