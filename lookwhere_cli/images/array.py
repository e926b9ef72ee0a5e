"""Conversion of NumPy arrays and tensors to Pillow images."""

from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.levels import Range, sixteen_bits, to_levels
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.samples import FULL_RANGE
from lookwhere_cli.images.tensor import array_of, is_tensor


def picture_of(array: object, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Convert an array to an 8-bit image; return it with notes on how its values were scaled.

    array: (h, w), (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA; a tensor's channels may come first. bool, uint8 (0..255),
    uint16 (0..65535, or fewer bits if 14 or fewer are used), or float: 0..1, or with values outside of that, scaled
    from its own finite range. Raises PictureError, naming the picture, for an
    array of another shape or type.
    """
    array = array_of(array, name) if is_tensor(array) else np.asarray(array)
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))) or 0 in pixels.shape:
        raise PictureError(
            f"{in_message(name)} has shape {array.shape}; a picture is (height, width), (height, width, 3) or "
            "(height, width, 4), with at least one pixel; a tensor may have its channels first."
        )
    levels, notes = _levels(pixels, name)
    return Image.fromarray(np.ascontiguousarray(levels)), notes


def _levels(pixels: ndarray[Any, Any], name: str) -> tuple[UInt8[ndarray, "..."], tuple[str, ...]]:
    """Scale values to 0..255."""
    if pixels.dtype == np.uint8:
        return pixels, ()
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255), ()
    if pixels.dtype == np.uint16:
        span = sixteen_bits(float(pixels[..., :3].max() if pixels.ndim == 3 else pixels.max()))
        return _sixteen_bit_levels(pixels, span), span.notes
    if np.issubdtype(pixels.dtype, np.floating):
        return _float_levels(pixels)
    raise PictureError(
        f"{in_message(name)} holds {pixels.dtype}; a picture holds bool, uint8, uint16 or floating-point values."
    )


def _sixteen_bit_levels(pixels: ndarray[Any, Any], span: Range) -> UInt8[ndarray, "..."]:
    """Scale colours by the range of the bits in use; alpha, too, unless it has more bits than these."""
    levels = to_levels(pixels, span)
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        fits = 0 < pixels[..., 3].max() <= span.high
        levels[..., 3] = to_levels(pixels[..., 3], Range(0.0, span.high if fits else FULL_RANGE))
    return levels


def _float_levels(pixels: ndarray[Any, Any]) -> tuple[UInt8[ndarray, "..."], tuple[str, ...]]:
    """Scale 0..1, or else the finite range of the values, to 0..255; not-a-number becomes 0."""
    pixels = pixels.astype(np.float64)
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    notes: tuple[str, ...] = (f"float, scaled from {low:g}..{high:g}",)
    if low >= 0 and high <= 1:
        low, high, notes = 0.0, 1.0, ()
    scale = 255.0 / (high - low) if high > low else 0.0
    levels = (np.clip(np.nan_to_num(pixels, nan=low, posinf=high, neginf=low), low, high) - low) * scale
    return np.rint(levels).astype(np.uint8), notes
