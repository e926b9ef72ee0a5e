"""Scaling of a raster's values to 8-bit levels: by percentiles of its overview, or by a range that the user gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Shaped, UInt8
from numpy import ndarray

PERCENTILES = (2.0, 98.0)
"""Of the values of the overview: they become 0 and 255."""


class Stretch(NamedTuple):
    """The values of each band that become 0 and 255. notes: what rows should say about them."""

    low: tuple[float, ...]
    high: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def levels(self, values: Shaped[ndarray, "bands height width"]) -> UInt8[ndarray, "bands height width"]:
        """Map the ranges to 0..255; what is no number becomes 0."""
        if values.dtype == np.uint8 and set(zip(self.low, self.high, strict=True)) == {(0.0, 255.0)}:
            return values
        levels = np.empty(values.shape, np.uint8)
        exact = np.float32 if values.dtype.itemsize <= 2 or values.dtype == np.float32 else np.float64
        for band, low, high, out in zip(values, self.low, self.high, levels, strict=True):
            scale = 255.0 / (high - low) if high > low else 0.0
            scaled = (np.nan_to_num(band.astype(exact), nan=low, posinf=high, neginf=low) - low) * scale
            out[:] = np.clip(np.rint(scaled), 0, 255)
        return levels


def plain_stretch(bands: int, greatest: float) -> Stretch:
    """Return the stretch of values that are levels: 0..greatest become 0..255."""
    return Stretch((0.0,) * bands, (float(greatest),) * bands)


def fixed_stretch(span: tuple[float, float], bands: int) -> Stretch:
    """Return the stretch from a range that the user gives, for every band."""
    low, high = span
    return Stretch((low,) * bands, (high,) * bands, (f"stretched from {low:g}..{high:g}",))


def percentile_stretch(values: Shaped[ndarray, "bands height width"], valid: Bool[ndarray, "height width"]) -> Stretch:
    """Return the stretch by the percentiles of the values of an overview that hold data, band by band."""
    if not valid.any():
        return Stretch(
            (0.0,) * len(values), (0.0,) * len(values), ("no data in all that was looked at of the overview",)
        )
    pairs = [_percentiles(band[valid]) for band in values]
    low, high = (tuple(pair[side] for pair in pairs) for side in (0, 1))
    return Stretch(low, high, (_note(values.dtype, pairs),))


def _percentiles(values: Shaped[ndarray, " values"]) -> tuple[float, float]:
    finite = values[np.isfinite(values)] if np.issubdtype(values.dtype, np.floating) else values
    if not finite.size:
        return 0.0, 0.0
    low, high = (float(value) for value in np.percentile(finite.astype(np.float64), PERCENTILES))
    return (low, high) if high > low else (float(finite.min()), float(finite.max()))


def percentile_note(dtype: np.dtype[Any]) -> str:
    """Return the note about a stretch by percentiles that were not computed yet."""
    return _sentence(dtype, f"percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g} of the overview", "")


def _note(dtype: np.dtype[Any], pairs: Sequence[tuple[float, float]]) -> str:
    ranges = ", ".join(dict.fromkeys(f"{low:g}..{high:g}" for low, high in pairs))
    return _sentence(dtype, ranges, f"percentiles {PERCENTILES[0]:g} and {PERCENTILES[1]:g} of the overview; ")


def _sentence(dtype: np.dtype[Any], span: str, origin: str) -> str:
    kind = "float" if np.issubdtype(dtype, np.floating) else "integer"
    return f"{8 * dtype.itemsize}-bit {kind}, stretched from {span} ({origin}--stretch-range fixes it)"
