"""Which files are read by windows, and by what."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import install_command
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import LargeSource
from lookwhere_cli.images.large.headers import FileHead, read_head
from lookwhere_cli.images.large.names import has_openslide, has_rasterio, is_remote, is_remote_raster, named_like_slide
from lookwhere_cli.images.names import EncodedPicture, StandardInput, in_message

_GENERIC = "generic-tiff"
_WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".wld", ".j2w", ".jp2w")
_NO_RASTER = "no raster, so bands and range of values are as usual"
_CONTENT_NOTE = "georeferenced, but decoded as a plain picture; to read it as a raster, give its path"
_PLAIN_NOTE = f"georeferenced, but decoded as a plain picture; to read it as a raster: {install_command('geo')}"


def open_large(path: str, reading: Reading) -> LargeSource | None:
    """Open a slide or a raster; return None for any other file, for one that is not there, and for a folder.

    A slide is what OpenSlide knows as one. A raster is a VRT, and a TIFF or JPEG 2000 with a geotransform or more than
    `max_pixels`, or for which bands or a range of values are asked. Raises PictureError for one that can't be read, and
    for one that needs an extra.
    """
    if isinstance(path, StandardInput):
        return None
    if is_remote(path):
        return _raster(path, reading) if is_remote_raster(path) else None
    head = _head(path)
    if head is None:
        return None
    if _is_slide(path, head):
        return _slide(path, reading)
    if not _is_raster(path, head, reading):
        return None
    if has_rasterio():
        _check_upright(path, head)
        return _raster(path, reading)
    if head.format == "vrt" or head.pixels > reading.max_pixels:
        raise PictureError(
            f"{in_message(path)} is a {_what(head)} that needs one more package: {install_command('geo')}."
        )
    return None


def check_has_data(source: LargeSource) -> None:
    """Raise PictureError for a raster without data anywhere: what a model would say of its background is no answer."""
    check = getattr(source, "check_has_data", None)
    if check is not None:
        check()


def has_nodata(source: object) -> bool:
    """Return True for a raster that may have pixels without data."""
    return bool(getattr(source, "may_lack_data", False))


def plain_notes(file: EncodedPicture, reading: Reading) -> tuple[str, ...]:
    """Return what the row of a file that `open_large` does not open should say about that."""
    if isinstance(file, StandardInput):
        file = file.content
    if isinstance(file, bytes):
        head, note = read_head(BytesIO(file)), _CONTENT_NOTE
        is_georeferenced = head.is_georeferenced
    elif isinstance(file, str | os.PathLike) and (found := _head(os.fsdecode(file))) is not None:
        head, note = found, _PLAIN_NOTE
        is_georeferenced = _is_georeferenced(os.fsdecode(file), head) and not has_rasterio()
    else:
        return ()
    if head.format and is_georeferenced:
        return (note,)
    return (_NO_RASTER,) if _is_asked(reading) else ()


def _head(path: str) -> FileHead | None:
    """Read the head of a file; None for what is no file (a pipe can be read only once) or may not be read."""
    with suppress(OSError, ValueError):
        if os.path.isfile(path):  # noqa: PTH113 - a path may hold any bytes
            with Path(path).open("rb") as stream:
                return read_head(stream)
    return None


def _is_slide(path: str, head: FileHead) -> bool:
    """Return True for a file that is named like a slide, or that OpenSlide knows as one of a maker's."""
    if named_like_slide(path):
        return True
    if not ((head.format == "tiff" and head.is_tiled) or head.format == "dicom") or not has_openslide():
        return False
    import openslide  # an extra

    return openslide.OpenSlide.detect_format(path) not in (None, _GENERIC)


def _is_raster(path: str, head: FileHead, reading: Reading) -> bool:
    if head.format not in ("tiff", "jpeg2000", "vrt"):
        return False
    return _is_asked(reading) or head.pixels > reading.max_pixels or _is_georeferenced(path, head)


def _is_asked(reading: Reading) -> bool:
    """Return True if a user asks for what only rasters have."""
    return bool(reading.bands) or reading.stretch_range is not None


def _is_georeferenced(path: str, head: FileHead) -> bool:
    if head.is_georeferenced:
        return True
    stem = os.path.splitext(path)[0]  # noqa: PTH122 - a path may hold any bytes
    return head.format in ("tiff", "jpeg2000") and any(os.path.exists(stem + ending) for ending in _WORLD_FILES)  # noqa: PTH110


def _check_upright(path: str, head: FileHead) -> None:
    """Raise PictureError for a turned TIFF: GDAL ignores the turn."""
    if head.orientation > 1:
        raise PictureError(
            f"{in_message(path)} is read by windows, which its EXIF turn ({head.orientation}) does not allow; save it "
            "upright, and give that file."
        )


def _what(head: FileHead) -> str:
    return "VRT" if head.format == "vrt" else f"raster of {head.pixels:,} pixels"


def _slide(path: str, reading: Reading) -> LargeSource:
    if not has_openslide():
        raise PictureError(f"{in_message(path)} is a slide, which needs one more package: {install_command('slides')}.")
    from lookwhere_cli.images.large.slides import SlideSource

    return SlideSource(path, reading.background)


def _raster(path: str, reading: Reading) -> LargeSource:
    if not has_rasterio():
        raise PictureError(f"{in_message(path)} is a raster, which needs one more package: {install_command('geo')}.")
    from lookwhere_cli.images.large.rasters import RasterSource

    return RasterSource(path, reading)
