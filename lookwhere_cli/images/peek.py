"""A picture's size, format and memory, from its header alone."""

from typing import NamedTuple

from lookwhere_cli.images.decode import decoding_bytes, plan_for
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.header import opened_picture
from lookwhere_cli.images.names import EncodedPicture, picture_name


class PictureHeader(NamedTuple):
    """What is known of a picture from its header.

    size: (height, width) as displayed. format: Pillow's name for it, such as "JPEG". decoding_bytes: an estimate of the
    memory that decoding at full size takes at its peak.
    """

    size: tuple[int, int]
    format: str
    decoding_bytes: int


def peek(file: EncodedPicture, max_pixels: int = Reading.max_pixels) -> PictureHeader:
    """Read a picture's header. Raises PictureError. A pipe is read to its end."""
    with opened_picture(file, picture_name(file), max_pixels) as picture:
        plan = plan_for(picture, Reading(patch=1, size=max(picture.size), mode="stretch"))
        return PictureHeader(plan.size, picture.format or "", decoding_bytes(picture, plan))


def displayed_size(file: EncodedPicture) -> tuple[int, int]:
    """Return a picture's (height, width) as displayed, from its header. Raises PictureError."""
    return peek(file).size
