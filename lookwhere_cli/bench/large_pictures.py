"""Large pictures that are made to be measured: a sparse pyramid, and mosaics of photographs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.extras import require
from lookwhere_cli.images.large.handles import gdal_settings

TILE = 512
ISLANDS, RADII = 40, (300, 900)
"""Number of discs in a pyramid that hold something, and their radii in pixels."""
_BLOCK = 64
"""Pixels of one colour, down and across, in a disc."""
_OVERVIEWS = (2, 4, 8, 16, 32, 64)
_QUALITY = 95
_METRES = 0.1  # of a pixel: what lies somewhere is read as a raster, however small it is
_PURPOSE = "lookwhere bench large"


class _Island(NamedTuple):
    x: int
    y: int
    radius: int


def make_pyramid(file: Path, side: int, seed: int = 0) -> Path:
    """Write a BigTIFF of side x side pixels with all its halves down to a tile; most of its tiles are not stored.

    Raises UsageError without tifffile.
    """
    tifffile = require("tifffile", "tiff", _PURPOSE)
    islands = _islands(side, seed)
    with tifffile.TiffWriter(file, bigtiff=True) as writer:
        step = 1
        while True:
            length = -(-side // step)
            writer.write(
                _stored_tiles(islands, side, step),
                shape=(length, length, 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="zlib",
                subfiletype=int(step > 1),
                metadata=None,
            )
            if length <= TILE:
                return file
            step *= 2


def _islands(side: int, seed: int) -> list[_Island]:
    rng = np.random.default_rng(seed)
    return [
        _Island(int(rng.integers(side)), int(rng.integers(side)), int(rng.integers(*RADII))) for _ in range(ISLANDS)
    ]


def _stored_tiles(islands: Iterable[_Island], side: int, step: int) -> Iterator[bytes]:
    """Yield the compressed tiles of a level, row by row; nothing for those without a disc."""
    count = -(-side // (step * TILE))
    for row in range(count):
        near = [one for one in islands if abs(one.y - (row + 0.5) * step * TILE) < one.radius + step * TILE / 2]
        for column in range(count):
            inside = [one for one in near if abs(one.x - (column + 0.5) * step * TILE) < one.radius + step * TILE / 2]
            yield zlib.compress(_tile(inside, row, column, step).tobytes(), 1) if inside else b""


def _tile(islands: Iterable[_Island], row: int, column: int, step: int) -> UInt8[ndarray, "tile tile 3"]:
    """Return a tile: coloured squares in discs, and black around them."""
    y, x = (np.int64(place) * TILE * step + np.arange(TILE) * step + step // 2 for place in (row, column))
    inside = np.zeros((TILE, TILE), np.bool_)
    for one in islands:
        inside |= (y[:, None] - one.y) ** 2 + (x[None, :] - one.x) ** 2 < one.radius**2
    colours = [(y[:, None] // _BLOCK * down + x[None, :] // _BLOCK * 37) % 200 + 40 for down in (91, 53, 17)]
    return np.where(inside[..., None], np.stack(colours, axis=2), 0).astype(np.uint8)


def make_mosaic(
    file: Path, photographs: Iterable[UInt8[ndarray, "height width 3"]], shape: tuple[int, int], columns: int, rows: int
) -> Path:
    """Write a raster of rows x columns photographs of one shape (height, width): JPEG in tiles, with overviews.

    Tiles divide a photograph where that is possible, so that none is compressed twice. Raises UsageError without
    rasterio.
    """
    rasterio = require("rasterio", "geo", _PURPOSE)
    height, width = shape
    options: dict[str, Any] = {
        "driver": "GTiff",
        "count": 3,
        "dtype": "uint8",
        "tiled": True,
        "blockysize": _tile_side(height),
        "blockxsize": _tile_side(width),
        "compress": "JPEG",
        "photometric": "YCBCR",
        "jpeg_quality": _QUALITY,
        "crs": "EPSG:32632",
        "transform": rasterio.transform.from_origin(500_000, 5_300_000, _METRES, _METRES),
    }
    with gdal_settings(remote=False):
        with rasterio.open(file, "w", height=rows * height, width=columns * width, BIGTIFF="YES", **options) as written:
            for place, pixels in zip(range(rows * columns), photographs, strict=False):
                row, column = divmod(place, columns)
                window = rasterio.windows.Window(column * width, row * height, width, height)
                written.write(np.moveaxis(pixels, 2, 0), window=window)
        settings = {
            "COMPRESS_OVERVIEW": "JPEG",
            "PHOTOMETRIC_OVERVIEW": "YCBCR",
            "JPEG_QUALITY_OVERVIEW": str(_QUALITY),
        }
        least = max(rows * height, columns * width) // TILE
        with rasterio.Env(**settings), rasterio.open(file, "r+") as written:
            written.build_overviews([one for one in _OVERVIEWS if one <= least], rasterio.enums.Resampling.average)
    return file


def _tile_side(length: int) -> int:
    """Return the largest multiple of 16 up to 512 that divides a length; 512 if none does."""
    return next((side for side in range(TILE, 15, -16) if length % side == 0), TILE)
