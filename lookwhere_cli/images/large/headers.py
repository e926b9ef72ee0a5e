"""What the first bytes of a file tell about how it should be read: TIFF tags, boxes of JPEG 2000."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import IO, NamedTuple

from lookwhere_cli.images.tiff import is_tiff

_WIDTH, _HEIGHT, _ORIENTATION, _TILE_WIDTH = 256, 257, 274, 322
_TIE_POINTS, _TRANSFORM, _RATIONAL_POLYNOMIALS = 33922, 34264, 50844
_FORMATS = {3: "H", 4: "I", 16: "Q"}
_MOST_TAGS = 4096
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_GEO_JP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
_GML = b"gml.data"
_SEARCHED = 1 << 16


class FileHead(NamedTuple):
    """What the head of a file tells. pixels: width x height, 0 if that is not known. orientation: EXIF's, 1..8."""

    format: str
    pixels: int = 0
    is_tiled: bool = False
    is_georeferenced: bool = False
    orientation: int = 1


def read_head(stream: IO[bytes]) -> FileHead:
    """Read the head of a file; its format is "tiff", "jpeg2000", "vrt", "dicom", or "" for all else."""
    start = stream.read(132)
    if is_tiff(start):
        with suppress(struct.error, OSError, OverflowError):
            return _tiff_head(stream)
        return FileHead("")
    if start.startswith(_JP2):
        head = start + stream.read(_SEARCHED)
        return FileHead("jpeg2000", _jpeg2000_pixels(head), True, _GEO_JP2 in head or _GML in head)
    if start.lstrip().startswith(b"<VRTDataset"):
        return FileHead("vrt", 0, False, True)
    return FileHead("dicom" if start[128:132] == b"DICM" else "")


def _tiff_head(stream: IO[bytes]) -> FileHead:
    """Read the tags of the first directory that matter here. Raises struct.error if it is cut short."""
    stream.seek(0)
    order = "<" if stream.read(2) == b"II" else ">"
    (version,) = struct.unpack(f"{order}H", stream.read(2))
    is_big = version == 43
    if is_big:
        stream.read(4)
    entry = f"{order}HHQ8s" if is_big else f"{order}HHI4s"
    (offset,) = struct.unpack(f"{order}{'Q' if is_big else 'I'}", stream.read(8 if is_big else 4))
    stream.seek(offset)
    (count,) = struct.unpack(f"{order}{'Q' if is_big else 'H'}", stream.read(8 if is_big else 2))
    size = struct.calcsize(entry)
    content = stream.read(size * min(count, _MOST_TAGS))
    values: dict[int, int] = {}
    for tag, kind, _, value in struct.iter_unpack(entry, content[: len(content) // size * size]):
        letter = _FORMATS.get(kind)
        values[tag] = (
            struct.unpack_from(f"{order}{letter}", value)[0] if letter and len(value) >= struct.calcsize(letter) else 0
        )
    located = _TRANSFORM in values or _RATIONAL_POLYNOMIALS in values or _TIE_POINTS in values
    return FileHead(
        "tiff",
        values.get(_WIDTH, 0) * values.get(_HEIGHT, 0),
        _TILE_WIDTH in values,
        located,
        values.get(_ORIENTATION, 1),
    )


def _jpeg2000_pixels(head: bytes) -> int:
    place = head.find(b"ihdr")
    if place < 0 or place + 12 > len(head):
        return 0
    height, width = struct.unpack_from(">II", head, place + 4)
    return int(height * width)
