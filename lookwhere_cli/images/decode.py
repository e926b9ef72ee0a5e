"""Opening a picture file and decoding it, at the smallest scale that is enough."""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.colour import to_eight_bits, to_srgb
from lookwhere_cli.images.formats import FORMATS, heif_brand
from lookwhere_cli.images.frame import Box, Grid, Reading, frame_for

_ORIENTATION = 274
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# A picture whose decoded pixels are more than this is averaged down, so that a folder of giants fits in memory.
_KEPT_PIXELS = 4_000_000


@dataclass(frozen=True)
class Decoded:
    """A decoded picture, as displayed.

    pixels: RGB. size: (height, width) at full resolution. grid: (rows, columns). scale: full-resolution pixels per
    decoded pixel. box: (left, top, right, bottom) of what is read, in full-resolution pixels. notes: for the user.
    """

    pixels: Image.Image
    size: tuple[int, int]
    grid: Grid
    box: Box
    scale: int
    notes: tuple[str, ...]


def decode_file(path: str, reading: Reading) -> Decoded:
    """Decode the file at `path`. Raises PictureError with a sentence that names the file."""
    with _failures(path), _opened(path) as file:
        picture = _identify(file, path)
        _refuse_giants(picture, path, reading.max_pixels)
        frames = _frames(picture)
        return _decode(picture, reading, _drafted, frames)


def decode_picture(picture: Image.Image, reading: Reading, name: str) -> Decoded:
    """Decode a Pillow image, which is left as it is. Raises PictureError with a sentence that names it."""
    with _failures(name):
        _refuse_giants(picture, name, reading.max_pixels)
        return _decode(picture, reading, lambda *_: 1, ())


def _decode(
    picture: Image.Image,
    reading: Reading,
    draft: Callable[[Image.Image, tuple[float, float]], int],
    notes: tuple[str, ...],
) -> Decoded:
    turn = _orientation(picture)
    width, height = picture.size[::-1] if turn >= 5 else picture.size
    grid, box = frame_for(height, width, reading)
    room = _room(grid, box, reading.patch)
    scale = draft(picture, room[::-1] if turn >= 5 else room)
    picture.load()
    profile = picture.info.get("icc_profile")
    pixels, more_notes = to_eight_bits(picture)
    if pixels.width * pixels.height > _KEPT_PIXELS:
        factor = max(1, int(min(room) / scale / 2))
        pixels, scale = (pixels.reduce(factor), scale * factor) if factor > 1 else (pixels, scale)
    pixels = to_srgb(pixels, profile, reading.background)
    if turn in _TURNS:
        pixels = pixels.transpose(_TURNS[turn])
    return Decoded(pixels, (height, width), grid, box, scale, notes + more_notes)


def _room(grid: Grid, box: Box, patch: int) -> tuple[float, float]:
    """Return (across, down): pixels of the box per pixel of the grid."""
    return (box[2] - box[0]) / (grid[1] * patch), (box[3] - box[1]) / (grid[0] * patch)


def _drafted(picture: Image.Image, room: tuple[float, float]) -> int:
    """Ask a JPEG's decoder for 1/8, 1/4 or 1/2 of the size where that still fills the grid; return the divisor."""
    divisor = next((step for step in (8, 4, 2) if min(room) >= step), 1)
    if divisor == 1 or picture.format not in ("JPEG", "MPO"):
        return 1
    width, height = picture.size
    picture.draft(None, (width // divisor, height // divisor))
    return divisor if picture.width == -(-width // divisor) else 1


def _orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1..8; 1 where it is missing or broken."""
    if picture.format == "TIFF":  # Pillow turns these itself
        return 1
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, TypeError, struct.error, KeyError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _frames(picture: Image.Image) -> tuple[str, ...]:
    """Note that only the first of several frames is read. (A camera's MPO and a PSD's layers hold no further pages.)"""
    if picture.format not in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        return ()
    try:
        count = getattr(picture, "n_frames", 1)
    except (EOFError, SyntaxError, OSError, ValueError):
        return ()
    return (f"first of {count} frames",) if count > 1 else ()


def _refuse_giants(picture: Image.Image, name: str, max_pixels: int) -> None:
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(
            f"{name!r} is {width} x {height} = {width * height:,} pixels, more than the {max_pixels:,} that are read; "
            "raise --max-pixels if you trust the file."
        )


def _identify(file: IO[bytes], path: str) -> ImageFile.ImageFile:
    """Find the decoder by content, as PIL.Image.open does, but leave the limit on pixels to `--max-pixels`."""
    start = file.read(32)
    if not start:
        raise PictureError(f"{path!r} is empty (0 bytes).")
    brand = heif_brand(start)
    if brand == "HEIC":
        _register_heif()
    for register in (Image.preinit, Image.init):
        register()
        for kind in FORMATS:
            if (picture := _try(kind, file, start[:16], path)) is not None:
                return picture
    if brand:
        raise PictureError(f"{path!r} is {brand}, which needs one more package: pip install 'lookwhere[heif]'.")
    raise PictureError(f"{path!r} is not a picture of a known format, or its header is damaged.")


def _try(kind: str, file: IO[bytes], start: bytes, path: str) -> ImageFile.ImageFile | None:
    factory, accept = Image.OPEN.get(kind, (None, None))
    # An `accept` that answers with a string says why its format is not supported here.
    if factory is None or (accept is not None and accept(start) is not True):
        return None
    file.seek(0)
    try:
        return factory(file, path)
    except (SyntaxError, IndexError, TypeError, struct.error):
        return None


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
    with Path(path).open("rb") as file:
        yield file if file.seekable() else BytesIO(file.read())


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Turn whatever the system and Pillow's decoders raise into a PictureError."""
    try:
        yield
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{name!r} is not there.") from error
    except IsADirectoryError as error:
        raise PictureError(f"{name!r} is a folder, not a picture.") from error
    except PermissionError as error:
        raise PictureError(f"{name!r} may not be read: permission denied.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{name!r} has more pixels than its format's decoder allows: {error}") from error
    except MemoryError as error:
        raise PictureError(f"{name!r} does not fit in memory.") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise PictureError(f"{name!r} is damaged or cut short: {error}.") from error
