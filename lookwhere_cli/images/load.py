"""Decoding the pixels of an opened picture, with what Pillow needs to get them right."""

from contextlib import suppress

from PIL import Image

from lookwhere_cli.images import tiff
from lookwhere_cli.images.jpeg import without_end
from lookwhere_cli.images.notes import add_note
from lookwhere_cli.images.sixteen import all_bits, is_16_bit_colour, uses_few_bits


def loaded(picture: Image.Image) -> Image.Image:
    """Decode a picture's pixels and return it, or another one in its place where Pillow alone can't get them right.

    Raises what Pillow raises for damaged pixels.
    """
    tiff.mend(picture)
    stream, tiles = getattr(picture, "fp", None), list(getattr(picture, "tile", []))
    try:
        picture.load()
    except OSError:
        if picture.format != "JPEG" or stream is None or (whole := without_end(picture, stream)) is None:
            raise
        add_note(whole, "the end marker of the JPEG is missing")
        return whole
    if stream is not None and is_16_bit_colour(tiles, picture.mode) and uses_few_bits(picture):
        with suppress(OSError, ValueError, SyntaxError):  # then only the upper bits count
            return all_bits(picture, stream, tiles)
    return picture
