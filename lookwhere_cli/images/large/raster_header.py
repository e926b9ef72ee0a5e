"""What a raster's header tells: sizes, bands, values, where it lies, and what is worth a note."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.large.bands import BandChoice, choose_bands
from lookwhere_cli.images.large.georeference import Georeference, georeference_of
from lookwhere_cli.images.names import in_message

_LARGE = 4096
"""Pixels of the longer side from which on a raster without overviews, or without tiles, is noted."""


class RasterHeader(NamedTuple):
    """What is known of a raster before a pixel is decoded.

    size: (height, width). bands: how many there are. overviews: by how much smaller each smaller version is.
    tile: (height, width) of tiles or strips. nodata: of each band that becomes a colour. has_mask: whether a mask tells
    what holds data. inverted: zero is white. bits: of each value in use. palette: the colours (RGBA) of values.
    """

    driver: str
    size: tuple[int, int]
    bands: int
    dtype: np.dtype[Any]
    bits: int
    overviews: tuple[int, ...]
    tile: tuple[int, int]
    georeference: Georeference | None
    choice: BandChoice
    nodata: tuple[float | None, ...]
    has_mask: bool
    inverted: bool
    profile: bytes | None
    palette: UInt8[ndarray, "colours 4"] | None

    @property
    def is_tiled(self) -> bool:
        """True unless each tile is as wide as the raster."""
        return self.tile[1] < self.size[1]


def read_header(dataset: Any, bands: Sequence[int], path: str) -> RasterHeader:
    """Read the header of a rasterio dataset. Raises PictureError for what can't become a picture.

    bands: those that are wanted; none for the usual ones.
    """
    if not dataset.count:
        raise PictureError(f"{in_message(path)} holds no bands; name one of the rasters in it.")
    choice = choose_bands(dataset, bands, path)
    dtypes = [dataset.dtypes[band - 1] for band in choice.colours]
    if any("complex" in dtype for dtype in dtypes):
        raise PictureError(
            f"{in_message(path)} holds complex numbers ({dtypes[0]}); write their magnitude to a raster, and give that."
        )
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    dtype = np.result_type(*dtypes)
    return RasterHeader(
        driver=dataset.driver,
        size=dataset.shape,
        bands=dataset.count,
        dtype=dtype,
        bits=_bits(dataset, choice, dtype),
        overviews=tuple(dataset.overviews(choice.colours[0])),
        tile=dataset.block_shapes[choice.colours[0] - 1],
        georeference=georeference_of(dataset),
        choice=choice,
        nodata=tuple(dataset.nodatavals[band - 1] for band in choice.colours),
        has_mask=any(
            "per_dataset" in _flags(dataset, band) and "alpha" not in _flags(dataset, band) for band in choice.colours
        ),
        inverted=structure.get("MINISWHITE") == "YES",
        profile=_profile(dataset, dtype),
        palette=_palette(dataset, choice),
    )


def layout_notes(header: RasterHeader) -> tuple[str, ...]:
    """Note what makes reading slow, and that places are pixels."""
    notes = []
    if max(header.size) >= _LARGE and not header.overviews:
        notes.append("no overviews, so all of it is read for the thumbnail (gdaladdo adds them)")
    if max(header.size) >= _LARGE and not header.is_tiled:
        notes.append("not tiled, so it is read in strips (as a COG it would be faster)")
    if header.georeference is None:
        notes.append("no coordinate reference system: coordinates are pixels")
    return tuple(notes)


def _flags(dataset: Any, band: int) -> set[str]:
    return {flag.name for flag in dataset.mask_flag_enums[band - 1]}


def _bits(dataset: Any, choice: BandChoice, dtype: np.dtype[Any]) -> int:
    declared = dataset.tags(choice.colours[0], ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(declared) if declared.isdecimal() else 8 * dtype.itemsize


def _profile(dataset: Any, dtype: np.dtype[Any]) -> bytes | None:
    """Return the ICC profile of 8-bit colours."""
    encoded = dataset.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE") if dtype == np.uint8 else None
    try:
        return base64.b64decode(encoded) if encoded else None
    except binascii.Error:
        return None


def _palette(dataset: Any, choice: BandChoice) -> UInt8[ndarray, "colours 4"] | None:
    if choice.colour_model != "palette":
        return None
    colours = dataset.colormap(choice.colours[0])
    table = np.zeros((max(colours) + 1, 4), np.uint8)
    for index, colour in colours.items():
        table[index] = colour
    return table
