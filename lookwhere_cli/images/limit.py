"""Pillow's own limit on pixels, which must not stand below ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import Image

_lock = Lock()
_readers = 0
_usual: int | None = None


@contextmanager
def pillow_limit(pixels: int) -> Iterator[None]:
    """Raise Pillow's limit, which is one number for the whole process, to at least `pixels` while any thread reads.

    It is raised and not lifted: a giant may hide inside a small picture (a PNG in an icon, a tile of a TIFF), and only
    Pillow sees it there. The last reader to leave puts back what was there before the first.
    """
    global _readers, _usual
    with _lock:
        if _readers == 0:
            _usual = Image.MAX_IMAGE_PIXELS
        _readers += 1
        if Image.MAX_IMAGE_PIXELS is not None:
            Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, pixels)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                Image.MAX_IMAGE_PIXELS = _usual
