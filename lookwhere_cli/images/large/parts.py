"""Windows of large pictures as pictures of their own, with names from which any process can open them again.

A name is that of the file and, as media fragments have it, the window's left, top, width and height in full-resolution
pixels: `slide.svs#xywh=1056,0,528,528`.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Reading, frame_for
from lookwhere_cli.images.large.base import LargeSource
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.large.whole import WholeSource, decode_whole
from lookwhere_cli.images.peek import displayed_size
from lookwhere_cli.images.source import DecodedSource

OPEN_FILES = 8
"""Files that a process keeps open between windows."""
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?"
_RANGE = f"(?:&range=({_NUMBER}),({_NUMBER}))?"
_NAME = re.compile(rf"(.+)#xywh=(\d+),(\d+),(\d+),(\d+)(?:&bands=([\d,]+))?{_RANGE}", re.DOTALL)


class NamedWindow(NamedTuple):
    """A window of a file: its left and top, width and height in full-resolution pixels.

    bands, stretch_range: as in a Reading, where the file is not read as usual.
    """

    file: str
    left: int
    top: int
    width: int
    height: int
    bands: tuple[int, ...] = ()
    stretch_range: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The name by which the window is opened."""
        bands = f"&bands={','.join(map(str, self.bands))}" if self.bands else ""
        values = f"&range={','.join(map(str, self.stretch_range))}" if self.stretch_range else ""
        return f"{self.file}#xywh={self.left},{self.top},{self.width},{self.height}{bands}{values}"


def parse_window(name: str) -> NamedWindow | None:
    """Return the window that a name stands for; None for the name of a file."""
    found = _NAME.fullmatch(name)
    if found is None or os.path.lexists(name):
        return None
    left, top, width, height = map(int, found.groups()[1:5])
    bands = tuple(map(int, filter(None, (found[6] or "").split(","))))
    values = (float(found[7]), float(found[8])) if found[7] else None
    return NamedWindow(found[1], left, top, width, height, bands, values)


def decode_part(name: str, reading: Reading) -> DecodedSource:
    """Decode a file, or read a window of one, at the scale that `reading` needs. Raises PictureError.

    A slide or raster is read as `open_view` reads it, so that models see in training what they see later.
    """
    window = parse_window(name)
    if window is not None:
        return _read(window, reading)
    large = open_large(name, reading)
    if large is None:
        return decode_file(name, reading)
    with closing(large):
        return _part_of(large, NamedWindow(name, 0, 0, large.size[1], large.size[0]), name, reading)


def size_of_part(name: str) -> tuple[int, int]:
    """Return the (height, width) of a file as displayed, from its header, or of a window. Raises PictureError."""
    window = parse_window(name)
    return displayed_size(name) if window is None else (window.height, window.width)


def _read(window: NamedWindow, reading: Reading) -> DecodedSource:
    """Read a window of a file. Raises PictureError for one that is not within it."""
    how = Reading(
        patch=1,
        size=1,
        max_pixels=reading.max_pixels,
        background=reading.background,
        bands=window.bands or reading.bands,
        stretch_range=window.stretch_range or reading.stretch_range,
    )
    key = window.file, how, _modified(window.file), os.getpid()
    source = _opened(*key) or _decoded(*key)
    right, bottom = window.left + window.width, window.top + window.height
    if not (window.width and window.height and right <= source.size[1] and bottom <= source.size[0]):
        raise PictureError(
            f"{window.name!r} is no part of {window.file!r}, which is {source.size[1]} x {source.size[0]} pixels."
        )
    return _part_of(source, window, window.name, reading)


def _part_of(source: LargeSource, window: NamedWindow, name: str, reading: Reading) -> DecodedSource:
    """Read a window of an open file, with a pixel or more for each of the grid where the file has them."""
    height, width = window.height, window.width
    box = (window.left, window.top, window.left + width, window.top + height)
    (rows, columns), part = frame_for(height, width, reading)
    high = min(height, math.ceil(rows * reading.patch * height / (part[3] - part[1])))
    wide = min(width, math.ceil(columns * reading.patch * width / (part[2] - part[0])))
    pixels = source.read((float(box[0]), float(box[1]), float(box[2]), float(box[3])), high, wide)
    return DecodedSource(pixels, (height, width), (0.0, 0.0, float(wide), float(high)), name, source.notes)


def _modified(file: str) -> int:
    """Return when a file changed, in nanoseconds; 0 if that is not known, as of an address."""
    try:
        return Path(file).stat().st_mtime_ns
    except (OSError, ValueError):
        return 0


@lru_cache(OPEN_FILES)
def _opened(file: str, reading: Reading, modified: int, process: int) -> LargeSource | None:
    """Open a slide or raster, or return it open; None for other files.

    One that was opened before a fork is not shared with the new process. A file that leaves the cache is closed once no
    thread reads from it.
    """
    return open_large(file, reading)


@lru_cache(1)
def _decoded(file: str, reading: Reading, modified: int, process: int) -> WholeSource:
    """Decode any other file; only the last one is kept, since it takes the memory of all its pixels."""
    return decode_whole(file, reading)
