"""Scores to colours that everyone can tell apart, and the dimming of what was not read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Inferno at even steps: its lightness rises evenly, so it survives every colour blindness and a grey printer.
_INFERNO = np.array(
    [
        (0x00, 0x00, 0x04),
        (0x21, 0x0C, 0x4A),
        (0x57, 0x10, 0x6E),
        (0x8A, 0x22, 0x6A),
        (0xBC, 0x37, 0x54),
        (0xE4, 0x5A, 0x31),
        (0xF9, 0x8E, 0x09),
        (0xF9, 0xCB, 0x35),
        (0xFC, 0xFF, 0xA4),
    ],
    dtype=np.float32,
)
_LUMA = np.array((0.299, 0.587, 0.114), dtype=np.float32)


def heat_levels(scores: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Stretch scores of any shape and range to 0..1, lowest to highest; equal scores give 0.5, as does NaN."""
    finite = scores[np.isfinite(scores)]
    if not finite.size or finite.max() == finite.min():
        return np.full(scores.shape, 0.5, dtype=np.float32)
    low, high = float(finite.min()), float(finite.max())
    levels = (scores.astype(np.float64) - low) / (high - low)
    return np.nan_to_num(levels, nan=0.5).clip(0, 1).astype(np.float32)


def heat_colours(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour levels of 0..1: any shape in, the same shape and 3 channels out."""
    anchors = np.linspace(0, 1, len(_INFERNO))
    channels = [np.interp(levels, anchors, _INFERNO[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def faded(pixels: NDArray[np.uint8], brightness: float, colour: float) -> NDArray[np.uint8]:
    """Darken pixels (..., 3) to a share of their brightness and keep a share of their colour, each 0..1."""
    grey = (pixels @ _LUMA)[..., None]
    return np.rint(brightness * (grey + colour * (pixels - grey))).astype(np.uint8)


def mixed(below: NDArray[np.uint8], above: NDArray[np.uint8], opacity: float) -> NDArray[np.uint8]:
    """Lay one picture over another, (..., 3) both; `opacity`, 0..1, is the upper one's."""
    return np.rint(below + opacity * (above.astype(np.float32) - below)).astype(np.uint8)
