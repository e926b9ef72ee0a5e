"""What a terminal shows: where the model looked, what the selector thought, and what came out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lookwhere_cli.rows import Label, on_one_line
from lookwhere_cli.show.colours import faded, heat_colours, heat_levels, mixed
from lookwhere_cli.show.geometry import OUTSIDE, WHOLE, Box, Cells, cells_of_pixels, chosen_mask, fit
from lookwhere_cli.show.halfblocks import colour_lines, has_colour, mask_lines, shade_lines

MAX_WIDTH, MAX_HEIGHT = 72, 24
BAR_WIDTH = 28


class _Map(ABC):
    """A picture of a given shape that fits the console's width and its own limits, in characters."""

    def __init__(self, shape: tuple[int, int], max_width: int | None, max_height: int | None) -> None:
        self._shape = shape
        self._max_width = max_width or MAX_WIDTH
        self._max_height = max_height or MAX_HEIGHT

    def _size(self, options: ConsoleOptions) -> tuple[int, int]:
        width = min(options.max_width, self._max_width)
        return fit(*self._shape, 2 * self._max_height, width)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = self._size(options)[1]
        return Measurement(width, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        size = self._size(options)
        if has_colour(console):
            yield from colour_lines(self._pixels(*size))
        else:
            yield from self._characters(*size, ascii_only=options.ascii_only)

    @abstractmethod
    def _pixels(self, height: int, width: int) -> NDArray[np.uint8]: ...

    @abstractmethod
    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]: ...


class CellMap(_Map):
    """The picture, its chosen cells lit and the rest dimmed; without colour, the chosen cells alone.

    pixels: (height, width, 3) uint8, the picture as displayed, at any resolution that keeps its shape.
    grid: (rows, columns). cells: the chosen (row, column) pairs.
    box_share: left, top, right, bottom of the grid in shares of the picture's sides, where it covers a part only.
    max_width, max_height: limits in characters and lines, beside the console's own width; 72 and 24 by default.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        grid: tuple[int, int],
        cells: Cells,
        box_share: Box | None = None,
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(pixels.shape[:2], max_width, max_height)
        self._picture, self._grid, self._share = pixels, grid, box_share or WHOLE
        self._chosen = chosen_mask(grid, cells)

    def _lit(self, height: int, width: int) -> NDArray[np.bool_]:
        return self._chosen[cells_of_pixels(height, width, self._grid, self._share)]

    def _pixels(self, height: int, width: int) -> NDArray[np.uint8]:
        picture = _resized(self._picture, height, width)
        return np.where(self._lit(height, width)[..., None], picture, faded(picture, brightness=0.34, colour=0.3))

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        return mask_lines(self._lit(height, width), ascii_only=ascii_only)


class HeatMap(_Map):
    """The selector's map, low to high from dark to bright, by itself or over the picture.

    scores: (rows, columns), any range; it is stretched from its lowest to its highest.
    pixels, box_share, max_width, max_height: as in `CellMap`; without pixels the grid is drawn by itself.
    """

    def __init__(
        self,
        scores: NDArray[np.floating[Any]],
        pixels: NDArray[np.uint8] | None = None,
        box_share: Box | None = None,
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(scores.shape[:2] if pixels is None else pixels.shape[:2], max_width, max_height)
        self._levels, self._picture = heat_levels(scores), pixels
        self._share = WHOLE if pixels is None else box_share or WHOLE

    def _cells(self, height: int, width: int) -> NDArray[np.intp]:
        rows, columns = self._levels.shape
        return cells_of_pixels(height, width, (rows, columns), self._share)

    def _pixels(self, height: int, width: int) -> NDArray[np.uint8]:
        cells = self._cells(height, width)
        heat = heat_colours(self._levels.ravel())[cells]
        if self._picture is None:
            return heat
        grey = faded(_resized(self._picture, height, width), brightness=0.8, colour=0)
        return np.where((cells == OUTSIDE)[..., None], faded(grey, 0.4, 0), mixed(grey, heat, opacity=0.65))

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        cells = self._cells(height, width)
        return shade_lines(np.where(cells == OUTSIDE, 0, self._levels.ravel()[cells]), ascii_only=ascii_only)


class Legend:
    """One line that says what a `CellMap` shows: how many of its cells were read."""

    def __init__(self, read: int, cells: int) -> None:
        self._read, self._cells = read, cells

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        mark = "lit" if has_colour(console) else "#" if options.ascii_only else "█"
        verb = "was" if self._read == 1 else "were"
        yield Text(f"{mark}: the {self._read} of {self._cells} cells that {verb} read", style="dim")


class _LabelBars:
    def __init__(self, labels: Sequence[Label]) -> None:
        self._labels = labels

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # At 40 columns a label keeps half of the line; on wide consoles bars stop growing, so that eyes can follow.
        percent = 7
        bar = max(4, min(BAR_WIDTH, (options.max_width - percent) // 3))
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        room = max(4, options.max_width - bar - percent - 2)
        table.add_column(no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis", max_width=room)
        table.add_column(width=bar)
        table.add_column(width=percent, justify="right", no_wrap=True)
        for place, label in enumerate(self._labels):
            style = "bold" if place == 0 else ""
            filled = ProgressBar(total=1, completed=label.probability, width=bar, complete_style="cyan")
            name = on_one_line(label.label).encode(options.encoding, "replace").decode(options.encoding)
            table.add_row(Text(name, style), filled, Text(f"{100 * label.probability:.1f} %", style))
        yield table


def label_bars(labels: Sequence[Label]) -> RenderableType:
    """Draw one line per label, in the order given: its name (shortened where it must be), a bar, a percentage."""
    return _LabelBars(labels)


def _resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(picture)
