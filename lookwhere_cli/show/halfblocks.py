"""Pictures made of half-block characters: each character holds two pixels, one above the other, nearly square."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

UPPER, LOWER, FULL = "▀", "▄", "█"


def has_colour(console: Console) -> bool:
    """Tell whether a photograph can be drawn: 16 colours are as good as none."""
    return not console.no_color and console.color_system in ("256", "truecolor")


@lru_cache(maxsize=1 << 14)
def _style(upper: int, lower: int) -> Style:
    colours = [Color.from_rgb(value >> 16, value >> 8 & 255, value & 255) for value in (upper, lower) if value >= 0]
    return Style.from_color(*colours)


def colour_lines(pixels: NDArray[np.uint8]) -> Iterator[Segment]:
    """Draw (height, width, 3) pixels as ceil(height / 2) lines of width characters."""
    packed = pixels.astype(np.int64) @ np.array((1 << 16, 1 << 8, 1))
    if len(packed) % 2:
        # The last line's lower half stays the terminal's own background.
        packed = np.concatenate((packed, np.full_like(packed[:1], -1)))
    for upper, lower in zip(packed[::2].tolist(), packed[1::2].tolist(), strict=True):
        for pair, run in groupby(zip(upper, lower, strict=True)):
            yield Segment(UPPER * sum(1 for _ in run), _style(*pair))
        yield Segment.line()


def mask_lines(mask: NDArray[np.bool_], *, ascii_only: bool) -> Iterator[Segment]:
    """Draw a (height, width) mask without colour, at the size and place that `colour_lines` would give it."""
    glyphs = ".,'#" if ascii_only else "·" + LOWER + UPPER + FULL
    if len(mask) % 2:
        mask = np.concatenate((mask, mask[-1:]))
    for line in (2 * mask[::2] + mask[1::2]).tolist():
        yield Segment("".join(glyphs[halves] for halves in line))
        yield Segment.line()


def shade_lines(levels: NDArray[np.float32], *, ascii_only: bool) -> Iterator[Segment]:
    """Draw (height, width) levels of 0..1 without colour: the higher, the denser the character."""
    ramp = " .:-=+*#%@" if ascii_only else " ░▒▓█"
    dense = (levels[::2] * len(ramp)).astype(np.intp).clip(0, len(ramp) - 1)
    for line in dense.tolist():
        yield Segment("".join(ramp[step] for step in line))
        yield Segment.line()
