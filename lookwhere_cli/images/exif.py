"""A check of EXIF data: damaged ones are worth a note, since a picture's orientation may be lost with them."""

import struct

_HEADER = b"Exif\0\0"
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


def is_damaged(exif: bytes) -> bool:
    """Return True if EXIF data have no readable first directory, or one whose entries lie outside of the data."""
    data = exif.removeprefix(_HEADER)
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or len(data) < 8:
        return True
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    if start + 2 > len(data):
        return True
    (count,) = struct.unpack_from(f"{order}H", data, start)
    if start + 2 + 12 * count > len(data):
        return True
    return any(_lies_outside(data, order, start + 2 + 12 * entry) for entry in range(count))


def _lies_outside(data: bytes, order: str, place: int) -> bool:
    _, kind, count, offset = struct.unpack_from(f"{order}HHII", data, place)
    size = _SIZES.get(kind, 0) * count
    return size > 4 and offset + size > len(data)
