"""Reading of any box of a file with several resolutions, by the blocks that it needs and in memory that stays flat."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images import resample
from lookwhere_cli.images.frame import Box, Grid
from lookwhere_cli.images.large.cache import CACHE, CACHE_BYTES, PixelBlock
from lookwhere_cli.images.large.levels import Extent, Level, Scale, scale_for
from lookwhere_cli.images.names import in_message

Tiles: TypeAlias = set[tuple[int, int, int]]
"""Tiles of a file: (level, row, column)."""
_BAND_PIXELS = 1 << 20
"""Pixels of a level, averaged or not, that are put together and resampled at a time."""
_GROUP_PIXELS = 1 << 20
"""Of a level, averaged or not, from which neighbouring cells are cut together."""
_REACH = 3
"""Pixels, in terms of those that are asked for, that resampling reaches for around them."""
_FINER = 4
"""Shares of content are computed from pixels that are finer by this factor than those that are read."""
_HANDLE_BYTES = 1 << 20

Pick: TypeAlias = Callable[[PixelBlock], UInt8[ndarray, "height width *channels"]]
"""Takes what is wanted out of a block: its colours, or where it holds something."""


class _Group(NamedTuple):
    """Neighbouring cells that are cut together. places: of the cells in the list that was asked for."""

    places: Int[ndarray, " cells"]
    tops: Int[ndarray, " cells"]
    lefts: Int[ndarray, " cells"]


class PyramidSource(ABC):
    """What slides and rasters have in common. A subclass reads the blocks.

    path: the file's. size: (height, width) of the picture. levels: from the finest. origin: (top, left) of the picture
    in the file, in full-resolution pixels. notes: for rows.
    tiles_read: while it is a set, each tile of the file that is read is added.
    """

    def __init__(
        self,
        path: str,
        size: tuple[int, int],
        levels: Sequence[Level],
        origin: tuple[float, float] = (0, 0),
        notes: tuple[str, ...] = (),
    ) -> None:
        self._path, self._size, self._notes = path, size, notes
        self.levels, self.origin = tuple(levels), origin
        self.tiles_read: Tiles | None = None
        self._owner = object()
        weakref.finalize(self, CACHE.drop, self._owner)

    @property
    def path(self) -> str:
        """The file's path or address."""
        return self._path

    @property
    def notes(self) -> tuple[str, ...]:
        """What rows should say about how the file is read."""
        return self._notes

    @property
    def size(self) -> tuple[int, int]:
        """The picture's (height, width) at full resolution."""
        return self._size

    @property
    def nbytes(self) -> int:
        """About the bytes that an open file takes; decoded blocks are shared by all."""
        return _HANDLE_BYTES

    @abstractmethod
    def _read_block(self, number: int, extent: Extent) -> PixelBlock:
        """Decode a part of a level. Raises PictureError."""

    def _holds(self, block: PixelBlock) -> UInt8[ndarray, "height width"]:
        """Return where a block holds something: 255, or 0 for nothing."""
        return np.full(block.colours.shape[:2], 255, np.uint8) if block.opacity is None else block.opacity

    def read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Return a box, resampled (bicubic) to height x width, RGB. Raises PictureError if a part can't be decoded."""
        pixels = np.empty((height, width, 3), np.uint8)
        scale = self._scale(box, height, width)
        for first, band in self._bands(box, height, width, scale, _colours, Image.Resampling.BICUBIC):
            pixels[first : first + len(band)] = band
        return pixels

    def content(self, box: Box, height: int, width: int) -> Float32[ndarray, "height width"]:
        """Return the share, 0..1, of each pixel of a box, resampled to height x width, that holds something.

        Raises PictureError if a part can't be decoded.
        """
        shares = np.empty((height, width), np.float32)
        scale = self._scale(box, _FINER * height, _FINER * width)
        for first, band in self._bands(box, height, width, scale, self._holds, Image.Resampling.BOX):
            shares[first : first + len(band)] = band
        return shares / np.float32(255)

    def read_cells(
        self, box: Box, grid: Grid, patch: int, cells: Int[ndarray, " k"]
    ) -> UInt8[ndarray, "k patch patch 3"]:
        """Return some cells of a grid, each row * columns + column: those of the whole box resampled, then cut.

        Cells are cut in groups of neighbours, for which each block of the file is decoded once; of the blocks, those
        that no cell needs are not read. Raises PictureError if a part can't be decoded.
        """
        patches = np.empty((len(cells), patch, patch, 3), np.uint8)
        scale = self._scale(box, grid[0] * patch, grid[1] * patch)
        top, left, bottom, right = self._inner(box, scale)
        down = resample.axis(top, bottom, grid[0], patch, scale.size[0])
        across = resample.axis(left, right, grid[1], patch, scale.size[1])
        (tops, heights), (lefts, widths) = resample.cell_windows(down), resample.cell_windows(across)
        window = heights.shape[2], widths.shape[2]
        rows, columns = np.unravel_index(cells, grid)
        for group in _groups(rows, columns, tops, lefts, window):
            extent = _around(group, window)
            pixels = self._assembled(scale, extent, _colours, _blocks_of(group, window, scale.block))
            corners = group.tops - extent.top, group.lefts - extent.left
            places = rows[group.places], columns[group.places]
            patches[group.places] = resample.resampled(pixels, *corners, heights, widths, *places)
        return patches

    def tiles_of(self, box: Box, height: int, width: int) -> Tiles:
        """Return the file's tiles that reading a box at height x width pixels touches."""
        scale = self._scale(box, height, width)
        extent = _reached(self._inner(box, scale), (height, width), scale.size)
        blocks = extent.pieces(scale.block)
        return {tile for row, column in blocks for tile in self._tiles(scale, row, column)}

    def _tiles(self, scale: Scale, row: int, column: int) -> Iterator[tuple[int, int, int]]:
        """Yield the file's tiles that a block is made of."""
        level = self.levels[scale.number]
        for tile in scale.stored(row, column, level).pieces(level.tile):
            yield scale.number, *tile

    def _unreadable(self, number: int, extent: Extent, reason: str) -> PictureError:
        """Return the error for a part of a level that can't be decoded."""
        down, across = self.levels[number].step
        left, top = extent.left * across - self.origin[1], extent.top * down - self.origin[0]
        right, bottom = extent.right * across - self.origin[1], extent.bottom * down - self.origin[0]
        return PictureError(
            f"{in_message(self.path)} can't be decoded from ({left:.0f}, {top:.0f}) to ({right:.0f}, {bottom:.0f}) "
            f"pixels: {reason.rstrip('.')}; the file is damaged or cut short."
        )

    def _scale(self, box: Box, height: int, width: int) -> Scale:
        return scale_for(self.levels, (box[3] - box[1]) / height, (box[2] - box[0]) / width)

    def _inner(self, box: Box, scale: Scale) -> tuple[float, float, float, float]:
        """Return (top, left, bottom, right) of a box in the pixels of a scale."""
        (down, across), (height, width) = scale.step, scale.size
        top, bottom = ((edge + self.origin[0]) / down for edge in (box[1], box[3]))
        left, right = ((edge + self.origin[1]) / across for edge in (box[0], box[2]))
        return max(0.0, top), max(0.0, left), min(bottom, height), min(right, width)

    def _bands(
        self, box: Box, height: int, width: int, scale: Scale, pick: Pick, kernel: Image.Resampling
    ) -> Iterator[tuple[int, UInt8[ndarray, "height width *channels"]]]:
        """Yield a resampled box in bands of rows, each with the row that it begins at."""
        top, left, bottom, right = self._inner(box, scale)
        across, down = (right - left) / width, (bottom - top) / height
        step = max(1, int(_BAND_PIXELS / max(1.0, right - left) / max(down, 1.0)))
        for first in range(0, height, step):
            last = min(first + step, height)
            inner = top + first * down, left, top + last * down, right
            extent = _reached(inner, (last - first, width), scale.size)
            pixels = Image.fromarray(self._assembled(scale, extent, pick))
            near = left - extent.left, inner[0] - extent.top
            far = min(near[0] + across * width, pixels.width), min(inner[2] - extent.top, pixels.height)
            yield first, np.asarray(pixels.resize((width, last - first), kernel, (*near, *far)))

    def _assembled(
        self, scale: Scale, extent: Extent, pick: Pick, blocks: set[tuple[int, int]] | None = None
    ) -> UInt8[ndarray, "height width *channels"]:
        """Return the pixels of an extent; of the blocks in it, only some if these are named."""
        canvas: UInt8[ndarray, "height width *channels"] | None = None
        height, width = scale.block
        for row, column in extent.pieces(scale.block) if blocks is None else sorted(blocks):
            pixels = pick(self._block(scale, row, column))
            if canvas is None:
                canvas = np.zeros((extent.height, extent.width, *pixels.shape[2:]), np.uint8)
            top, left = row * height - extent.top, column * width - extent.left
            inner = pixels[max(0, -top) : extent.height - top, max(0, -left) : extent.width - left]
            top, left = max(0, top), max(0, left)
            canvas[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
        assert canvas is not None  # an extent holds a pixel, so at least a block
        return canvas

    def _block(self, scale: Scale, row: int, column: int) -> PixelBlock:
        """Return a block, from the cache if it is there."""
        if scale.averaged == (1, 1):
            return self._stored(scale, row, column)
        key = self._owner, scale.number, scale.averaged, row, column
        if (block := CACHE.get(key)) is None:
            block = _averaged(self._stored(scale, row, column), scale.averaged)
            CACHE.put(key, block)
        return block

    def _stored(self, scale: Scale, row: int, column: int) -> PixelBlock:
        """Decode what a block is averaged from; of a small level, it is kept for what is read at other scales."""
        level = self.levels[scale.number]
        extent = scale.stored(row, column, level)
        key = self._owner, scale.number, extent
        is_kept = scale.averaged == (1, 1) or 4 * level.size[0] * level.size[1] <= CACHE_BYTES
        if is_kept and (kept := CACHE.get(key)) is not None:
            return kept
        block = self._read_block(scale.number, extent)
        if self.tiles_read is not None:
            self.tiles_read.update(self._tiles(scale, row, column))
        if is_kept:
            CACHE.put(key, block)
        return block


def _colours(block: PixelBlock) -> UInt8[ndarray, "height width 3"]:
    return block.colours


def _averaged(block: PixelBlock, by: tuple[int, int]) -> PixelBlock:
    if by == (1, 1):
        return block
    factors = by[1], by[0]
    colours = np.asarray(Image.fromarray(block.colours).reduce(factors))
    if block.opacity is None:
        return PixelBlock(colours, None)
    return PixelBlock(colours, np.asarray(Image.fromarray(block.opacity).reduce(factors)))


def _reached(inner: tuple[float, float, float, float], asked: tuple[int, int], size: tuple[int, int]) -> Extent:
    """Return the pixels that resampling (top, left, bottom, right) to a height and a width reaches for."""
    edges: list[Any] = []
    for near, far, pixels, length in ((inner[0], inner[2], asked[0], size[0]), (inner[1], inner[3], asked[1], size[1])):
        reach = _REACH * max(1.0, (far - near) / pixels)
        first = min(max(0, int(np.floor(near - reach))), length - 1)
        edges.append((first, max(first + 1, min(length, int(np.ceil(far + reach))))))
    (top, bottom), (left, right) = edges
    return Extent(top, left, bottom, right)


def _groups(
    rows: Int[ndarray, " k"],
    columns: Int[ndarray, " k"],
    tops: Int[ndarray, " rows"],
    lefts: Int[ndarray, " columns"],
    window: tuple[int, int],
) -> Iterator[_Group]:
    """Yield neighbouring cells, from the top to the bottom."""
    side = max(1, int((_GROUP_PIXELS / (window[0] * window[1])) ** 0.5))
    groups = (rows // side).astype(np.int64) * (columns.max(initial=0) // side + 1) + columns // side
    order = np.argsort(groups, kind="stable")
    for places in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        if len(places):
            yield _Group(places, tops[rows[places]], lefts[columns[places]])


def _around(group: _Group, window: tuple[int, int]) -> Extent:
    return Extent(
        int(group.tops.min()),
        int(group.lefts.min()),
        int(group.tops.max()) + window[0],
        int(group.lefts.max()) + window[1],
    )


def _blocks_of(group: _Group, window: tuple[int, int], block: tuple[int, int]) -> set[tuple[int, int]]:
    """Return (row, column) of the blocks that the windows of the cells touch."""
    blocks: set[tuple[int, int]] = set()
    for top, left in zip(group.tops.tolist(), group.lefts.tolist(), strict=True):
        blocks.update(Extent(top, left, top + window[0], left + window[1]).pieces(block))
    return blocks
