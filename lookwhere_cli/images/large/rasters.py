"""Georeferenced and other large rasters, by rasterio (an extra)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Shaped, UInt8
from numpy import ndarray
from PIL import Image

from lookwhere_cli.images.colour import to_srgb
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import Coordinates, Spacing
from lookwhere_cli.images.large.cache import PixelBlock
from lookwhere_cli.images.large.georeference import Georeference
from lookwhere_cli.images.large.handles import Handles, first_line, rasterio_module
from lookwhere_cli.images.large.levels import Extent, Level
from lookwhere_cli.images.large.pyramid import PyramidSource
from lookwhere_cli.images.large.raster_header import RasterHeader, layout_notes, read_header
from lookwhere_cli.images.large.stretch import Stretch, fixed_stretch, percentile_stretch, plain_stretch
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
        self._stretch = self._stretch_of(reading.stretch_range)
        self._notes = self.header.choice.notes + self._stretch.notes + layout_notes(self.header)

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

    def _stretch_of(self, span: tuple[float, float] | None) -> Stretch:
        header = self.header
        bands = len(header.choice.colours)
        if header.choice.colour_model == "palette":
            return plain_stretch(bands, 255)
        if span is not None:
            return fixed_stretch(span, bands)
        if header.dtype == np.uint8:
            return plain_stretch(bands, 2**header.bits - 1)
        return percentile_stretch(*self._sample())

    def _sample(self) -> tuple[Shaped[ndarray, "bands 1 values"], Bool[ndarray, "1 values"]]:
        """Return values of blocks that are spread over the coarsest level that shows enough, and which hold data."""
        fine = [one for one, level in enumerate(self.levels) if max(level.size) >= _OVERVIEW]
        number = max(fine, key=lambda one: self.levels[one].step, default=0)
        level = self.levels[number]
        pieces = list(Extent(0, 0, *level.size).pieces(level.tile))
        step = max(1, len(pieces) * level.tile[0] * level.tile[1] // _SAMPLED_PIXELS)
        values, valid = [], []
        for row, column in pieces[::step]:
            top, left = row * level.tile[0], column * level.tile[1]
            extent = Extent(
                top, left, min(top + level.tile[0], level.size[0]), min(left + level.tile[1], level.size[1])
            )
            read = self._read_values(number, extent)
            values.append(read.values.reshape(len(read.values), 1, -1))
            valid.append((read.opacity > 0).reshape(1, -1))
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
