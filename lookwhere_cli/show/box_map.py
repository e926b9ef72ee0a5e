"""Boxes in the terminal: a map with their outlines, and a table of what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from rich.console import Console, ConsoleOptions, OverflowMethod, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lookwhere_cli.output.rows import Detection
from lookwhere_cli.show.colours import colour_of_class, dim
from lookwhere_cli.show.geometry import WHOLE, CellPositions, GridBox, cells_of_pixels, chosen_mask
from lookwhere_cli.show.halfblocks import has_colour, mask_lines
from lookwhere_cli.show.terminal import TerminalMap, letter_of_place, resized
from lookwhere_cli.text import on_one_line

MAX_LINES = 12
"""Of the table; the last one counts the other boxes."""
NAMED = 6
"""Classes that are named there."""
WIDE = 60  # columns from which on the table has the sizes of boxes, too
SCORE = 7  # columns of "100.0 %"
MARK_AND_SCORE = 2 + 1 + SCORE + 1
MIN_NAME = 6  # columns of a class's name, without which the places of boxes are left out


class BoxMap(TerminalMap):
    """A picture with the cells that were read lit, and the outlines of the boxes in the colours of their classes.

    Without colours, an outline consists of the letter of its class, as in `box_table`.

    pixels: the picture as displayed, at any resolution that keeps its shape. size: (height, width) of the picture in
    the pixels that the boxes are in. boxes: best first. grid, cells, box_share, max_width, max_height: as for
    `CellMap`.
    """

    def __init__(
        self,
        pixels: UInt8[np.ndarray, "height width 3"],
        size: tuple[int, int],
        boxes: Sequence[Detection],
        grid: tuple[int, int],
        cells: CellPositions,
        box_share: GridBox | None = None,
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(pixels.shape[:2], max_width, max_height)
        self._picture, self._picture_size, self._boxes = pixels, size, boxes
        self._grid, self._share, self._chosen = grid, box_share or WHOLE, chosen_mask(grid, cells)

    def _lit(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        return self._chosen[cells_of_pixels(height, width, self._grid, self._share)]

    def _pixels(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        picture = resized(self._picture, height, width)
        dimmed = dim(picture, brightness=0.34, saturation=0.3)
        canvas = np.where(self._lit(height, width)[..., None], picture, dimmed)
        for found, edges in self._outlines(height, width):
            _draw(canvas, edges, np.array(colour_of_class(found.index), np.uint8))
        return canvas

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        """A line stands for two rows of pixels."""
        letters = np.full((-(-height // 2), width), "", dtype="<U1")
        marks = letters_of(self._boxes)
        for found, edges in self._outlines(len(letters), width):
            _draw(letters, edges, np.array(marks[found.index]))
        lines = _lines(mask_lines(self._lit(height, width), ascii_only=ascii_only))
        for line, row in zip(lines, letters.tolist(), strict=True):
            yield Segment("".join(letter or plain for letter, plain in zip(row, line, strict=True)))
            yield Segment.line()

    def _outlines(self, height: int, width: int) -> Iterator[tuple[Detection, tuple[int, int, int, int]]]:
        """Yield each box with its first and last column and row of height x width pixels; the best one comes last."""
        down, across = height / self._picture_size[0], width / self._picture_size[1]
        for found in reversed(self._boxes):
            left, top, right, bottom = found.box
            first_column, first_row = min(int(left * across), width - 1), min(int(top * down), height - 1)
            last_column, last_row = -int(-right * across // 1) - 1, -int(-bottom * down // 1) - 1
            yield found, (first_column, first_row, max(first_column, last_column), max(first_row, last_row))


def _draw(canvas: np.ndarray, edges: tuple[int, int, int, int], value: np.ndarray) -> None:
    """Draw an outline. Rows and columns beyond the canvas are those at its edge."""
    left, top, right, bottom = edges
    right, bottom = min(right, canvas.shape[1] - 1), min(bottom, canvas.shape[0] - 1)
    canvas[[top, bottom], left : right + 1] = value
    canvas[top : bottom + 1, [left, right]] = value


def _lines(segments: Iterator[Segment]) -> Iterator[str]:
    """Join segments to lines."""
    return iter("".join(segment.text for segment in segments).splitlines())


def letters_of(boxes: Sequence[Detection]) -> dict[int, str]:
    """Return the letter of each class that occurs, by index; the class of the best box is A."""
    order = dict.fromkeys(found.index for found in boxes)
    return {index: letter_of_place(place) for place, index in enumerate(order)}


class _BoxTable:
    def __init__(self, boxes: Sequence[Detection], max_lines: int) -> None:
        self._boxes = boxes
        self._shown = boxes if len(boxes) <= max_lines else boxes[: max_lines - 1]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self._boxes:
            yield Text("Nothing was found.", "dim")
            return
        wide, letters = options.max_width >= WIDE, letters_of(self._boxes)
        places = [_place(found, wide=wide) for found in self._shown]
        name_width = options.max_width - MARK_AND_SCORE - max(map(len, places))
        shows_place = name_width >= MIN_NAME
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(width=1)
        overflow: OverflowMethod = "crop" if options.ascii_only else "ellipsis"
        widest = name_width if shows_place else max(MIN_NAME, options.max_width - MARK_AND_SCORE)
        table.add_column(no_wrap=True, overflow=overflow, max_width=widest)
        table.add_column(justify="right", no_wrap=True, min_width=SCORE)
        for found, place in zip(self._shown, places, strict=True):
            mark = Text("█", _style(found)) if has_colour(console) else Text(letters[found.index])
            name = on_one_line(found.label).encode(options.encoding, "replace").decode(options.encoding)
            place_cell = [Text(place, "dim")] if shows_place else []
            table.add_row(mark, Text(name), Text(f"{100 * found.score:.1f} %"), *place_cell)
        yield table
        if rest := self._boxes[len(self._shown) :]:
            counts = Counter(on_one_line(found.label) for found in rest).most_common()
            named = ", ".join(f"{name} ({count})" for name, count in counts[:NAMED])
            text = f"{len(rest)} more: {named}{', ...' if len(counts) > NAMED else ''}"
            yield Text(text.encode(options.encoding, "replace").decode(options.encoding), "dim")


def _style(found: Detection) -> str:
    return "rgb({},{},{})".format(*colour_of_class(found.index))


def _place(found: Detection, *, wide: bool) -> str:
    left, top, right, bottom = found.box
    place = f"at {left:.0f}, {top:.0f}"
    return f"{right - left:.0f} x {bottom - top:.0f} px {place}" if wide else place


def box_table(boxes: Sequence[Detection], max_lines: int = MAX_LINES) -> RenderableType:
    """Return a table with a line for each box: its colour or letter, class, score, size and left top corner.

    boxes: best first. max_lines: if there are more boxes, the last line counts the others by class.
    """
    return _BoxTable(boxes, max_lines)
