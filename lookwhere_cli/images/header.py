"""Opening of picture files, what their headers say, and the errors that come of them."""

import errno
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.exif import is_damaged
from lookwhere_cli.images.identify import identify
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.images.names import EncodedPicture, StandardInput, in_message, picture_name
from lookwhere_cli.images.notes import add_note, notes_of
from lookwhere_cli.images.orientation import TURNS, Turn
from lookwhere_cli.images.png import SIGNATURE
from lookwhere_cli.machine import temporary_folder

_ORIENTATION = 274  # the EXIF tag
_WEB = ("http://", "https://", "s3://", "gs://")
_PNG_TEXTS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")


@contextmanager
def opened_picture(file: EncodedPicture, name: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file and read its header. Exceptions in the block become a PictureError that names the picture.

    Raises PictureError if the file can't be read, or if the picture has more than `max_pixels`.
    """
    with failures(name), pillow_limit(max_pixels), _stream(file) as stream:
        picture = identify(stream, name)
        check_pixels(picture, name, max_pixels)
        yield picture


@contextmanager
def failures(name: str) -> Iterator[None]:
    """Turn the exceptions of the system and of Pillow's decoders into a PictureError that names the picture."""
    subject = in_message(name)
    try:
        yield
    except PictureError:
        raise
    except OSError as error:
        raise PictureError(f"{subject} {_address(error, name) or _reason(error)}.") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"{subject} holds more pixels than are read; raise --max-pixels if you trust it.") from error
    except MemoryError as error:
        raise PictureError(f"{subject} does not fit in memory.") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise PictureError(f"{subject} is damaged or cut short: {error}.") from error


def _address(error: OSError, name: str) -> str | None:
    """Say so if what is not there was never a file."""
    if isinstance(error, FileNotFoundError) and name.startswith(_WEB):
        return "is an address on the web, not a file; download it first"
    return None


def _reason(error: OSError) -> str:
    """Say why a picture can't be read, as the end of a sentence. (Pillow raises one without a number for damage.)"""
    if error.errno == errno.ENOSPC or "usable temporary directory" in str(error.strerror or error):
        return f"needs a temporary file, and {temporary_folder()!r} is full; set TMPDIR to a folder with room"
    if isinstance(error, FileNotFoundError):
        return "is not there"
    if isinstance(error, IsADirectoryError):
        return "is a folder, not a picture"
    if isinstance(error, PermissionError):
        return "may not be read: permission denied"
    return f"can't be opened: {error.strerror}" if error.errno else f"is damaged or cut short: {error}"


def check_pixels(picture: Image.Image, name: str, max_pixels: int) -> None:
    """Raise PictureError if a picture has more than `max_pixels`."""
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(
            f"{in_message(name)} is {width} x {height} = {width * height:,} pixels, more than the {max_pixels:,} "
            "that are read; raise --max-pixels if you trust the file."
        )


def turn_of(picture: Image.Image) -> Turn:
    """Return the turn that displays a picture as its EXIF orientation says; none if that is missing or damaged."""
    if picture.format == "TIFF":  # Pillow turns these itself
        return TURNS[1]
    try:
        return TURNS.get(_exif(picture).get(_ORIENTATION, 1), TURNS[1])
    except (SyntaxError, ValueError, TypeError, struct.error, KeyError):
        return TURNS[1]


def _exif(picture: Image.Image) -> Image.Exif:
    # Pillow decodes every PNG without EXIF before its pixels, in search of some after them.
    if picture.format == "PNG" and not _text_follows_pixels(getattr(picture, "fp", None)):
        return Image.Image.getexif(picture)
    return picture.getexif()


def _text_follows_pixels(png: IO[bytes] | None) -> bool:
    """Return True if an open PNG has chunks after its pixels that may hold an orientation."""
    if png is None:
        return False
    position, pixels = png.tell(), False
    png.seek(len(SIGNATURE))
    while len(start := png.read(8)) == 8:
        length, chunk = struct.unpack(">I4s", start)
        if pixels and chunk in _PNG_TEXTS:
            break
        pixels |= chunk == b"IDAT"
        png.seek(length + 4, os.SEEK_CUR)
    png.seek(position)
    return len(start) == 8


def header_notes(picture: Image.Image) -> tuple[str, ...]:
    """Return what a row should say about a picture that was opened: its page or frame, and what is damaged."""
    exif = picture.info.get("exif")
    if isinstance(exif, bytes) and is_damaged(exif):
        add_note(picture, "damaged EXIF data ignored")
    return _frame_notes(picture) + notes_of(picture)


def _frame_notes(picture: Image.Image) -> tuple[str, ...]:
    """Note that only one of several frames is read. (A camera's MPO and a PSD's layers hold no further pages.)"""
    if picture.format not in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        return ()
    try:
        count, frame = getattr(picture, "n_frames", 1), picture.tell()
    except (EOFError, SyntaxError, OSError, ValueError):
        return ()
    if frame:
        return (f"page {frame + 1} of {count}: those before it are thumbnails",)
    return (f"first of {count} frames",) if count > 1 else ()


@contextmanager
def _stream(file: EncodedPicture) -> Iterator[IO[bytes]]:
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
    if getattr(file, "closed", False):
        raise PictureError(f"{in_message(picture_name(file))} is an open file that was closed; open it again.")
    if hasattr(file, "seekable") and file.seekable():  # as Pillow does: read from its start
        file.seek(0)
    content: object = file.read()
    if not isinstance(content, bytes | bytearray | memoryview):
        raise PictureError(
            f"{in_message(picture_name(file))} can't be read: its read() returned {type(content).__name__}, not bytes."
        )
    return bytes(content)
