"""The strip below an overlay that explains its colours."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lookwhere_cli.show.colours import heat_colours

BACKGROUND, INK, MUTED = (24, 24, 27), (244, 244, 245), (161, 161, 170)
MIN_WIDTH = 300  # pixels
CAPTION_LINES = 3

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class _Pen(NamedTuple):
    draw: ImageDraw.ImageDraw
    font: Font
    unit: int


def text_size(height: int, width: int) -> int:
    """Return the size of text, in pixels, for a picture of (height, width)."""
    return int(np.clip(0.024 * (height * width) ** 0.5, 12, 160))


def legend_strip(width: int, size: int, caption: str) -> Image.Image:
    """Draw the legend of heat and cells: the colour scale, the outline of a cell that was read, and the caption.

    width: of the strip, in pixels. size: of the text, in pixels. The caption is wrapped to at most three lines.
    """
    font = ImageFont.load_default(size)
    lines = wrapped(caption, font, width - 2 * size)
    height = size * 3 + len(lines) * round(1.45 * size) + (size // 2 if lines else 0)
    strip = Image.new("RGB", (width, height), BACKGROUND)
    pen = _Pen(ImageDraw.Draw(strip), font, size)
    end = _scale(strip, pen, left=size)
    _swatch(pen, left=end + 2 * size)
    for place, line in enumerate(lines):
        pen.draw.text((size, round(size * (3.2 + 1.45 * place))), line, INK, font)
    return strip


def class_strip(
    width: int, size: int, entries: Sequence[tuple[str, tuple[int, int, int]]], caption: str
) -> Image.Image:
    """Draw the legend of classes: a swatch of colour and a text for each entry, in columns, and the caption.

    width: of the strip, in pixels. size: of the text, in pixels. entries: texts and colours.
    """
    font = ImageFont.load_default(size)
    texts = [wrapped(text, font, width - 4 * size)[0] for text, _ in entries]
    column = round(max(map(font.getlength, texts))) + 3 * size
    columns = max(1, min(len(texts), (width - size) // column))
    line = round(1.6 * size)
    lines = wrapped(caption, font, width - 2 * size)
    caption_top = -(-len(texts) // columns) * line + size
    strip = Image.new("RGB", (width, caption_top + len(lines) * line + size // 2), BACKGROUND)
    pen = _Pen(ImageDraw.Draw(strip), font, size)
    for place, (text, (_, colour)) in enumerate(zip(texts, entries, strict=True)):
        _class_entry(pen, size + place % columns * column, size // 2 + place // columns * line, text, colour)
    for place, text in enumerate(lines):
        pen.draw.text((size, caption_top + place * line), text, MUTED, font)
    return strip


def _class_entry(pen: _Pen, left: int, top: int, text: str, colour: tuple[int, int, int]) -> None:
    unit = pen.unit
    pen.draw.rectangle((left, top + unit // 8, left + unit, top + unit + unit // 8), colour)
    pen.draw.text((left + 3 * unit // 2, top), text, INK, pen.font)


def _scale(strip: Image.Image, pen: _Pen, left: int) -> int:
    """Draw the colour scale from low to high; return the x of its right end."""
    unit, middle = pen.unit, round(1.5 * pen.unit)
    left = _word(pen, left, "low") + unit // 2
    ramp = heat_colours(np.linspace(0, 1, 6 * unit, dtype=np.float32))
    strip.paste(Image.fromarray(np.repeat(ramp[None], unit, axis=0)), (left, middle - unit // 2))
    return _word(pen, left + 6 * unit + unit // 2, "high")


def _swatch(pen: _Pen, left: int) -> None:
    unit, middle = pen.unit, round(1.5 * pen.unit)
    side = (left, middle - unit // 2, left + unit, middle + unit // 2)
    pen.draw.rectangle(side, outline="white", width=max(1, unit // 8))
    _word(pen, left + unit + unit // 2, "read")


def _word(pen: _Pen, left: int, word: str) -> int:
    pen.draw.text((left, round(1.5 * pen.unit)), word, MUTED, pen.font, anchor="lm")
    return left + round(pen.draw.textlength(word, pen.font))


def wrapped(text: str, font: Font, width: int) -> list[str]:
    """Break text into at most three lines of at most `width` pixels; text that was cut ends in …."""
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    if len(lines) > CAPTION_LINES:
        lines = [*lines[: CAPTION_LINES - 1], lines[CAPTION_LINES - 1] + " …"]
    return [_shortened(line, font, width) for line in lines]


def _shortened(line: str, font: Font, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "…") > width:
        line = line[:-1]
    return line + "…"
