"""Colour of 16 bits per channel, of which Pillow keeps the upper 8: all of them, where the upper ones hold little."""

from typing import IO, Any

import numpy as np
from jaxtyping import UInt8, UInt16
from numpy import ndarray
from PIL import Image

from lookwhere_cli.images.levels import sixteen_bits, to_levels
from lookwhere_cli.images.notes import add_note

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B"}
_FEW = 64
"""Upper bytes below this belong to values of at most 14 bits."""


def is_16_bit_colour(tiles: list[Any], mode: str) -> bool:
    """Return True if a picture's tiles hold 16 bits per channel of a colour that Pillow has in 8."""
    if mode not in ("RGB", "RGBA", "LA") or not tiles:
        return False
    return _raw_mode(tiles[0])[:-1].endswith(";16") or _is_ppm(tiles)


def uses_few_bits(picture: Image.Image) -> bool:
    """Return True if the upper bytes of a picture's colours are so small that its values have 14 bits or fewer."""
    return max(int(np.asarray(band).max()) for band in _colours(picture)) < _FEW


def all_bits(picture: Image.Image, stream: IO[bytes], tiles: list[Any]) -> Image.Image:
    """Return a picture whose values of few bits are scaled to 8; `tiles` are those that it had before decoding."""
    values = _values(picture, stream, tiles)
    span = sixteen_bits(float(values.max()))
    levels = [Image.fromarray(band) for band in np.moveaxis(to_levels(values, span), -1, 0)]
    alpha = [_alpha(picture.getchannel("A"), span.high)] if "A" in picture.getbands() else []
    whole = Image.merge(picture.mode, levels + alpha)
    whole.info, whole.format = picture.info, picture.format
    for note in span.notes:
        add_note(whole, note)
    return whole


def _alpha(upper: Image.Image, high: float) -> Image.Image:
    """Return alpha, scaled as the colours are if it has no more bits than these. upper: its upper bytes."""
    values = np.asarray(upper)
    if 256 * int(values.max()) > high:
        return upper
    levels = np.where(values > 0, np.minimum((256.0 * values + 255) * 255 / high, 255), 0)
    return Image.fromarray(np.rint(levels).astype(np.uint8))


def _values(picture: Image.Image, stream: IO[bytes], tiles: list[Any]) -> UInt16[ndarray, "h w c"]:
    """Decode all 16 bits of a picture's colours."""
    if _is_ppm(tiles):
        stream.seek(tiles[0].offset)
        data = stream.read(6 * picture.width * picture.height)
        return np.frombuffer(data, ">u2").reshape(picture.height, picture.width, 3)
    if _raw_mode(tiles[0]) == "LA;16B":  # a PNG's two channels of two bytes look like four of one
        upper, lower, *_ = _reopened(picture, stream, [tiles[0]._replace(args="RGBA")], "RGBA").split()
        grey = np.asarray(upper).astype(np.uint16) * 256 + np.asarray(lower)
        return grey[..., None].repeat(len(_colours(picture)), axis=-1)
    lower_bytes = _reopened(picture, stream, [_swapped(tile) for tile in tiles], picture.mode)
    return _stacked(picture).astype(np.uint16) * 256 + _stacked(lower_bytes)


def _reopened(picture: Image.Image, stream: IO[bytes], tiles: list[Any], mode: str) -> Image.Image:
    """Decode a picture again, in another mode or with its bytes in another order."""
    stream.seek(0)
    opened = Image.OPEN[picture.format or ""][0](stream, "")
    opened.tile, opened._mode = tiles, mode
    opened.load()
    return opened


def _colours(picture: Image.Image) -> list[Image.Image]:
    return [picture.getchannel(band) for band in picture.getbands() if band != "A"]


def _stacked(picture: Image.Image) -> UInt8[ndarray, "h w c"]:
    return np.dstack([np.asarray(band) for band in _colours(picture)])


def _is_ppm(tiles: list[Any]) -> bool:
    return tiles[0].codec_name == "ppm" and tiles[0].args[1] == 65535


def _raw_mode(tile: Any) -> str:
    return str(tile.args[0] if isinstance(tile.args, tuple) else tile.args)


def _swapped(tile: Any) -> Any:
    """Return a tile whose values are read with their bytes in the other order, so that the lower ones are kept."""
    mode = _raw_mode(tile)
    swapped = mode[:-1] + _OTHER_ORDER[mode[-1]]
    return tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)
