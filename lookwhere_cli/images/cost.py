"""Memory that decoders need, in bytes per pixel, as measured on pictures of 36 megapixels."""

from PIL import Image

_RETURNED = dict.fromkeys(("1", "L", "P"), 1) | dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), 2)
_DECODERS = {"WEBP": 12.0, "AVIF": 6.0, "HEIF": 6.0, "QOI": 3.0, "DDS": 3.0, "SGI": 3.0}
_JPEG2000_PER_BAND = 5.2
_COEFFICIENT = 2


def decoded_pixel_bytes(picture: Image.Image) -> int:
    """Return the bytes that Pillow holds for a decoded pixel."""
    return _RETURNED.get(picture.mode, 4)


def decoder_pixel_bytes(picture: Image.Image) -> float:
    """Return the bytes per pixel of the full size that a decoder needs in addition to the pixels that it returns."""
    if (own := getattr(picture, "decoder_pixel_bytes", None)) is not None:
        return float(own)
    if picture.format in ("JPEG", "MPO"):
        return _coefficients(picture) if picture.info.get("progressive") else 0.0
    if picture.format == "JPEG2000":
        return _JPEG2000_PER_BAND * len(picture.getbands())
    return _DECODERS.get(picture.format or "", 0.0)


def _coefficients(picture: Image.Image) -> float:
    """Return the bytes of a progressive JPEG's coefficients: all are held, whatever size is decoded."""
    layers: list[tuple[int, int, int, int]] = getattr(picture, "layer")  # noqa: B009 - JPEG's own attribute
    sampled = [horizontal * vertical for _, horizontal, vertical, _ in layers]
    return _COEFFICIENT * sum(sampled) / max(sampled)
