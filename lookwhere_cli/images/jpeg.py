"""JPEGs that lack their end."""

import re
from io import BytesIO
from typing import IO

from PIL import Image, ImageFile, JpegImagePlugin

_END = b"\xff\xd9"
_FILL = b"\x55\xaa" * 256
_SCAN = re.compile(rb"\xff\xda\x00.")
_COEFFICIENTS = 64


def without_end(picture: Image.Image, stream: IO[bytes]) -> ImageFile.ImageFile | None:
    """Decode a JPEG that has all of its pixels but no end marker, at the same size; None if pixels are missing too.

    Its data are followed by nothing, and again by other bits: pixels that are missing would differ.
    """
    stream.seek(0)
    content = stream.read().removesuffix(b"\xff")  # the marker's first half
    whole, other = (_decoded(content + tail, picture) for tail in (_END, _FILL + _END))
    if whole is None or other is None or whole.tobytes() != other.tobytes():
        return None
    return whole


def lacks_scans(stream: IO[bytes]) -> bool:
    """Return True if a progressive JPEG ends before the last scans, which refine its pixels."""
    stream.seek(0)
    content = stream.read()
    start = _first_scan(content)
    if start is None:
        return False
    end = content.find(_END, start)
    bits = [
        _scan_bits(content, found.start())
        for found in _SCAN.finditer(content, start, end if end >= 0 else len(content))
    ]
    finest: dict[int, list[int]] = {}
    for components, first, last, bit in bits:
        for component in components:
            levels = finest.setdefault(component, [_COEFFICIENTS] * _COEFFICIENTS)
            levels[first : last + 1] = [bit] * (last + 1 - first)
    return any(any(levels) for levels in finest.values())


def _decoded(content: bytes, drafted: Image.Image) -> ImageFile.ImageFile | None:
    picture = JpegImagePlugin.JpegImageFile(BytesIO(content))
    width, height = picture.size
    divisor = next((one for one in (1, 2, 4, 8) if -(-width // one) == drafted.width), 1)
    picture.draft(None, (max(1, width // divisor), max(1, height // divisor)))
    try:
        picture.load()
    except OSError:
        return None
    return picture if picture.size == drafted.size else None


def _first_scan(content: bytes) -> int | None:
    """Return where the first scan of a JPEG begins; None if its segments are damaged."""
    place = 2
    while content[place : place + 1] == b"\xff" and place + 4 <= len(content):
        marker, length = content[place + 1], int.from_bytes(content[place + 2 : place + 4])
        if marker == 0xDA:
            return place
        place += 1 if marker == 0xFF else 2 + length
    return None


def _scan_bits(content: bytes, place: int) -> tuple[list[int], int, int, int]:
    """Return a scan's components, its first and last coefficient, and how many of their bits it leaves out."""
    count = content[place + 4]
    components = list(content[place + 5 : place + 5 + 2 * count : 2])
    first, last, bits = content[place + 5 + 2 * count : place + 8 + 2 * count]
    return components, first, min(last, _COEFFICIENTS - 1), bits & 15
