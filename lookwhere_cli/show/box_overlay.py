"""A picture at its full resolution with the boxes that were found, their labels, and the cells that were read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lookwhere_cli.output.masks.run_lengths import decode_part
from lookwhere_cli.output.rows import Detection
from lookwhere_cli.show.colours import colour_of_class
from lookwhere_cli.show.geometry import CellPositions, GridBox, cell_of, cells_along, chosen_mask
from lookwhere_cli.show.legend import BACKGROUND, MIN_WIDTH, Font, class_strip, text_size
from lookwhere_cli.show.overlay import BAND_PIXELS
from lookwhere_cli.text import on_one_line

Area = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""
_DIMMED = [round(0.62 * value) for value in range(256)] * 3
"""The brightness of cells that were not read."""
TINT = 0.5
"""Opacity of the colour on the pixels of an object with a mask."""
MAX_LABEL = 40  # characters of a class's name beside its box


class Tag(NamedTuple):
    """A label beside its box. area: of its background, whole pixels."""

    text: str
    area: tuple[int, int, int, int]
    colour: tuple[int, int, int]


def box_overlay(
    picture: Image.Image,
    boxes: Sequence[Detection],
    grid: tuple[int, int],
    cells: CellPositions,
    grid_box: GridBox,
    caption: str,
) -> Image.Image:
    """Draw boxes and their labels on a picture, dim the cells that were not read, and add a legend below.

    picture: as displayed, at full resolution. boxes: best first. grid: (rows, columns); cells: the (row, column) pairs
    that were read; grid_box: left, top, right, bottom of the part that the grid covers, in pixels of the picture.
    caption: a sentence for the legend. The pixels of masks are tinted.
    Labels do not cover each other: one for which there is no room is left out, that of a better box is drawn. The
    result has the picture at its top left, unscaled; if the picture is narrower than the legend, there is a margin on
    its right.
    """
    size = text_size(picture.height, picture.width)
    strip = class_strip(max(picture.width, MIN_WIDTH), size, _entries(boxes), on_one_line(caption))
    canvas = Image.new("RGB", (strip.width, picture.height + strip.height), BACKGROUND)
    _paint(canvas, picture, grid, cells, grid_box)
    _tint(canvas, boxes)
    draw_boxes(canvas, boxes, picture.size)
    canvas.paste(strip, (0, picture.height))
    return canvas


def boxes_on(picture: Image.Image, boxes: Sequence[Detection]) -> Image.Image:
    """Return a picture with the boxes, their labels, and the tints of their masks, and nothing else."""
    canvas = picture.convert("RGB") if picture.mode != "RGB" else picture.copy()
    _tint(canvas, boxes)
    draw_boxes(canvas, boxes, picture.size)
    return canvas


def draw_boxes(canvas: Image.Image, boxes: Sequence[Detection], size: tuple[int, int]) -> None:
    """Draw boxes and their labels on a picture of `size` (width, height) at the top left of the canvas."""
    unit = text_size(size[1], size[0])
    stroke, font = max(2, unit // 7), ImageFont.load_default(max(11, round(0.8 * unit)))
    _outline(canvas, boxes, stroke)
    _write(canvas, place_tags(boxes, font, size, stroke), font)


def _entries(boxes: Sequence[Detection]) -> list[tuple[str, tuple[int, int, int]]]:
    """Return a text and a colour for each class in the legend, the most frequent first."""
    counts = Counter((found.index, found.label) for found in boxes)
    entries = [
        (f"{on_one_line(label)} ({count})", colour_of_class(index)) for (index, label), count in counts.most_common()
    ]
    return entries or [("nothing found", BACKGROUND)]


def _paint(
    canvas: Image.Image, picture: Image.Image, grid: tuple[int, int], cells: CellPositions, grid_box: GridBox
) -> None:
    """Copy the picture, darker and with less colour where it was not read; a band at a time, to save memory."""
    left, top, right, bottom = grid_box
    row, column = cells_along(picture.height, top, bottom, grid[0]), cells_along(picture.width, left, right, grid[1])
    chosen = chosen_mask(grid, cells)
    step = max(1, BAND_PIXELS // picture.width)
    for start in range(0, picture.height, step):
        band = picture.crop((0, start, picture.width, min(start + step, picture.height))).convert("RGB")
        grey = Image.blend(band.convert("L").convert("RGB"), band, 0.4).point(_DIMMED)
        read = chosen[cell_of(row[start : start + band.height], column, grid[1])]
        canvas.paste(Image.composite(band, grey, Image.fromarray(read)), (0, start))


def _tint(canvas: Image.Image, boxes: Sequence[Detection]) -> None:
    """Tint the pixels of masks in the colours of their classes; of the best object last."""
    for found in reversed(boxes):
        if found.mask is not None:
            part, left, top = decode_part(found.mask)
            if part.size:
                area = (left, top, left + part.shape[1], top + part.shape[0])
                pixels = canvas.crop(area)
                tinted = Image.blend(pixels, Image.new("RGB", pixels.size, colour_of_class(found.index)), TINT)
                canvas.paste(tinted, area, Image.fromarray(part))


def _outline(canvas: Image.Image, boxes: Sequence[Detection], stroke: int) -> None:
    """Outline the boxes in their colours between two thin black lines, around their pixels; the best one comes last."""
    draw = ImageDraw.Draw(canvas)
    for found in reversed(boxes):
        left, top, right, bottom = (round(edge) for edge in found.box)
        for grown, width, colour in ((2, stroke + 2, (0, 0, 0)), (1, stroke, colour_of_class(found.index))):
            corners = (
                left - stroke - grown,
                top - stroke - grown,
                right + stroke + grown - 1,
                bottom + stroke + grown - 1,
            )
            draw.rectangle(corners, outline=colour, width=width)


def place_tags(boxes: Sequence[Detection], font: Font, size: tuple[int, int], stroke: int) -> list[Tag]:
    """Find a place for the label of each box, best first: one that covers no other label and, if it can be, no box.

    size: (width, height) of the picture. stroke: the width of the boxes' outlines, in pixels. Labels for which there is
    no place within the picture are left out.
    """
    ascent = round(1.35 * getattr(font, "size", 11))
    frames = np.array([found.box for found in boxes], np.float64).reshape(-1, 4)
    tags: list[Tag] = []
    taken = np.zeros((0, 4))
    for found in boxes:
        text = f"{_shortened(found.label)} {found.score:.0%}"
        width = round(font.getlength(text)) + ascent // 2
        free = [
            area
            for area in _places(found.box, width, ascent, stroke + 2)
            if area[0] >= 0 and area[1] >= 0 and area[2] <= size[0] and area[3] <= size[1] and not _shared(area, taken)
        ]
        if free:
            area = min(free, key=lambda one: _shared(one, frames))
            tags.append(Tag(text, area, colour_of_class(found.index)))
            taken = np.vstack((taken, area))
    return tags


def _places(box: Area, width: int, height: int, gap: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield where a label may be: above or below the box, flush with its left or right side; beside it; inside."""
    left, top, right, bottom = (round(edge) for edge in box)
    outer_left, outer_right = left - gap, right + gap
    rows = (top - gap - height, bottom + gap)
    corners = [(x, y) for y in rows for x in (outer_left, outer_right - width)]
    corners += [(x, y) for x in (outer_right, outer_left - width) for y in (top - gap, bottom + gap - height)]
    corners += [(left, top)]
    yield from ((x, y, x + width, y + height) for x, y in corners)


def _shared(area: Area, others: np.ndarray) -> float:
    """Return the area that one shares with all others (n, 4), in pixels."""
    if not len(others):
        return 0.0
    sides = np.minimum(others[:, 2:], area[2:]) - np.maximum(others[:, :2], area[:2])
    return float(np.maximum(sides, 0).prod(axis=1).sum())


def _write(canvas: Image.Image, tags: Sequence[Tag], font: Font) -> None:
    draw = ImageDraw.Draw(canvas)
    for tag in tags:
        left, top, right, bottom = tag.area
        draw.rectangle((left, top, right - 1, bottom - 1), fill=tag.colour)
        ink = "black" if _is_bright(tag.colour) else "white"
        draw.text(((left + right) / 2, (top + bottom) / 2), tag.text, ink, font, anchor="mm")


def _is_bright(colour: tuple[int, int, int]) -> bool:
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue > 110


def _shortened(label: str) -> str:
    name = on_one_line(label)
    return name if len(name) <= MAX_LABEL else name[: MAX_LABEL - 1] + "…"
