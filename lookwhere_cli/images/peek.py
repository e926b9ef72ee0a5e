"""A picture's size, format and memory, from its header alone."""

import os
from typing import NamedTuple

from lookwhere_cli.images.decode import decoding_bytes, plan_for
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.header import opened_picture
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.names import EncodedPicture, picture_name


class PictureHeader(NamedTuple):
    """What is known of a picture from its header.

    size: (height, width) as displayed. format: Pillow's name for it, such as "JPEG"; of slides and rasters that of
    OpenSlide ("aperio") or GDAL ("GTiff"). decoding_bytes: an estimate of the
    memory that decoding at full size takes at its peak.
    """

    size: tuple[int, int]
    format: str
    decoding_bytes: int


def peek(file: EncodedPicture, max_pixels: int = Reading.max_pixels) -> PictureHeader:
    """Read a picture's header. Raises PictureError. A pipe is read to its end."""
    path = os.fsdecode(file) if isinstance(file, str | os.PathLike) else None
    large = None if path is None else open_large(path, Reading(patch=1, size=1, max_pixels=max_pixels))
    if large is not None:
        header = PictureHeader(large.size, getattr(large, "format", ""), getattr(large, "nbytes", 0))
        large.close()
        return header
    with opened_picture(file, picture_name(file), max_pixels) as picture:
        plan = plan_for(picture, Reading(patch=1, size=max(picture.size), mode="stretch"))
        return PictureHeader(plan.size, picture.format or "", decoding_bytes(picture, plan))


def displayed_size(file: EncodedPicture) -> tuple[int, int]:
    """Return a picture's (height, width) as displayed, from its header. Raises PictureError."""
    return peek(file).size
