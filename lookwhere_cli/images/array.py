"""Pillow images of NumPy arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.names import in_message


def picture_of(array: NDArray[Any], name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Make an 8-bit image of an array, and notes on how it was scaled. Raises PictureError if it is no picture."""
    array = np.asarray(array)
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))) or 0 in pixels.shape:
        raise PictureError(
            f"{in_message(name)} has shape {array.shape}; a picture is (height, width), (height, width, 3) or "
            "(height, width, 4), with at least one pixel."
        )
    levels, notes = _levels(pixels, name)
    return Image.fromarray(np.ascontiguousarray(levels)), notes


def _levels(pixels: NDArray[Any], name: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    if pixels.dtype == np.uint8:
        return pixels, ()
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255), ()
    if pixels.dtype == np.uint16:
        return np.rint(pixels / np.float32(257)).astype(np.uint8), ()
    if np.issubdtype(pixels.dtype, np.floating):
        return _float_levels(pixels.astype(np.float64))
    raise PictureError(
        f"{in_message(name)} holds {pixels.dtype}; a picture holds bool, uint8, uint16 or floating-point values."
    )


def _float_levels(pixels: NDArray[np.float64]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    finite = pixels[np.isfinite(pixels)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    notes: tuple[str, ...] = (f"float, scaled from {low:g}..{high:g}",)
    if low >= 0 and high <= 1:
        low, high, notes = 0.0, 1.0, ()
    scale = 255.0 / (high - low) if high > low else 0.0
    levels = (np.clip(np.nan_to_num(pixels, nan=low, posinf=high, neginf=low), low, high) - low) * scale
    return np.rint(levels).astype(np.uint8), notes
