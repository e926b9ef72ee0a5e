"""Terminal views: the cells that were read, the selector map, the classes of pixels, and bars for labels."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lookwhere_cli.output.rows import Label, Share
from lookwhere_cli.show.colours import blend, dim, heat_colours, heat_levels
from lookwhere_cli.show.geometry import (
    OUTSIDE,
    WHOLE,
    CellPositions,
    GridBox,
    cells_of_pixels,
    chosen_mask,
    fit,
    inner_edge,
)
from lookwhere_cli.show.halfblocks import colour_lines, has_colour, mask_lines, shade_lines
from lookwhere_cli.text import on_one_line

MAX_WIDTH, MAX_HEIGHT = 72, 24  # characters, lines
MIN_OUTLINED = 3  # pixels of a cell's side from which on an outline leaves some of its heat
BAR_WIDTH = 28  # characters


class TerminalMap(ABC):
    """A picture drawn in characters, as large as the console's width and its own limits allow."""

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
    def _pixels(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        """Return the picture for a console with colours."""

    @abstractmethod
    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        """Draw the picture without colours; a line of characters stands for two rows of pixels."""


class CellMap(TerminalMap):
    """A picture with its chosen cells lit and the rest dimmed; without colours, the chosen cells only.

    pixels: the picture as displayed, at any resolution that keeps its shape. grid: (rows, columns).
    cells: the (row, column) of each chosen cell.
    box_share: left, top, right, bottom of the grid, as shares of the picture's sides; by default the whole picture.
    max_width, max_height: limits in characters and lines besides the console's width; 72 and 24 by default.
    """

    def __init__(
        self,
        pixels: UInt8[np.ndarray, "height width 3"],
        grid: tuple[int, int],
        cells: CellPositions,
        box_share: GridBox | None = None,
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(pixels.shape[:2], max_width, max_height)
        self._picture, self._grid, self._share = pixels, grid, box_share or WHOLE
        self._chosen = chosen_mask(grid, cells)

    def _lit(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        return self._chosen[cells_of_pixels(height, width, self._grid, self._share)]

    def _pixels(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        picture = resized(self._picture, height, width)
        return np.where(self._lit(height, width)[..., None], picture, dim(picture, brightness=0.34, saturation=0.3))

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        return mask_lines(self._lit(height, width), ascii_only=ascii_only)


class HeatMap(TerminalMap):
    """The selector map, from dark (low) to bright (high), alone or over the picture.

    scores: any range; see `heat_levels`.
    cells: the (row, column) of each cell that was read; they are outlined where cells are large enough.
    pixels, box_share, max_width, max_height: as for `CellMap`; without pixels, the grid alone is drawn.
    """

    def __init__(
        self,
        scores: Float[np.ndarray, "rows columns"],
        pixels: UInt8[np.ndarray, "height width 3"] | None = None,
        box_share: GridBox | None = None,
        cells: CellPositions = (),
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(scores.shape[:2] if pixels is None else pixels.shape[:2], max_width, max_height)
        self._levels, self._picture = heat_levels(scores), pixels
        self._read = chosen_mask((scores.shape[0], scores.shape[1]), cells)
        self._share = WHOLE if pixels is None else box_share or WHOLE

    def _cells(self, height: int, width: int) -> Int[np.ndarray, "height width"]:
        rows, columns = self._levels.shape
        return cells_of_pixels(height, width, (rows, columns), self._share)

    def _pixels(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        cells = self._cells(height, width)
        heat = self._heat(cells, height, width)
        if not self._shows_outlines(height, width):
            return heat
        return np.where(inner_edge(self._read[cells])[..., None], np.uint8(255), heat)

    def outlines(self, options: ConsoleOptions) -> bool:
        """Return True if the cells that were read are outlined: each has pixels besides its outline."""
        return self._shows_outlines(*self._size(options))

    def _shows_outlines(self, height: int, width: int) -> bool:
        left, top, right, bottom = self._share
        rows, columns = self._levels.shape
        side = min((bottom - top) * height / rows, (right - left) * width / columns)
        return bool(self._read.any()) and side >= MIN_OUTLINED

    def _heat(
        self, cells: Int[np.ndarray, "height width"], height: int, width: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        heat = heat_colours(self._levels.ravel())[cells]
        if self._picture is None:
            return heat
        grey = dim(resized(self._picture, height, width), brightness=0.8, saturation=0)
        return np.where((cells == OUTSIDE)[..., None], dim(grey, 0.4, 0), blend(grey, heat, opacity=0.65))

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        cells = self._cells(height, width)
        return shade_lines(np.where(cells == OUTSIDE, 0, self._levels.ravel()[cells]), ascii_only=ascii_only)


class HeatLegend:
    """The line below a `HeatMap` that says what its colours and, if it has them, its outlines mean."""

    def __init__(self, heat_map: HeatMap) -> None:
        self._map = heat_map

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text(console, options))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._text(console, options)

    def _text(self, console: Console, options: ConsoleOptions) -> Text:
        outlined = "; outlined: read" if has_colour(console) and self._map.outlines(options) else ""
        return Text(f"selector map: bright cells score high{outlined}", "dim")


class Legend:
    """The line below a map that says how many cells were read.

    read, cells: their number, and that of all cells. lit, plain: the mark of a read cell with and without colours; by
    default those of a `CellMap`.
    """

    def __init__(self, read: int, cells: int, lit: str = "lit", plain: str = "") -> None:
        self._read, self._cells, self._lit, self._plain = read, cells, lit, plain

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._text(console, options))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._text(console, options)

    def _text(self, console: Console, options: ConsoleOptions) -> Text:
        mark = self._lit if has_colour(console) else self._plain or ("#" if options.ascii_only else "█")
        verb = "was" if self._read == 1 else "were"
        return Text(f"{mark}: the {self._read} of {self._cells} cells that {verb} read", style="dim")


class ClassMap(TerminalMap):
    """The class of each pixel: its colour, brighter in cells that were read; without colours its letter, a capital in
    cells that were read.

    classes: class indices of the picture as displayed, at any resolution that keeps its shape.
    shares: the picture's; their order gives the classes their letters, as in `share_bars`.
    colours: by class index. grid, cells, max_width, max_height: as for `CellMap`.
    """

    def __init__(
        self,
        classes: UInt8[np.ndarray, "height width"],
        shares: Sequence[Share],
        colours: UInt8[np.ndarray, "classes 3"],
        grid: tuple[int, int],
        cells: CellPositions,
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(classes.shape, max_width, max_height)
        self._classes, self._colours, self._grid = classes, colours, grid
        self._letters = {share.index: letter_of_place(place) for place, share in enumerate(shares)}
        self._chosen = chosen_mask(grid, cells)

    def _lit(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        return self._chosen[cells_of_pixels(height, width, self._grid)]

    def _pixels(self, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
        colours = self._colours[_sampled(self._classes, height, width)]
        return np.where(self._lit(height, width)[..., None], colours, dim(colours, brightness=0.72, saturation=0.9))

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        for line, lit in zip(
            _sampled(self._classes, height, width)[::2].tolist(), self._lit(height, width)[::2].tolist(), strict=True
        ):
            letters = (self._letters.get(index, " ") for index in line)
            pairs = zip(letters, lit, strict=True)
            yield Segment("".join(letter if read else letter.lower() for letter, read in pairs))
            yield Segment.line()


class _Bar(NamedTuple):
    name: str
    value: float
    colour: str
    letter: str = ""


class _Bars:
    """A line for each bar: its letter or swatch (if any has one), name, bar and percentage."""

    def __init__(self, bars: Sequence[_Bar]) -> None:
        self._bars, self._marked = bars, any(bar.letter for bar in bars)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        percent, mark = 7, 2 * self._marked
        # At 40 columns half of the line is for the name; on wide consoles bars stay short, so that eyes can follow.
        width = max(4, min(BAR_WIDTH, (options.max_width - percent - mark) // 3))
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        name_width = max(4, options.max_width - width - percent - mark - 2)
        if mark:
            table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis", max_width=name_width)
        table.add_column(width=width)
        table.add_column(width=percent, justify="right", no_wrap=True)
        for place, bar in enumerate(self._bars):
            table.add_row(*self._mark(bar, console), *_bar_cells(bar, width, options.encoding, bold=place == 0))
        yield table

    def _mark(self, bar: _Bar, console: Console) -> list[Text]:
        if not self._marked:
            return []
        return [Text("█", bar.colour) if has_colour(console) else Text(bar.letter)]


def _bar_cells(bar: _Bar, width: int, encoding: str, *, bold: bool) -> tuple[Text, ProgressBar, Text]:
    style = "bold" if bold else ""
    name = on_one_line(bar.name).encode(encoding, "replace").decode(encoding)
    filled = ProgressBar(total=1, completed=bar.value, width=width, complete_style=bar.colour)
    return Text(name, style), filled, Text(f"{100 * bar.value:.1f} %", style)


def label_bars(labels: Sequence[Label]) -> RenderableType:
    """Draw a line for each label, in the given order: its name (shortened to fit), a bar and its probability."""
    return _Bars([_Bar(label.label, label.probability, "cyan") for label in labels])


def share_bars(shares: Sequence[Share], colours: UInt8[np.ndarray, "classes 3"], max_lines: int = 12) -> RenderableType:
    """Draw a line for each share: its colour or, without colours, its letter, then its name, a bar and its share.

    colours: by class index. max_lines: if there are more shares, the last line is the sum of the rest.
    """
    shown = shares if len(shares) <= max_lines else shares[: max_lines - 1]
    bars = [
        _Bar(share.label, share.share, "rgb({},{},{})".format(*colours[share.index]), letter_of_place(place))
        for place, share in enumerate(shown)
    ]
    rest = shares[len(shown) :]
    if rest:
        bars.append(_Bar(f"{len(rest)} more", sum(share.share for share in rest), "default", " "))
    return _Bars(bars)


def letter_of_place(place: int) -> str:
    """Return the letter for the class with the place-th largest share."""
    return ascii_uppercase[place] if place < len(ascii_uppercase) else "?"


def _sampled(classes: UInt8[np.ndarray, "rows columns"], height: int, width: int) -> UInt8[np.ndarray, "height width"]:
    """Return the classes at the centres of height x width pixels."""
    rows, columns = (
        ((np.arange(count) + 0.5) * length / count).astype(np.intp)
        for count, length in zip((height, width), classes.shape, strict=True)
    )
    return classes[rows[:, None], columns]


def resized(
    pixels: UInt8[np.ndarray, "rows columns 3"], height: int, width: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Resize a picture."""
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(picture)
