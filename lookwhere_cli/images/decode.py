"""Opening a picture file and decoding it, at the smallest scale that is enough."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.colour import to_eight_bits, to_srgb
from lookwhere_cli.images.formats import FORMATS, brand_of
from lookwhere_cli.images.frame import Box, Grid, Reading, frame_for
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.images.names import EncodedPicture, StandardInput, in_message, picture_name

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
# A picture that decodes to more than this is averaged down, to no less than twice the grid: a batch of giants must fit.
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


@dataclass(frozen=True)
class _Plan:
    """What a file's header says: `turn` is the EXIF orientation, `room` the pixels of the box per pixel of the grid."""

    turn: int
    size: tuple[int, int]
    grid: Grid
    box: Box
    room: float


def decode_file(file: EncodedPicture, reading: Reading) -> Decoded:
    """Decode a picture file. Raises PictureError with a sentence that names the file."""
    name = picture_name(file)
    with _failures(name), pillow_limit(reading.max_pixels), _opened(file) as stream:
        picture = _identify(stream, name)
        _refuse_giants(picture, name, reading.max_pixels)
        plan = _plan(picture, reading)
        notes = _frames(picture)
        return _decode(picture, plan, _draft(picture, plan.room), reading.background, notes)


def decode_picture(picture: Image.Image, reading: Reading, name: str) -> Decoded:
    """Decode a Pillow image, which is left as it is. Raises PictureError with a sentence that names it."""
    with _failures(name), pillow_limit(reading.max_pixels):
        _refuse_giants(picture, name, reading.max_pixels)
        return _decode(picture, _plan(picture, reading), 1, reading.background, ())


def _plan(picture: Image.Image, reading: Reading) -> _Plan:
    turn = _orientation(picture)
    width, height = picture.size[::-1] if turn >= 5 else picture.size
    grid, box = frame_for(height, width, reading)
    across = (box[2] - box[0]) / (grid[1] * reading.patch)
    down = (box[3] - box[1]) / (grid[0] * reading.patch)
    return _Plan(turn, (height, width), grid, box, min(across, down))


def _draft(picture: Image.Image, room: float) -> int:
    """Ask a JPEG's decoder for 1/8, 1/4 or 1/2 of the size where that still fills the grid; return the divisor."""
    divisor = next((step for step in (8, 4, 2) if room >= step), 1)
    if divisor == 1 or picture.format not in ("JPEG", "MPO"):
        return 1
    width, height = picture.size
    picture.draft(None, (width // divisor, height // divisor))
    return divisor if picture.width == -(-width // divisor) else 1


def _decode(
    picture: Image.Image, plan: _Plan, scale: int, background: tuple[int, int, int], notes: tuple[str, ...]
) -> Decoded:
    picture.load()
    profile = picture.info.get("icc_profile")
    pixels, more_notes = to_eight_bits(picture)
    factor = int(plan.room / scale / 2)
    if factor > 1 and pixels.width * pixels.height > _KEPT_PIXELS:
        pixels, scale = pixels.reduce(factor), scale * factor
    pixels = to_srgb(pixels, profile, background)
    if plan.turn in _TURNS:
        pixels = pixels.transpose(_TURNS[plan.turn])
    return Decoded(pixels, plan.size, plan.grid, plan.box, scale, notes + more_notes)


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
            f"{in_message(name)} is {width} x {height} = {width * height:,} pixels, more than the {max_pixels:,} "
            "that are read; raise --max-pixels if you trust the file."
        )


def _identify(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Find the decoder by content, as PIL.Image.open does, but among the formats that are read here only."""
    start = stream.read(32)
    if not start:
        raise PictureError(f"{in_message(name)} is empty (0 bytes).")
    if brand_of(start) == "HEIF":
        _register_heif()
    for register in (Image.preinit, Image.init):
        register()
        for kind in FORMATS:
            if (picture := _try(kind, stream, start[:16], name)) is not None:
                return picture
    raise PictureError(_unknown(start[:16], name))


def _try(kind: str, stream: IO[bytes], start: bytes, name: str) -> ImageFile.ImageFile | None:
    try:
        if not _accepts(kind, start):
            return None
        stream.seek(0)
        return Image.OPEN[kind][0](stream, name)
    except (SyntaxError, IndexError, TypeError, struct.error):
        return None


def _accepts(kind: str, start: bytes) -> bool:
    """Return True if Pillow has a decoder that can try a file with these first bytes."""
    if kind not in Image.OPEN:
        return False
    accept = Image.OPEN[kind][1]
    # A string says that Pillow was built without the library that this format needs.
    return accept is None or accept(start) is True


def _unknown(start: bytes, name: str) -> str:
    brand = brand_of(start)
    if brand == "HEIF" and not _accepts(brand, start):
        return f"{in_message(name)} is HEIC or HEIF, which needs one more package: pip install 'lookwhere[heif]'."
    if brand == "AVIF" and not _accepts(brand, start):
        return f"{in_message(name)} is AVIF, which needs a newer Pillow: pip install -U pillow."
    return f"{in_message(name)} is not a picture of a known format, or its header is damaged."


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


@contextmanager
def _opened(file: EncodedPicture) -> Iterator[IO[bytes]]:
    """Open a picture file as a seekable stream at its start. An open file is read whole, and stays open."""
    if isinstance(file, StandardInput):
        yield BytesIO(file.content)
    elif isinstance(file, bytes):
        yield BytesIO(file)
    elif isinstance(file, str | os.PathLike):
        with Path(os.fsdecode(file)).open("rb") as stream:
            yield stream if stream.seekable() else BytesIO(stream.read())
    else:
        yield BytesIO(_content_of(file))


def _content_of(file: IO[bytes] | TextIOBase) -> bytes:
    if isinstance(file, TextIOBase):
        subject = in_message(picture_name(file))
        raise PictureError(f"{subject} is open as text; open it in binary mode: open(path, 'rb').")
    if file.seekable():  # as Pillow does: what was written into a BytesIO is read from its start
        file.seek(0)
    return file.read()


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """Turn the exceptions of the system and of Pillow's decoders into a PictureError that names the picture."""
    subject = in_message(name)
    try:
        yield
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError(f"{subject} is not there.") from error
    except IsADirectoryError as error:
        raise PictureError(f"{subject} is a folder, not a picture.") from error
    except PermissionError as error:
        raise PictureError(f"{subject} may not be read: permission denied.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{subject} holds more pixels than are read; raise --max-pixels if you trust it.") from error
    except MemoryError as error:
        raise PictureError(f"{subject} does not fit in memory.") from error
    except OSError as error:  # Pillow raises it for damaged data too, but without a number
        reason = f"can't be opened: {error.strerror}" if error.errno else f"is damaged or cut short: {error}"
        raise PictureError(f"{subject} {reason}.") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise PictureError(f"{subject} is damaged or cut short: {error}.") from error
