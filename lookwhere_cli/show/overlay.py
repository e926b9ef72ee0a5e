"""A picture at its full resolution, with the selector map as heat and the cells that were read."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageDraw

from lookwhere_cli.show.colours import heat_colours, heat_levels
from lookwhere_cli.show.geometry import OUTSIDE, CellPositions, GridBox, cell_of, cells_along, chosen_mask
from lookwhere_cli.show.legend import BACKGROUND, MIN_WIDTH, legend_strip, text_size
from lookwhere_cli.text import on_one_line

MIN_FRAMED = 6  # pixels of a cell's side; smaller ones have a thin white outline, without black beside it
BAND_PIXELS = 1 << 20  # processed at a time, so that memory besides the two pictures is bounded

_OPACITY, _READ_OPACITY = 0.55, 0.25
"""Of the heat: light on cells that were read, so that what the model saw stays visible."""
_DARKENED = [round(0.7 * value) for value in range(256)] * 3


class _Painter:
    """Paints bands of a picture by the cell of each pixel."""

    def __init__(
        self, size: tuple[int, int], scores: Float[np.ndarray, "rows columns"], cells: CellPositions, box: GridBox
    ) -> None:
        (height, width), (self.rows, self.columns) = size, scores.shape
        left, top, right, bottom = box
        self.row = cells_along(height, top, bottom, self.rows)
        self.column = cells_along(width, left, right, self.columns)
        self.chosen = chosen_mask((self.rows, self.columns), cells)
        heat = heat_colours(heat_levels(scores).ravel())
        self.heat = np.concatenate((heat, np.zeros((1, 3), np.uint8)))

    def paint(self, band: Image.Image, top: int) -> Image.Image:
        """Return the band that starts at the picture's row `top`, under the heat of its cells."""
        cell = cell_of(self.row[top : top + band.height], self.column, self.columns)
        grey = Image.blend(band.convert("L").convert("RGB"), band, 0.25).point(_DARKENED)
        heat = Image.fromarray(self.heat[cell])
        read, others = Image.blend(band, heat, _READ_OPACITY), Image.blend(grey, heat, _OPACITY)
        return Image.composite(read, others, Image.fromarray(self.chosen[cell]))

    def outline(self, canvas: Image.Image) -> None:
        """Outline the cells that were read, in white on black, which is visible on any picture."""
        ys, xs = _edges(self.row, self.rows), _edges(self.column, self.columns)
        side = min((ys[-1] - ys[0]) / self.rows, (xs[-1] - xs[0]) / self.columns)
        thickest = text_size(len(self.row), len(self.column)) / 5
        stroke, draw = max(1, round(min(side / 20, thickest))), ImageDraw.Draw(canvas)
        borders = list(cell_borders(self.chosen[:OUTSIDE].reshape(self.rows, self.columns), ys.tolist(), xs.tolist()))
        frame = [("black", stroke + 2 * max(1, stroke // 2))] if side >= MIN_FRAMED else []
        for colour, width in (*frame, ("white", stroke)):
            before, after = width // 2, (width - 1) // 2
            for left, top, right, bottom in borders:
                draw.rectangle((left - before, top - before, right + after, bottom + after), colour)


def cell_borders(
    chosen: Bool[np.ndarray, "rows columns"], ys: list[int], xs: list[int]
) -> Iterator[tuple[int, int, int, int]]:
    """Yield left, top, right, bottom of each line that separates a chosen cell from another one or the outside."""
    framed = np.pad(chosen, 1)
    for row, column in np.argwhere(framed[:-1, 1:-1] != framed[1:, 1:-1]).tolist():
        yield xs[column], ys[row], xs[column + 1], ys[row]
    for row, column in np.argwhere(framed[1:-1, :-1] != framed[1:-1, 1:]).tolist():
        yield xs[column], ys[row], xs[column], ys[row + 1]


def _edges(cell: Int[np.ndarray, " pixels"], cells: int) -> Int[np.ndarray, " edges"]:
    """Return the first pixel of each cell along a side, then the pixel after the last cell."""
    inside = np.flatnonzero(cell != OUTSIDE)
    if not inside.size:
        return np.zeros(cells + 1, dtype=np.intp)
    return inside[0] + np.searchsorted(cell[inside], np.arange(cells + 1))


def overlay(
    picture: Image.Image, scores: Float[np.ndarray, "rows columns"], cells: CellPositions, box: GridBox, caption: str
) -> Image.Image:
    """Draw the selector map and the cells that were read on a picture, and a legend below it.

    picture: as displayed, at full resolution. scores: the selector map, any range. cells: the (row, column) pairs that
    were read; they are outlined, and all cells lie under their heat. box: left, top, right, bottom of the
    part that the grid covers, in pixels of the picture. caption: a sentence for the legend.
    The result has the picture at its top left, unscaled; if the picture is narrower than the legend, there is a margin
    on its right.
    """
    strip = legend_strip(max(picture.width, MIN_WIDTH), text_size(picture.height, picture.width), on_one_line(caption))
    painter = _Painter((picture.height, picture.width), scores, cells, box)
    canvas = Image.new("RGB", (strip.width, picture.height + strip.height), BACKGROUND)
    step = max(1, BAND_PIXELS // picture.width)
    for top in range(0, picture.height, step):
        band = picture.crop((0, top, picture.width, min(top + step, picture.height))).convert("RGB")
        canvas.paste(painter.paint(band, top), (0, top))
    painter.outline(canvas)
    canvas.paste(strip, (0, picture.height))
    return canvas
