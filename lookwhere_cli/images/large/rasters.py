"""Georeferenced and other large rasters, by rasterio (an extra)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Shaped, UInt8
from numpy import ndarray
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.colour import to_srgb
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import Coordinates, Spacing
from lookwhere_cli.images.large.cache import PixelBlock
from lookwhere_cli.images.large.georeference import Georeference
from lookwhere_cli.images.large.handles import Handles, first_line, rasterio_module
from lookwhere_cli.images.large.levels import Extent, Level
from lookwhere_cli.images.large.pyramid import PyramidSource
from lookwhere_cli.images.large.raster_header import RasterHeader, layout_notes, read_header
from lookwhere_cli.images.large.stretch import (
    Stretch,
    fixed_stretch,
    percentile_note,
    percentile_stretch,
    plain_stretch,
)
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.samples import equals, is_extreme

_OVERVIEW = 1024
"""Pixels, at least, of the longer side of the overview whose percentiles are computed."""
_UNEVEN = 0.05
"""By which an overview may be smaller in one direction than in the other; more is another picture, such as a label."""
_SAMPLED_PIXELS = 1 << 22
"""Of the overview, about, that are looked at."""


class RasterSource(PyramidSource):
    """A raster. Values that are not of 8 bits are stretched, which its notes tell."""

    def __init__(self, path: str, reading: Reading) -> None:
        """Open a raster. Raises PictureError if it can't be read, is complex, or lacks a band that is wanted."""
        self._handles = Handles(path)
        with self._handles.borrowed(0) as dataset:
            self.header = read_header(dataset, reading.bands, path)
        self._background = reading.background
        self._overviews: list[int] = []  # of each level, as rasterio counts them, with 0 for full resolution
        super().__init__(path, self.header.size, self._levels())
        self._range, self._lock = reading.stretch_range, threading.Lock()
        self._found_stretch: Stretch | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What rows should say about how the file is read. Pixels are read for it. Raises PictureError."""
        return self._notes_with(self._stretch.notes)

    @property
    def header_notes(self) -> tuple[str, ...]:
        """The notes as far as no pixel is read for them: without the values that percentiles give."""
        known = self._known_stretch()
        return self._notes_with((percentile_note(self.header.dtype),) if known is None else known.notes)

    @property
    def format(self) -> str:
        """The format as GDAL names it, such as "GTiff"."""
        return self.header.driver

    @property
    def georeference(self) -> Georeference | None:
        """How the raster lies on the Earth."""
        return self.header.georeference

    @property
    def spacing(self) -> Spacing | None:
        """The size of a full-resolution pixel in metres; None if the file does not tell where it lies."""
        return None if self.georeference is None else self.georeference.spacing(self.size)

    @property
    def coordinates(self) -> Coordinates:
        """Longitude and latitude if the file tells where it lies."""
        return "pixels" if self.georeference is None else "longitude and latitude"

    def place(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return (longitude, latitude) of (x, y) in full-resolution pixels; the same without a CRS."""
        return points if self.georeference is None else self.georeference.longitude_latitude(points)

    def locate(self, points: Float64[ndarray, "n 2"]) -> Float64[ndarray, "n 2"]:
        """Return (x, y) in full-resolution pixels of (longitude, latitude); the same without a CRS."""
        return points if self.georeference is None else self.georeference.pixels(points)

    def close(self) -> None:
        """Release the file."""
        self._handles.close()

    def _levels(self) -> list[Level]:
        """Return the resolutions, each with its own size; overviews of another shape are left out."""
        levels = []
        for overview in range(len(self.header.overviews) + 1):
            with self._handles.borrowed(overview) as dataset:
                level = _level(dataset.shape, dataset.block_shapes[0], self.header.size)
            down, across = level.step
            if abs(down - across) <= _UNEVEN * max(down, across) or overview == 0 or 1 in level.size:
                levels.append(level)
                self._overviews.append(overview)
        return levels

    def _notes_with(self, notes: tuple[str, ...]) -> tuple[str, ...]:
        return self.header.choice.notes + notes + layout_notes(self.header)

    @property
    def _stretch(self) -> Stretch:
        """How values become levels; found when pixels are first read."""
        with self._lock:
            if self._found_stretch is None:
                self._found_stretch = self._known_stretch() or percentile_stretch(*self._sample())
            return self._found_stretch

    def _known_stretch(self) -> Stretch | None:
        """Return the stretch, if the header and the user tell it; None if it takes percentiles of the pixels."""
        header = self.header
        bands = len(header.choice.colours)
        if header.choice.colour_model == "palette":
            return plain_stretch(bands, 255)
        if self._range is not None:
            return fixed_stretch(self._range, bands)
        return plain_stretch(bands, 2**header.bits - 1) if header.dtype == np.uint8 else None

    @property
    def may_lack_data(self) -> bool:
        """False if all pixels hold data, whatever their values."""
        header = self.header
        tells = header.has_mask or header.choice.alpha or any(one is not None for one in header.nodata)
        return bool(tells) or not np.issubdtype(header.dtype, np.integer)

    def check_has_data(self) -> None:
        """Read as much of the coarsest level as it takes to find data. Raises PictureError if there is none at all."""
        if not self.may_lack_data:
            return
        number = max(range(len(self.levels)), key=lambda one: self.levels[one].step)
        level = self.levels[number]
        if any(self._may_hold_data(number, extent) for extent in _tiles_of(level)):
            return
        where = "anywhere" if number == 0 else f"anywhere on its overview of {level.size[1]} x {level.size[0]} pixels"
        raise PictureError(f"{in_message(self.path)} has no data {where}, so there is nothing to read; leave it out.")

    def _may_hold_data(self, number: int, extent: Extent) -> bool:
        """Return False for a part of a level without data; what can't be decoded counts as data, and is told later."""
        try:
            return bool(self._read_values(number, extent).opacity.any())
        except PictureError:
            return True

    def _sample(self) -> tuple[Shaped[ndarray, "bands 1 values"], Bool[ndarray, "1 values"]]:
        """Return values of blocks that are spread over the coarsest level that shows enough, and which hold data."""
        fine = [one for one, level in enumerate(self.levels) if max(level.size) >= _OVERVIEW]
        number = max(fine, key=lambda one: self.levels[one].step, default=0)
        level = self.levels[number]
        tiles = list(_tiles_of(level))
        step = max(1, len(tiles) * level.tile[0] * level.tile[1] // _SAMPLED_PIXELS)
        values, valid, failure = [], [], None
        for extent in tiles[::step]:
            try:
                read = self._read_values(number, extent)
            except PictureError as error:  # what is read of the picture may lie elsewhere
                failure = error
                continue
            values.append(read.values.reshape(len(read.values), 1, -1))
            valid.append((read.opacity > 0).reshape(1, -1))
        if failure is not None and not values:
            raise failure
        return np.concatenate(values, axis=2), np.concatenate(valid, axis=1)

    def _read_values(self, number: int, extent: Extent) -> _Values:
        """Read the bands of a part of a level. Raises PictureError."""
        rasterio, header = rasterio_module(), self.header
        window = rasterio.windows.Window(extent.left, extent.top, extent.width, extent.height)
        bands = [*header.choice.colours, *([header.choice.alpha] if header.choice.alpha else [])]
        try:
            with self._handles.borrowed(self._overviews[number]) as dataset:
                read = dataset.read(bands, window=window)
                mask = dataset.read_masks(header.choice.colours[0], window=window) if header.has_mask else None
        except (rasterio.errors.RasterioError, OSError) as error:
            raise self._unreadable(number, extent, first_line(error)) from error
        values = read[: len(header.choice.colours)]
        return _Values(values, _opacity(values, read[len(values) :], mask, header))

    def _read_block(self, number: int, extent: Extent) -> PixelBlock:
        """Decode a part of a level. Raises PictureError."""
        values, opacity = self._read_values(number, extent)
        header = self.header
        if header.palette is not None:
            colours = header.palette[np.minimum(values[0], len(header.palette) - 1)]
            colours, opacity = colours[..., :3], np.minimum(opacity, colours[..., 3])
        else:
            levels = self._stretch.levels(values)
            colours = np.moveaxis(255 - levels if header.inverted else levels, 0, -1)
        return _composed(colours, opacity, header, self._background)


class _Values(NamedTuple):
    """Values of the bands that become colours, and 0..255 where there is nothing..something."""

    values: Shaped[ndarray, "bands height width"]
    opacity: UInt8[ndarray, "height width"]


def _level(size: tuple[int, int], tile: tuple[int, int], full: tuple[int, int]) -> Level:
    """Return a level; of a file in strips, some are decoded together."""
    step = full[0] / size[0], full[1] / size[1]
    return Level(size, step, (min(tile[0], size[0]), min(tile[1], size[1])))


def _tiles_of(level: Level) -> Iterator[Extent]:
    """Yield the tiles of a level."""
    (height, width), (rows, columns) = level.tile, level.size
    for row, column in Extent(0, 0, rows, columns).pieces(level.tile):
        top, left = row * height, column * width
        yield Extent(top, left, min(top + height, rows), min(left + width, columns))


def _opacity(
    values: Shaped[ndarray, "bands height width"],
    alpha: Shaped[ndarray, "any height width"],
    mask: UInt8[ndarray, "height width"] | None,
    header: RasterHeader,
) -> UInt8[ndarray, "height width"]:
    """Return 0 where there is nothing: no data in all bands, or a mask, or a band of opacity, says so."""
    nothing = np.stack([_is_nodata(band, nodata) for band, nodata in zip(values, header.nodata, strict=True)])
    opacity = np.where(nothing.all(axis=0), np.uint8(0), np.uint8(255))
    if mask is not None:
        opacity = np.minimum(opacity, mask)
    if len(alpha):
        opacity = np.minimum(opacity, _eight_bits(alpha[0]))
    return opacity


def _is_nodata(values: Shaped[ndarray, "height width"], nodata: float | None) -> Bool[ndarray, "height width"]:
    """Return where there is no data: the value for it, and floats that are no numbers of any measurement."""
    return equals(values, nodata) | is_extreme(values)


def _eight_bits(alpha: Shaped[ndarray, "height width"]) -> UInt8[ndarray, "height width"]:
    if alpha.dtype == np.uint8:
        return alpha
    greatest = float(np.iinfo(alpha.dtype).max) if np.issubdtype(alpha.dtype, np.integer) else 1.0
    return np.clip(np.rint(alpha.astype(np.float64) * (255 / greatest)), 0, 255).astype(np.uint8)


def _composed(
    colours: UInt8[ndarray, "height width bands"],
    opacity: UInt8[ndarray, "height width"],
    header: RasterHeader,
    background: tuple[int, int, int],
) -> PixelBlock:
    """Convert colours to RGB on the background."""
    modes = {1: "L", 3: "RGB", 4: "CMYK"}
    pixels = colours[..., 0] if colours.shape[2] == 1 else colours
    picture = Image.fromarray(np.ascontiguousarray(pixels), modes[colours.shape[2]])
    rgb = to_srgb(picture, header.profile, background)
    if opacity.min(initial=255) == 255:
        return PixelBlock(np.asarray(rgb), None)
    canvas = Image.new("RGB", rgb.size, background)
    canvas.paste(rgb, mask=Image.fromarray(opacity))
    return PixelBlock(np.asarray(canvas), opacity)
