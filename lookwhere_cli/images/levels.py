"""Scaling of values of any type to 8-bit levels."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from numpy import ndarray

from lookwhere_cli.images.samples import FULL_RANGE, Samples, bits_in_use, bits_note, is_extreme


class Range(NamedTuple):
    """Values low..high become 0..255; `notes` say so where it is not obvious."""

    low: float
    high: float
    notes: tuple[str, ...] = ()


def range_of(strips: Iterable[Shaped[ndarray, "..."]], samples: Samples, dtype: np.dtype[Any]) -> Range:
    """Return the range of values of a picture that is handed over in parts; values for "no data" do not count.

    8 bits: the type's range. 16 bits without sign: what the file declares or else the type's range, unless 14 bits or
    fewer are used. Everything else: the values' own finite range.
    """
    if dtype == np.uint8 or dtype == np.bool_:
        return Range(0.0, 255.0 if dtype == np.uint8 else 1.0)
    if dtype != np.uint16:
        low, high = _own_range(strips, samples)
        name = "float" if np.issubdtype(dtype, np.floating) else "integer"
        return Range(low, high, (f"{8 * dtype.itemsize}-bit {name}, scaled from {low:g}..{high:g}",))
    if samples.high is not None:
        return Range(0.0, samples.high)
    return sixteen_bits(_own_range(strips, samples)[1])


def sixteen_bits(greatest: float) -> Range:
    """Return the range of 16-bit values without sign of which the greatest is known."""
    bits = bits_in_use(greatest)
    return Range(0.0, 2.0**bits - 1, (bits_note(bits),)) if bits else Range(0.0, FULL_RANGE)


def to_levels(values: Shaped[ndarray, "..."], span: Range, inverted: bool = False) -> UInt8[ndarray, "..."]:
    """Map a range to 0..255, or to 255..0; not-a-number becomes low, and so does all of a picture of one value."""
    low, high = span.low, span.high
    scale = 255.0 / (high - low) if high > low else 0.0
    finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low)
    levels = np.rint((np.clip(finite, low, high) - low) * scale).astype(np.uint8)
    return np.uint8(255) - levels if inverted else levels


def _own_range(strips: Iterable[Shaped[ndarray, "..."]], samples: Samples) -> tuple[float, float]:
    """Return the least and the greatest value; (0, 0) if there is none."""
    low, high = np.inf, -np.inf
    for values in strips:
        counted = values[~(is_extreme(values) | samples.is_nodata(values))]
        if counted.size:
            low, high = min(low, float(counted.min())), max(high, float(counted.max()))
    return (low, high) if low <= high else (0.0, 0.0)
