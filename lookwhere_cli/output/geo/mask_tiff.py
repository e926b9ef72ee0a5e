"""Masks of pictures of any size: a tiled, compressed TIFF of class indices that is written window by window."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.extras import require
from lookwhere_cli.output.files import whole_path
from lookwhere_cli.output.geo.gdal_reports import GdalReports, stderr_of_libraries
from lookwhere_cli.text import printable

NODATA = 255
"""The value of pixels in no window, and of those without data."""
TILE, MOST_TILE, UNIT = 256, 1024, 16
"""Sides of tiles: by default, at most, and what TIFF wants them to be multiples of."""
CACHE = 64 << 20  # bytes of tiles that wait for their other parts
SMALLEST_OVERVIEW = 512  # pixels of the longer side


@dataclass(frozen=True)
class MaskCanvas:
    """The pixels of a mask.

    size: (height, width). crs, transform, gcps: rasterio's, of the mask's pixels; the last two are alternatives, and
    all are None for a picture that is no map. pixel: side of a pixel in micrometres, across and down, if it is known.
    """

    size: tuple[int, int]
    crs: Any = None
    transform: Any = None
    gcps: Any = None
    pixel: tuple[float, float] | None = None


class MaskTiff:
    """A mask that is being written."""

    def __init__(self, dataset: Any, reports: GdalReports) -> None:
        self._dataset, self._reports = dataset, reports

    def write(self, left: int, top: int, classes: UInt8[ndarray, "height width"]) -> None:
        """Write class indices with their first pixel at (left, top); what is beyond the mask is left out.

        Raises OutputError.
        """
        from rasterio.windows import Window

        height, width = self._dataset.height - top, self._dataset.width - left
        part = classes[: max(0, height), : max(0, width)]
        if part.size:
            with self._reports.raised():
                self._dataset.write(part, 1, window=Window(left, top, part.shape[1], part.shape[0]))


def require_rasterio() -> Any:
    """Return the module `rasterio`. Raises UsageError, which names the extra to install, if it is missing."""
    return require("rasterio", "geo", "A mask of windows (.tif)")


@contextmanager
def open_mask(
    file: Path, canvas: MaskCanvas, labels: Sequence[str], colours: UInt8[ndarray, "classes 3"], side: int
) -> Iterator[MaskTiff]:
    """Open a mask for writing; the file gets its name, with overviews, if the block succeeds, and is gone otherwise.

    labels, colours: of the classes, by index. side: of the windows that are written, in the mask's pixels.
    Memory does not grow with the mask. Raises UsageError without rasterio, UsageError or OutputError if the file can't
    be written, OutputError for a full disk.
    """
    rasterio = require_rasterio()
    with whole_path(file) as path, rasterio.Env(GDAL_CACHEMAX=CACHE, GDAL_PAM_ENABLED=False):
        reports = GdalReports(file, path)
        with reports.raised():
            dataset = rasterio.open(path, "w", **_profile(canvas, side))
        with _closed_on_failure(dataset):
            if canvas.gcps is not None:
                dataset.gcps = (canvas.gcps, canvas.crs)
            dataset.write_colormap(1, {**_palette(colours), NODATA: (0, 0, 0, 0)})
            dataset.update_tags(CLASSES=json.dumps([printable(label) for label in labels]), **_resolution(canvas))
            yield MaskTiff(dataset, reports)
        with reports.raised():
            dataset.close()
        with reports.raised():
            _add_overviews(rasterio, path, canvas.size)


@contextmanager
def _closed_on_failure(dataset: Any) -> Iterator[None]:
    """Close a dataset that is not wanted any more."""
    try:
        yield
    except BaseException:
        with stderr_of_libraries():
            dataset.close()
        raise


def tile_side(side: int) -> int:
    """Return the side of tiles for windows of a side: the same, if it can be, so that each is written once."""
    return side if side % UNIT == 0 and UNIT <= side <= MOST_TILE else TILE


def _profile(canvas: MaskCanvas, side: int) -> dict[str, Any]:
    height, width = canvas.size
    profile = {
        **{"driver": "GTiff", "height": height, "width": width, "count": 1, "dtype": "uint8", "nodata": NODATA},
        **{"tiled": True, "blockxsize": tile_side(side), "blockysize": tile_side(side)},
        **{"compress": "deflate", "BIGTIFF": "IF_SAFER", "SPARSE_OK": True},
    }
    return profile if canvas.transform is None else profile | {"crs": canvas.crs, "transform": canvas.transform}


def _palette(colours: UInt8[ndarray, "classes 3"]) -> dict[int, tuple[int, ...]]:
    return {index: (*colour, 255) for index, colour in enumerate(colours.tolist())}


def _resolution(canvas: MaskCanvas) -> dict[str, Any]:
    """Return TIFF's tags for the size of a pixel: pixels per centimetre."""
    if canvas.pixel is None:
        return {}
    across, down = canvas.pixel
    return {
        "TIFFTAG_XRESOLUTION": 1e4 / across,
        "TIFFTAG_YRESOLUTION": 1e4 / down,
        "TIFFTAG_RESOLUTIONUNIT": "3 (pixels/cm)",
    }


def _add_overviews(rasterio: Any, path: Path, size: tuple[int, int]) -> None:
    """Add reduced copies, so that a viewer shows all of a large mask at once. A pixel is one of those it stands for."""
    factors = [2**power for power in range(1, 32) if max(size) >> (power - 1) > SMALLEST_OVERVIEW]
    if factors:
        with rasterio.open(path, "r+") as dataset:
            dataset.build_overviews(factors, rasterio.enums.Resampling.nearest)
