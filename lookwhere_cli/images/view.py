"""A picture as the models ask for it: a thumbnail of all of it, and the patches of some cells."""

import math
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.images.array import picture_of
from lookwhere_cli.images.decode import Decoded, decode_file, decode_picture
from lookwhere_cli.images.frame import Box, Grid, Reading
from lookwhere_cli.images.names import EncodedPicture, picture_name


class View(Protocol):
    """One picture, ready to be asked for pixels.

    path: as it was given. notes: what the user should know, such as "first of 12 frames".
    size: (height, width) as displayed, at full resolution. grid: (rows, columns).
    box: (left, top, right, bottom) of what is read, in displayed full-resolution pixels.
    """

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def grid(self) -> Grid: ...  # noqa: D102
    @property
    def box(self) -> Box: ...  # noqa: D102

    def thumbnail(self, height: int, width: int) -> NDArray[np.uint8] | NDArray[np.float32]:
        """Return the box at (height, width, 3), RGB 0..255: uint8, or float32 with the "alias" filter."""
        ...

    def patches(self, cells: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """Return the pixels (k, patch, patch, 3), RGB, of cells (k,), each row * columns + column, in their order."""
        ...


def open_view(file: EncodedPicture, reading: Reading) -> View:
    """Open and decode a picture file. Raises PictureError if it can't be read."""
    return _DecodedView(picture_name(file), decode_file(file, reading), reading)


def view_of(picture: Image.Image | NDArray[Any], reading: Reading, name: str = "") -> View:
    """View a Pillow image or an array; `name` stands for a path. Raises PictureError if it is no picture.

    Arrays: (h, w), (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA, of bool, uint8 (0..255), uint16 (0..65535) or float
    (0..1; with values outside of that, its own finite range, which a note names).
    """
    notes: tuple[str, ...] = ()
    if not isinstance(picture, Image.Image):
        picture, notes = picture_of(picture, name)
    decoded = decode_picture(picture, reading, name)
    return _DecodedView(name, decoded, reading, notes)


def alias(array: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Resize (h, w, c) to (height, width, c), float32: bilinear, half-pixel centres, without antialiasing.

    The same as torch's interpolate(mode="bilinear", align_corners=False, antialias=False).
    """
    top, bottom, down = _neighbours(array.shape[0], height)
    left, right, across = _neighbours(array.shape[1], width)
    array = array.astype(np.float32)
    rows = array[top] * (1 - down)[:, None, None] + array[bottom] * down[:, None, None]
    resized = rows[:, left] * (1 - across)[:, None] + rows[:, right] * across[:, None]
    return resized.astype(np.float32, copy=False)


def _neighbours(count: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each of the wanted positions: the two of `count` source positions around it, and the second's weight."""
    half = np.float32(0.5)  # single precision, as in torch: in double, pixels would differ in their fifth digit
    centres = np.maximum((np.arange(wanted, dtype=np.float32) + half) * np.float32(count / wanted) - half, 0)
    lower = np.minimum(centres.astype(np.intp), count - 1)
    return lower, np.minimum(lower + 1, count - 1), (centres - lower).astype(np.float32)


class _DecodedView:
    """A View of decoded pixels."""

    def __init__(self, path: str, decoded: Decoded, reading: Reading, notes: tuple[str, ...] = ()) -> None:
        self.path = path
        self.notes = decoded.notes + notes
        self.size = decoded.size
        self.grid = decoded.grid
        self.box = decoded.box
        self._patch = reading.patch
        self._aliased = reading.thumbnail_filter == "alias"
        self._pixels = decoded.pixels
        left, top, right, bottom = (edge / decoded.scale for edge in decoded.box)
        self._inner = (left, top, min(right, decoded.pixels.width), min(bottom, decoded.pixels.height))

    def thumbnail(self, height: int, width: int) -> NDArray[np.uint8] | NDArray[np.float32]:
        if self._aliased:
            return alias(self._resized(*self.grid), height, width)
        return np.array(self._pixels.resize((width, height), Image.Resampling.BICUBIC, self._inner))

    def patches(self, cells: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        rows, columns = np.unravel_index(cells, self.grid)
        if 2 * len(cells) > self.grid[0] * self.grid[1]:  # from about here on, one resize costs less than many
            return self._cut(self._resized(*self.grid))[rows, columns]
        patches = np.empty((len(cells), self._patch, self._patch, 3), np.uint8)
        order = np.argsort(cells, kind="stable")
        for run in filter(len, np.split(order, _breaks(rows[order], columns[order]))):
            first = run[0]
            patches[run] = self._cut(self._resized(1, len(run), int(rows[first]), int(columns[first])))[0]
        return patches

    def _resized(self, rows: int, columns: int, top: int = 0, left: int = 0) -> NDArray[np.uint8]:
        """Resample a rectangle of cells, (rows * patch, columns * patch, 3): first across, then down.

        Pillow's own order depends on the sizes (from version 13 on), and each pass rounds to 8 bits, so that with one
        call the same cell would differ with what is resized beside it.
        """
        (x0, y0, x1, y1), patch = self._inner, self._patch
        wide, high = columns * patch, rows * patch
        across = _span(x0, x1, self.grid[1] * patch, left * patch, wide, self._pixels.width)
        down = _span(y0, y1, self.grid[0] * patch, top * patch, high, self._pixels.height)
        source = self._pixels.crop((across.first, down.first, across.last, down.last))
        narrowed = source.resize(
            (wide, source.height), Image.Resampling.BICUBIC, (across.start, 0, across.stop, source.height)
        )
        return np.asarray(narrowed.resize((wide, high), Image.Resampling.BICUBIC, (0, down.start, wide, down.stop)))

    def _cut(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut (rows * patch, columns * patch, 3) into (rows, columns, patch, patch, 3)."""
        rows, columns = pixels.shape[0] // self._patch, pixels.shape[1] // self._patch
        return pixels.reshape(rows, self._patch, columns, self._patch, 3).swapaxes(1, 2)


class _Span(NamedTuple):
    """What goes into some output pixels along one axis: source pixels first..last, of which start..stop without rim."""

    first: int
    last: int
    start: float
    stop: float


def _span(near: float, far: float, total: int, skipped: int, count: int, limit: int) -> _Span:
    """Span `count` output pixels after the `skipped` first of the `total` that near..far, within 0..limit, become."""
    scale = (far - near) / total
    start, stop = near + skipped * scale, min(near + (skipped + count) * scale, far)
    rim = 2 * max(1.0, scale) + 1  # bicubic's reach, and one for the rounding of edges
    first, last = max(0, math.floor(start - rim)), min(limit, math.ceil(stop + rim))
    return _Span(first, last, start - first, min(stop - first, last - first))


def _breaks(rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where, in sorted cells, a new run of neighbours within a row begins."""
    return np.flatnonzero((np.diff(rows) != 0) | (np.diff(columns) != 1)) + 1
