"""Names of slides and rasters, for finding them without opening them."""

SLIDE_EXTENSIONS = (".svs", ".svslide", ".ndpi", ".mrxs", ".scn", ".vms", ".vmu", ".bif")
RASTER_EXTENSIONS = (".vrt",)
"""Of rasters that are no pictures to anything else; TIFF and JPEG 2000 are listed with the pictures."""
REMOTE_RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".j2k")
SIDE_FILES = (".ovr", ".msk", ".aux.xml")
"""Overviews and masks that belong to the file beside them, and begin like pictures."""


def named_like_slide(path: str) -> bool:
    """Return True if a name ends like that of a slide, in upper or lower case."""
    return path.lower().endswith(SLIDE_EXTENSIONS)
