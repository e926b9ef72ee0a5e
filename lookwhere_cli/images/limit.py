"""Pillow's own limit on pixels, kept from refusing what our limit allows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from PIL import Image

_lock = Lock()
_readers = 0
_limit_before: int | None = None


def _begin_anew() -> None:
    """In a forked process, forget the threads that were reading pictures: they are not there to finish."""
    global _lock, _readers
    _lock = Lock()
    if _readers:
        _readers, Image.MAX_IMAGE_PIXELS = 0, _limit_before


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


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
