"""Conversion of any pixel format to 8-bit sRGB on a background."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Float64
from numpy import ndarray
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}
_STRIP_PIXELS = 1 << 18
_SAME_COLOUR = 2
"""Levels of 255 by which a transform may change a colour and still count as sRGB's own."""

Conversion: TypeAlias = Callable[[Image.Image], Image.Image]


def eight_bits(picture: Image.Image) -> tuple[Conversion, tuple[str, ...]]:
    """Return a function that converts any part of a picture to L, RGB, RGBA or CMYK with 8 bits a channel, and notes.

    16-bit grey is scaled by the type's range; 32-bit integers and floats by the picture's own finite range, which the
    note names. (Pillow itself returns the upper 8 bits of 16-bit colour.)
    """
    if picture.mode in _SIXTEEN_BITS or (picture.mode == "I" and picture.format == "PPM"):
        return partial(_rescaled, low=0.0, high=65535.0), ()
    if picture.mode in ("I", "F"):
        low, high = _finite_range(picture)
        kind = "32-bit float" if picture.mode == "F" else "32-bit integer"
        return partial(_rescaled, low=low, high=high), (f"{kind}, scaled from {low:g}..{high:g}",)
    if picture.has_transparency_data:
        return partial(_converted, mode="RGBA"), ()
    if picture.mode in ("1", "L"):
        return partial(_converted, mode="L"), ()
    return partial(_converted, mode="CMYK" if picture.mode == "CMYK" else "RGB"), ()


def to_srgb(picture: Image.Image, profile: bytes | None, background: tuple[int, int, int]) -> Image.Image:
    """Convert an 8-bit L, RGB, RGBA or CMYK picture to RGB: apply its ICC profile, then compose it on the background.

    A profile that is damaged, or made for another kind of pixel, is ignored.
    """
    transform = _transform(profile, picture.mode) if profile else None
    if transform is not None:
        picture = transform.apply(picture)
    if picture.mode == "RGBA":
        canvas = Image.new("RGB", picture.size, background)
        canvas.paste(picture, mask=picture)
        return canvas
    return _converted(picture, "RGB")


def _converted(picture: Image.Image, mode: str) -> Image.Image:
    # Pillow copies a picture even if there is nothing to convert.
    return picture if picture.mode == mode else picture.convert(mode)


def _strips(picture: Image.Image) -> Iterator[tuple[int, Float64[ndarray, "h w"]]]:
    """Yield (top row, values) of strips of rows: double precision takes 8 bytes a pixel."""
    rows = max(1, _STRIP_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        yield top, np.asarray(strip).astype(np.float64)


def _finite_range(picture: Image.Image) -> tuple[float, float]:
    """Return the least and the greatest finite value; (0, 0) if there is none."""
    low, high = np.inf, -np.inf
    for _, values in _strips(picture):
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)


def _rescaled(picture: Image.Image, low: float, high: float) -> Image.Image:
    """Map low..high to 0..255; not-a-number becomes 0, and so does all of a picture of one value."""
    canvas = Image.new("L", picture.size)
    scale = 255.0 / (high - low) if high > low else 0.0
    for top, values in _strips(picture):
        levels = (np.clip(np.nan_to_num(values, nan=low, posinf=high, neginf=low), low, high) - low) * scale
        canvas.paste(Image.fromarray(np.rint(levels).astype(np.uint8)), (0, top))
    return canvas


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    """Build the transform from a profile to sRGB, once per profile; None if it can't be built, or changes nothing."""
    from PIL import ImageCms  # deferred: most pictures have no profile

    target = "RGBA" if mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, target)
        return None if mode == "RGB" and _changes_nothing(transform) else transform
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _changes_nothing(transform: "ImageCmsTransform") -> bool:
    """Return True if a transform changes no colour visibly, as one from sRGB itself."""
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    transformed = np.asarray(transform.apply(Image.fromarray(colours)))
    return int(np.abs(transformed.astype(int) - colours).max()) <= _SAME_COLOUR
