"""Names of slides and rasters, for finding them without opening them."""

import re

from lookwhere_cli.extras import is_installed

SLIDE_EXTENSIONS = (".svs", ".svslide", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif")
RASTER_EXTENSIONS = (".vrt",)
"""Of rasters that are no pictures to anything else; TIFF and JPEG 2000 are listed with the pictures."""
SIDE_FILES = (".ovr", ".msk")
"""Overviews and masks that belong to the file beside them, and begin like pictures."""
_REMOTE = ("http://", "https://", "s3://", "gs://", "az://", "/vsi")
_REMOTE_EXTENSIONS = (".tif", ".tiff", ".vrt", ".jp2", ".j2k")
_PATTERN = "*?["
_VMS_PART = re.compile(r"(?:\([\d,]+\)|_map\d*|_macro)?\.jpe?g", re.IGNORECASE)


def named_like_slide(path: str) -> bool:
    """Return True if a name ends like that of a slide, in upper or lower case."""
    return path.lower().endswith(SLIDE_EXTENSIONS)


def is_remote(path: str) -> bool:
    """Return True for an address that rasterio reads, and no file of this machine."""
    return path.startswith(_REMOTE)


def is_remote_raster(path: str) -> bool:
    """Return True for one of GDAL's virtual paths and, if rasterio is installed, the address of a TIFF, JP2 or VRT."""
    if path.startswith("/vsi"):
        return True
    is_one = is_remote(path) and path.lower().endswith(_REMOTE_EXTENSIONS) and not any(map(path.count, _PATTERN))
    return is_one and has_rasterio()


def has_rasterio() -> bool:
    """Return True if rasterio is installed."""
    return is_installed("geo")


def has_openslide() -> bool:
    """Return True if OpenSlide is installed."""
    return is_installed("slides")


def belonging_files(names: list[str]) -> set[str]:
    """Return which of the files and folders of a folder hold the pixels of a slide beside them.

    That is the folder of a .mrxs, and the JPEGs of a .vms: `NAME(1,0).jpg`, `NAME_map2.jpg`, `NAME_macro.jpg`.
    """
    belonging: set[str] = set()
    for slide in names:
        stem, dot, ending = slide.rpartition(".")
        if dot and ending.lower() == "mrxs":
            belonging.add(stem)
        elif dot and ending.lower() == "vms":
            belonging.update(name for name in names if name.startswith(stem) and _VMS_PART.fullmatch(name, len(stem)))
    return belonging
