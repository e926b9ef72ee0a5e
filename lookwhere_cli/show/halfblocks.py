"""Pictures in a terminal: each half-block character shows two pixels, one above the other, nearly square."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style

UPPER, LOWER, FULL = "▀", "▄", "█"


def has_colour(console: Console) -> bool:
    """Return True if the console can show a photograph; 16 colours are not enough."""
    return not console.no_color and console.color_system in ("256", "truecolor")


@lru_cache(maxsize=1 << 14)
def _style(upper: int, lower: int) -> Style:
    colours = [Color.from_rgb(value >> 16, value >> 8 & 255, value & 255) for value in (upper, lower) if value >= 0]
    return Style.from_color(*colours)


def colour_lines(pixels: UInt8[np.ndarray, "height width 3"]) -> Iterator[Segment]:
    """Draw pixels as ceil(height / 2) lines of `width` characters."""
    packed = pixels.astype(np.int64) @ np.array((1 << 16, 1 << 8, 1))
    if len(packed) % 2:
        # The lower half of the last line keeps the terminal's background.
        packed = np.concatenate((packed, np.full_like(packed[:1], -1)))
    for upper, lower in zip(packed[::2].tolist(), packed[1::2].tolist(), strict=True):
        for pair, run in groupby(zip(upper, lower, strict=True)):
            yield Segment(UPPER * sum(1 for _ in run), _style(*pair))
        yield Segment.line()


def mask_lines(mask: Bool[np.ndarray, "height width"], *, ascii_only: bool) -> Iterator[Segment]:
    """Draw a mask without colour, in as many characters as `colour_lines` takes."""
    glyphs = ".,'#" if ascii_only else "·" + LOWER + UPPER + FULL
    if len(mask) % 2:
        mask = np.concatenate((mask, mask[-1:]))
    for line in (2 * mask[::2] + mask[1::2]).tolist():
        yield Segment("".join(glyphs[halves] for halves in line))
        yield Segment.line()


def shade_lines(levels: Float32[np.ndarray, "height width"], *, ascii_only: bool) -> Iterator[Segment]:
    """Draw levels in 0..1 without colour: the higher the level, the denser the character."""
    ramp = " .:-=+*#%@" if ascii_only else " ░▒▓█"
    dense = (levels[::2] * len(ramp)).astype(np.intp).clip(0, len(ramp) - 1)
    for line in dense.tolist():
        yield Segment("".join(ramp[step] for step in line))
        yield Segment.line()
