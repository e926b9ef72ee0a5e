"""Pillow's own limit on pixels, kept from refusing what our limit allows."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import Image

_lock = Lock()
_readers = 0
_limit_before: int | None = None


@contextmanager
def pillow_limit(pixels: int) -> Iterator[None]:
    """Raise Pillow's limit, one number for the whole process, to at least `pixels` while any thread reads a picture.

    The limit is raised, not lifted: a giant picture may hide inside a small one (a PNG in an icon, a tile of a TIFF),
    where only Pillow can see it. The last thread to finish restores the limit.
    """
    global _readers, _limit_before
    with _lock:
        if _readers == 0:
            _limit_before = Image.MAX_IMAGE_PIXELS
        _readers += 1
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixels)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                Image.MAX_IMAGE_PIXELS = _limit_before
