"""Conversion of any pixel format to 8-bit sRGB on a background."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from io import BytesIO
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from jaxtyping import Bool, Shaped
from numpy import ndarray
from PIL import Image, ImageChops

from lookwhere_cli.images.levels import Range, range_of, to_levels
from lookwhere_cli.images.samples import SIXTEEN_BITS, Samples, bits_in_use, bits_note

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

_STRIP_PIXELS = 1 << 18
_SAME_COLOUR = 2
"""Levels of 255 by which a transform may change a colour and still count as sRGB's own."""

AS_STORED = Samples()
Conversion: TypeAlias = Callable[[Image.Image], Image.Image]


def eight_bits(picture: Image.Image, samples: Samples = AS_STORED) -> tuple[Conversion, tuple[str, ...]]:
    """Return a function that converts any part of a picture to L, RGB, RGBA or CMYK with 8 bits a channel, and notes.

    samples: what its file says about its values. 16-bit grey is scaled by the type's range, or that of the bits in use;
    32-bit integers and floats by the picture's own finite range; notes name both. Pixels without data become
    transparent.
    """
    if picture.mode in (*SIXTEEN_BITS, "I", "F") or samples.signed:
        dtype = np.dtype(np.uint16) if _is_16_bit_grey(picture) else samples.values(picture.crop((0, 0, 1, 1))).dtype
        span = range_of((values for _, values in _strips(picture, samples)), samples, dtype)
        return partial(_rescaled, samples=samples, span=span), span.notes
    conversion = partial(_converted, mode=_eight_bit_mode(picture))
    if samples.nodata is not None:
        return partial(_without_nodata, samples=samples, conversion=conversion), ()
    if samples.deep and picture.mode in ("RGB", "RGBA", "LA", "L"):
        return _stretched(picture, conversion)
    return conversion, ()


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


def _eight_bit_mode(picture: Image.Image) -> str:
    if picture.has_transparency_data or picture.mode in ("La", "RGBa"):
        return "RGBA"
    if picture.mode in ("1", "L"):
        return "L"
    return "CMYK" if picture.mode == "CMYK" else "RGB"


def _is_16_bit_grey(picture: Image.Image) -> bool:
    return picture.mode in SIXTEEN_BITS or (picture.mode == "I" and picture.format == "PPM")


def _converted(picture: Image.Image, mode: str) -> Image.Image:
    # Pillow copies a picture even if there is nothing to convert.
    if picture.mode == mode:
        return picture
    if picture.mode == "LAB":
        return _from_lab(picture).convert(mode)
    return (picture.convert("LA") if picture.mode == "La" else picture).convert(mode)


def _from_lab(picture: Image.Image) -> Image.Image:
    from PIL import ImageCms  # deferred: most pictures are RGB

    profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, *profiles, outputMode="RGB")
    assert converted is not None  # it returns None only where it works in place
    return converted


def _strips(picture: Image.Image, samples: Samples) -> Iterator[tuple[int, Shaped[ndarray, "h w"]]]:
    """Yield (top row, values) of strips of rows: double precision takes 8 bytes a pixel."""
    rows = max(1, _STRIP_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        yield top, samples.values(strip)


def _rescaled(picture: Image.Image, samples: Samples, span: Range) -> Image.Image:
    """Map the range to 0..255; where there may be pixels without data, these are transparent."""
    canvas = Image.new("L", picture.size)
    opaque = Image.new("L", picture.size, 255)
    for top, values in _strips(picture, samples):
        canvas.paste(Image.fromarray(to_levels(values, span, samples.inverted)), (0, top))
        if samples.nodata is not None:
            opaque.paste(_opacity(samples.is_nodata(values)), (0, top))
    return canvas if samples.nodata is None else Image.merge("RGBA", (canvas, canvas, canvas, opaque))


def _opacity(is_nodata: Bool[ndarray, "h w"]) -> Image.Image:
    return Image.fromarray(np.where(is_nodata, np.uint8(0), np.uint8(255)))


def _without_nodata(picture: Image.Image, samples: Samples, conversion: Conversion) -> Image.Image:
    """Convert 8-bit pixels; those without data, in all channels of colour, become transparent."""
    values = np.asarray(picture)
    if values.ndim == 3:
        values = values[..., :3] if picture.mode in ("RGBA", "RGBX") else values
    is_nodata = samples.is_nodata(values)
    hidden = np.asarray(is_nodata.all(-1)) if is_nodata.ndim == 3 else is_nodata
    converted = conversion(picture).convert("RGBA")
    converted.putalpha(ImageChops.darker(converted.getchannel("A"), _opacity(hidden)))
    return converted


def _stretched(picture: Image.Image, conversion: Conversion) -> tuple[Conversion, tuple[str, ...]]:
    """Brighten colour of 16 bits, of which Pillow kept the upper 8, if 14 or fewer are used."""
    colours = [picture.getchannel(band) for band in picture.getbands() if band != "A"]
    greatest = max(int(np.asarray(colour).max()) for colour in colours)
    bits = bits_in_use(256 * greatest + 255)
    if bits is None or greatest == 0:
        return conversion, ()
    table = [min(255, round(level * 255 / (2 ** (bits - 8) - 1))) for level in range(256)]
    return partial(_brightened, conversion=conversion, table=table), (bits_note(bits),)


def _brightened(picture: Image.Image, conversion: Conversion, table: list[int]) -> Image.Image:
    converted = conversion(picture)
    tables = table * (len(converted.getbands()) - (converted.mode == "RGBA"))
    return converted.point(tables + list(range(256)) if converted.mode == "RGBA" else tables)


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
