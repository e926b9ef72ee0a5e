"""What a terminal shows: where the model looked, what the selector thought, and what came out."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from lookwhere_cli.output.rows import Label, Share
from lookwhere_cli.show.colours import faded, heat_colours, heat_levels, mixed
from lookwhere_cli.show.geometry import OUTSIDE, WHOLE, Box, Cells, cells_of_pixels, chosen_mask, fit
from lookwhere_cli.show.halfblocks import colour_lines, has_colour, mask_lines, shade_lines
from lookwhere_cli.text import on_one_line

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
    """One line that says what a map shows: how many of its cells were read.

    lit, plain: what marks them with colour, and without; by default as in a `CellMap`.
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


class ClassMap(_Map):
    """Each pixel's class: its colour, bright where cells were read; without colour its letter, a capital where read.

    classes: (height, width), class indices of the picture as displayed, at any resolution that keeps its shape.
    shares: the picture's, which give the classes their letters, the same as in `share_bars`.
    colours: (classes, 3). grid, cells, max_width, max_height: as in `CellMap`.
    """

    def __init__(
        self,
        classes: NDArray[np.uint8],
        shares: Sequence[Share],
        colours: NDArray[np.uint8],
        grid: tuple[int, int],
        cells: Cells,
        max_width: int | None = None,
        max_height: int | None = None,
    ) -> None:
        super().__init__(classes.shape, max_width, max_height)
        self._classes, self._colours, self._grid = classes, colours, grid
        self._letters = {share.index: _letter(place) for place, share in enumerate(shares)}
        self._chosen = chosen_mask(grid, cells)

    def _lit(self, height: int, width: int) -> NDArray[np.bool_]:
        return self._chosen[cells_of_pixels(height, width, self._grid)]

    def _pixels(self, height: int, width: int) -> NDArray[np.uint8]:
        colours = self._colours[_sampled(self._classes, height, width)]
        return np.where(self._lit(height, width)[..., None], colours, faded(colours, brightness=0.72, colour=0.9))

    def _characters(self, height: int, width: int, *, ascii_only: bool) -> Iterator[Segment]:
        for line, lit in zip(
            _sampled(self._classes, height, width)[::2].tolist(), self._lit(height, width)[::2].tolist(), strict=True
        ):
            letters = (self._letters[index] for index in line)
            pairs = zip(letters, lit, strict=True)
            yield Segment("".join(letter if read else letter.lower() for letter, read in pairs))
            yield Segment.line()


class _Bar(NamedTuple):
    name: str
    value: float
    colour: str
    letter: str = ""


class _Bars:
    def __init__(self, bars: Sequence[_Bar]) -> None:
        self._bars = bars

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # At 40 columns a name keeps half of the line; on wide consoles bars stop growing, so that eyes can follow.
        percent, mark = 7, any(bar.letter for bar in self._bars) * 2
        width = max(4, min(BAR_WIDTH, (options.max_width - percent - mark) // 3))
        table = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        room = max(4, options.max_width - width - percent - mark - 2)
        if mark:
            table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="crop" if options.ascii_only else "ellipsis", max_width=room)
        table.add_column(width=width)
        table.add_column(width=percent, justify="right", no_wrap=True)
        for place, bar in enumerate(self._bars):
            style = "bold" if place == 0 else ""
            filled = ProgressBar(total=1, completed=bar.value, width=width, complete_style=bar.colour)
            name = on_one_line(bar.name).encode(options.encoding, "replace").decode(options.encoding)
            swatch = [Text("█", bar.colour) if has_colour(console) else Text(bar.letter)] if mark else []
            table.add_row(*swatch, Text(name, style), filled, Text(f"{100 * bar.value:.1f} %", style))
        yield table


def label_bars(labels: Sequence[Label]) -> RenderableType:
    """Draw one line per label, in the order given: its name (shortened where it must be), a bar, a percentage."""
    return _Bars([_Bar(label.label, label.probability, "cyan") for label in labels])


def share_bars(shares: Sequence[Share], colours: NDArray[np.uint8], most: int = 12) -> RenderableType:
    """The same for classes, each behind its colour or, without colour, its letter; what is beyond `most` in one line.

    colours: (classes, 3).
    """
    shown = shares if len(shares) <= most else shares[: most - 1]
    bars = [
        _Bar(share.label, share.share, "rgb({},{},{})".format(*colours[share.index]), _letter(place))
        for place, share in enumerate(shown)
    ]
    rest = shares[len(shown) :]
    if rest:
        bars.append(_Bar(f"{len(rest)} more", sum(share.share for share in rest), "default", " "))
    return _Bars(bars)


def _letter(place: int) -> str:
    """What stands for the class with the place-th largest share where there is no colour."""
    return ascii_uppercase[place] if place < len(ascii_uppercase) else "?"


def _sampled(classes: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The classes that lie under the centres of height x width pixels."""
    rows, columns = (
        ((np.arange(count) + 0.5) * length / count).astype(np.intp)
        for count, length in zip((height, width), classes.shape, strict=True)
    )
    return classes[rows[:, None], columns]


def _resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    picture = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return np.asarray(picture)
