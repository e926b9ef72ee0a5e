"""What a file says about its values beyond Pillow's mode: their range, their direction, the value for "no data"."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped
from numpy import ndarray
from PIL import Image

_PHOTOMETRIC, _BITS, _SAMPLE_FORMAT, _MAX_VALUE, _NODATA = 262, 258, 339, 281, 42113
_WHITE_IS_ZERO, _UNSIGNED, _SIGNED = 0, 1, 2
SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
FULL_RANGE = 65535
_FEWEST_BITS = 8
_MOST_BITS = 14
"""16-bit values that need at most this many bits are taken for those of a camera that has no more."""
_EXTREME = 3.4e38
"""Float values beyond this are programs' ways to write "no data"."""


class Samples(NamedTuple):
    """How the values of a picture are to be understood.

    high: the greatest value that a sample may have, if the file declares it. inverted: zero is white, and Pillow did
    not turn that. nodata: the value of pixels that show nothing. signed: 8-bit values are -128..127. unsigned: 32-bit
    values are not negative. deep: colour of 16 bits, of which Pillow keeps the upper 8.
    """

    high: float | None = None
    inverted: bool = False
    nodata: float | None = None
    signed: bool = False
    unsigned: bool = False
    deep: bool = False

    def values(self, picture: Image.Image) -> Shaped[ndarray, "h w"]:
        """Return the values of one-channel pixels, in their own type."""
        values = np.asarray(picture)
        if self.signed:
            return values.view(np.int8)
        return values.astype(np.int32).view(np.uint32) if self.unsigned else values

    def is_nodata(self, values: Shaped[ndarray, "..."]) -> Bool[ndarray, "..."]:
        """Return where values mean that there is no data."""
        return equals(values, self.nodata)


def samples_of(picture: Image.Image) -> Samples:
    """Return what the header of a picture says about its values. Call it before the pixels are decoded."""
    tags = getattr(picture, "tag_v2", None)
    if tags is not None:
        return _of_tiff(picture.mode, tags)
    declared = FULL_RANGE if picture.mode == "I" and _declares_range(picture) else None
    transparent = picture.info.get("transparency") if picture.mode in SIXTEEN_BITS else None
    return Samples(declared, nodata=transparent, deep=";16" in _raw_mode(picture) and picture.mode not in SIXTEEN_BITS)


def number_of(text: object) -> float | None:
    """Read the value for "no data" as GDAL writes it, such as "-9999" or "nan"; None if it is no number."""
    if isinstance(text, tuple | list):
        text = text[0] if text else None
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    try:
        return float(str(text).strip(" \0").replace(",", "."))
    except ValueError:
        return None


def equals(values: Shaped[ndarray, "..."], nodata: float | None) -> Bool[ndarray, "..."]:
    """Return where values equal the one for "no data", in their own precision; nowhere if there is none."""
    if nodata is None:
        return np.zeros(values.shape, bool)
    if not np.issubdtype(values.dtype, np.floating):
        return values == nodata
    if math.isnan(nodata):
        return np.isnan(values)
    if abs(nodata) >= _EXTREME:  # written with fewer digits than the value has
        return is_extreme(values) & (np.sign(values) == np.sign(nodata))
    return values == values.dtype.type(nodata)


def is_extreme(values: Shaped[ndarray, "..."]) -> Bool[ndarray, "..."]:
    """Return where floats are not finite, or so large that they stand for "no data"."""
    if not np.issubdtype(values.dtype, np.floating):
        return np.zeros(values.shape, bool)
    return ~np.isfinite(values) | (np.abs(values.astype(np.float64)) >= _EXTREME)


def bits_in_use(greatest: float) -> int | None:
    """Return how many bits 16-bit values use, 8 to 14, if they are so few that the rest can't be meant; else None."""
    bits = max(_FEWEST_BITS, int(greatest).bit_length())
    return bits if greatest > 0 and bits <= _MOST_BITS else None


def bits_note(bits: int) -> str:
    """Return the note on values of few bits that are stored in 16."""
    return f"16 bits per value of which {bits} are used, scaled from 0..{2**bits - 1}"


def _of_tiff(mode: str, tags: Any) -> Samples:
    bits = max(tags.get(_BITS, (1,)))
    number_type = tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))[0]
    white_is_zero = tags.get(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO
    high = None if number_type != _UNSIGNED else declared_high(tags.get(_MAX_VALUE), bits)
    return Samples(
        high if mode in SIXTEEN_BITS else None,
        white_is_zero and (mode in SIXTEEN_BITS or mode in ("I", "F")),
        _stored_nodata(number_of(tags.get(_NODATA)), mode, bits, white_is_zero),
        number_type == _SIGNED and mode == "L",
        number_type == _UNSIGNED and mode == "I" and bits == 32,
        bits == 16 and mode not in SIXTEEN_BITS and mode not in ("I", "F"),
    )


def declared_high(maximum: object, bits: int) -> float | None:
    """Return the greatest value that MaxSampleValue or a number of bits below 16 declares for 16-bit values."""
    if isinstance(maximum, tuple):
        maximum = max(maximum, default=None)
    if isinstance(maximum, int) and 2**_FEWEST_BITS <= maximum < FULL_RANGE:
        return float(maximum)
    return float(2**bits - 1) if _FEWEST_BITS < bits < 16 else None


def _stored_nodata(nodata: float | None, mode: str, bits: int, white_is_zero: bool) -> float | None:
    """Return the value for "no data" as Pillow gives it, which spreads few bits over 8, and turns inverted grey."""
    if nodata is None or mode != "L":
        return nodata
    spread = nodata * 255 / (2 ** min(bits, 8) - 1)
    return 255 - spread if white_is_zero else spread


def _raw_mode(picture: Image.Image) -> str:
    tile = next(iter(getattr(picture, "tile", ())), None)
    arguments = tile[3] if tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def _declares_range(picture: Image.Image) -> bool:
    """Return True if a PPM declares a range other than that of 16 bits, to which Pillow scales it."""
    tile = next(iter(getattr(picture, "tile", ())), None)
    return tile is not None and str(tile[0]).startswith("ppm") and tile[3][1] != FULL_RANGE
