"""An overview of a picture that was read in windows: which ones were read, and which cells in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from lookwhere_cli.output.rows import Detection
from lookwhere_cli.show.box_overlay import draw_boxes
from lookwhere_cli.show.colours import class_colours, colour_of_class
from lookwhere_cli.show.geometry import CellPositions, GridBox, cell_of, cells_along, chosen_mask
from lookwhere_cli.show.legend import BACKGROUND, INK, MIN_WIDTH, class_strip, text_size
from lookwhere_cli.show.overlay import BAND_PIXELS, cell_borders
from lookwhere_cli.text import on_one_line

SKIPPED, READ, CELL = 0, 1, 2
"""What a pixel belongs to: a window that was not read, one that was, a cell that was read."""
FRAMED_WINDOW, FRAMED_CELL = 8, 10
"""Pixels of a side from which on windows and cells are outlined; smaller windows are tinted."""
MOST_BOXES = 300  # drawn on an overview
MOST_ENTRIES = 12  # classes in the legend
CLASS_COLOURS = 255
TINT = 0.35  # opacity of a class's colour on a small window
_NO_LABEL = (200, 200, 205)
_DARK, _DIM = ([round(share * value) for value in range(256)] * 3 for share in (0.5, 0.8))


class ShownWindow(NamedTuple):
    """A window that was read. box: left, top, right, bottom in pixels of the overview. label: name and index of its
    class, if it has one. grid: (rows, columns); cells: (row, column) of each cell that was read.
    """

    box: GridBox
    label: tuple[str, int] | None
    grid: tuple[int, int]
    cells: CellPositions

    @property
    def colour(self) -> tuple[int, int, int]:
        """The colour of its class."""
        return _NO_LABEL if self.label is None else colour_of_class(self.label[1])

    @property
    def area(self) -> tuple[int, int, int, int]:
        """Its box in whole pixels, at least one of them."""
        left, top = round(self.box[0]), round(self.box[1])
        return left, top, max(left + 1, round(self.box[2])), max(top + 1, round(self.box[3]))

    @property
    def side(self) -> int:
        """Its shorter side in whole pixels."""
        left, top, right, bottom = self.area
        return min(right - left, bottom - top)


class WindowMap:
    """What was read of a picture, at the size of its overview; memory does not grow with the number of windows.

    size: (height, width) of the overview. parts: what each pixel belongs to: SKIPPED, READ or CELL. tints: the class
    of windows that are too small for an outline, or -1. framed: the others. labels: how many windows have each class.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self.parts = np.full(size, SKIPPED, np.uint8)
        self.tints = np.full(size, -1, np.int16)
        self.framed: list[ShownWindow] = []
        self.labels: Counter[tuple[str, int]] = Counter()

    def add(self, window: ShownWindow) -> None:
        """Add a window that was read."""
        left, top, right, bottom = window.area
        place = slice(max(0, top), bottom), slice(max(0, left), right)
        part = self.parts[place]
        row = cells_along(part.shape[0], 0, part.shape[0], window.grid[0])
        column = cells_along(part.shape[1], 0, part.shape[1], window.grid[1])
        chosen = chosen_mask(window.grid, window.cells)[cell_of(row, column, window.grid[1])]
        np.maximum(part, np.where(chosen, CELL, READ), out=part, casting="unsafe")
        if window.label is not None:
            self.labels[window.label] += 1
        if window.side < FRAMED_WINDOW:
            self.tints[place] = -1 if window.label is None else window.label[1] % CLASS_COLOURS
        else:
            self.framed.append(window if window.side / max(window.grid) >= FRAMED_CELL else window._replace(cells=()))


def window_overlay(overview: Image.Image, windows: WindowMap, boxes: Sequence[Detection], caption: str) -> Image.Image:
    """Draw which windows and cells of a picture were read, in the colours of the windows' classes, with a legend below.

    What was not read is dark and grey. boxes: what was found, best first, in pixels of the overview. caption: a
    sentence for the legend. The result has the overview at its top left, unscaled.
    """
    size = text_size(overview.height, overview.width)
    strip = class_strip(max(overview.width, MIN_WIDTH), size, _entries(windows, boxes), on_one_line(caption))
    canvas = Image.new("RGB", (strip.width, overview.height + strip.height), BACKGROUND)
    _paint(canvas, overview.convert("RGB"), windows)
    _frame(canvas, windows.framed)
    draw_boxes(canvas, boxes[:MOST_BOXES], overview.size)
    canvas.paste(strip, (0, overview.height))
    return canvas


def _entries(windows: WindowMap, boxes: Sequence[Detection]) -> list[tuple[str, tuple[int, int, int]]]:
    """Return a text and a colour for each class, the most frequent first: of the boxes or else of the windows."""
    labels = Counter((found.label, found.index) for found in boxes) or windows.labels
    entries = [
        (f"{on_one_line(label)} ({count:,})", colour_of_class(index)) for (label, index), count in labels.most_common()
    ]
    if len(entries) > MOST_ENTRIES:
        entries = [*entries[:MOST_ENTRIES], (f"{len(entries) - MOST_ENTRIES:,} more", BACKGROUND)]
    return entries or [("window that was read", INK)]


def _paint(canvas: Image.Image, overview: Image.Image, windows: WindowMap) -> None:
    """Copy the overview: cells that were read as they are, the rest of their windows dimmed, all else dark and grey."""
    colours = class_colours(CLASS_COLOURS)
    step = max(1, BAND_PIXELS // overview.width)
    for start in range(0, overview.height, step):
        band = overview.crop((0, start, overview.width, min(start + step, overview.height)))
        grey = band.convert("L").convert("RGB")
        skipped, read = Image.blend(grey, band, 0.15).point(_DARK), Image.blend(grey, band, 0.6).point(_DIM)
        parts, tints = (one[start : start + band.height] for one in (windows.parts, windows.tints))
        drawn = Image.composite(read, skipped, Image.fromarray(parts >= READ))
        drawn.paste(band, mask=Image.fromarray(parts == CELL))
        tinted = Image.blend(drawn, Image.fromarray(colours[np.maximum(tints, 0)]), TINT)
        canvas.paste(Image.composite(tinted, drawn, Image.fromarray(tints >= 0)), (0, start))


def _frame(canvas: Image.Image, windows: Sequence[ShownWindow]) -> None:
    """Outline windows and the cells in them."""
    draw = ImageDraw.Draw(canvas)
    for window in windows:
        left, top, right, bottom = window.area
        _frame_cells(draw, window)
        stroke = int(np.clip(window.side / 60, 1, 2 if window.label is None else 4))
        if stroke > 1:
            draw.rectangle((left, top, right - 1, bottom - 1), outline="black", width=stroke + 1)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=window.colour, width=stroke)


def _frame_cells(draw: ImageDraw.ImageDraw, window: ShownWindow) -> None:
    left, top, right, bottom = window.area
    rows, columns = window.grid
    ys = np.rint(np.linspace(top, bottom, rows + 1)).astype(int).tolist()
    xs = np.rint(np.linspace(left, right, columns + 1)).astype(int).tolist()
    chosen = chosen_mask(window.grid, window.cells)[:-1].reshape(rows, columns)
    for line in cell_borders(chosen, ys, xs):
        draw.line(line, "white")
