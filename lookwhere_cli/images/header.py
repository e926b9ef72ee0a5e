"""Opening of picture files, and what their headers say."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO, TextIOBase
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from lookwhere_cli.encodings import POINTER_START, pointer_sentence
from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import install_command
from lookwhere_cli.images.formats import FORMATS, brand_of
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.images.names import EncodedPicture, StandardInput, in_message, picture_name
from lookwhere_cli.images.orientation import TURNS, Turn

_ORIENTATION = 274  # the EXIF tag
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"eXIf", b"iTXt", b"tEXt", b"zTXt")


@contextmanager
def opened_picture(file: EncodedPicture, name: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file and read its header. Exceptions in the block become a PictureError that names the picture.

    Raises PictureError if the file can't be read, or if the picture has more than `max_pixels`.
    """
    with failures(name), pillow_limit(max_pixels), _stream(file) as stream:
        picture = _identify(stream, name)
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
    png.seek(len(_PNG_SIGNATURE))
    while len(start := png.read(8)) == 8:
        length, chunk = struct.unpack(">I4s", start)
        if pixels and chunk in _PNG_TEXTS:
            break
        pixels |= chunk == b"IDAT"
        png.seek(length + 4, os.SEEK_CUR)
    png.seek(position)
    return len(start) == 8


def frame_notes(picture: Image.Image) -> tuple[str, ...]:
    """Note that only the first of several frames is read. (A camera's MPO and a PSD's layers hold no further pages.)"""
    if picture.format not in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        return ()
    try:
        count = getattr(picture, "n_frames", 1)
    except (EOFError, SyntaxError, OSError, ValueError):
        return ()
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
    if file.seekable():  # as Pillow does: what was written into a BytesIO is read from its start
        file.seek(0)
    return file.read()


def _identify(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Find the decoder by content, as PIL.Image.open does, but among the formats that are read here only."""
    start = stream.read(32)
    if not start:
        raise PictureError(f"{in_message(name)} is empty (0 bytes).")
    if start.startswith(POINTER_START):
        raise PictureError(pointer_sentence(in_message(name)))
    if brand_of(start) == "HEIF":
        _register_heif()
    for register in (Image.preinit, Image.init):
        register()
        for decoder in FORMATS:
            if (picture := _try(decoder, stream, start[:16], name)) is not None:
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
        return f"{in_message(name)} is HEIC or HEIF, which needs one more package: {install_command('heif')}."
    if brand == "AVIF" and not _accepts(brand, start):
        return f"{in_message(name)} is AVIF, which needs a newer Pillow: pip install -U pillow."
    return f"{in_message(name)} is not a picture of a known format, or its header is damaged."


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()
