"""Finding the decoder of a picture file by its content, among the formats that are read here."""

import struct
from importlib.util import find_spec
from typing import IO

from PIL import Image, ImageFile

from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import install_command
from lookwhere_cli.images import tiff
from lookwhere_cli.images.deep_tiff import DeepTiffFile, has_tifffile
from lookwhere_cli.images.formats import FORMATS, brand_of
from lookwhere_cli.images.jpeg import lacks_scans
from lookwhere_cli.images.kinds import START_BYTES, has_raw_start, named_like_raw, other_kind
from lookwhere_cli.images.names import in_message
from lookwhere_cli.images.notes import add_note
from lookwhere_cli.images.pfm import ColourPfmFile, is_colour_pfm
from lookwhere_cli.images.png import note_gamma, open_leniently
from lookwhere_cli.images.quiet import silence_pillow
from lookwhere_cli.images.raw import has_rawpy, open_raw

_NOT_THIS_FORMAT = (SyntaxError, IndexError, TypeError, struct.error)
_DAMAGED_EXTRAS = (SyntaxError, ValueError, EOFError)

silence_pillow()


def identify(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Open a picture by its content, as PIL.Image.open does. Raises PictureError with a sentence that names it."""
    start = stream.read(START_BYTES)
    if not start:
        raise PictureError(f"{in_message(name)} is empty (0 bytes).")
    if _is_raw(stream, start, name):
        return _raw_preview(stream, name)
    if tiff.is_tiff(start):
        return _tiff(stream, name)
    if is_colour_pfm(start):
        return _colour_pfm(stream, name)
    picture = _by_pillow(stream, start, name)
    if picture is None:
        raise PictureError(_unknown(start, name))
    if picture.format == "PNG":
        note_gamma(picture)
    if picture.format == "JPEG" and picture.info.get("progressive") and lacks_scans(stream):
        add_note(picture, "the last scans of the progressive JPEG are missing")
    return picture


def _is_raw(stream: IO[bytes], start: bytes, name: str) -> bool:
    if has_raw_start(start):
        return True
    return tiff.is_tiff(start) and (named_like_raw(name) or tiff.is_camera_raw(stream))


def _raw_preview(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    if not has_rawpy():
        raise PictureError(
            f"{in_message(name)} is a camera RAW file; give the JPEG that the camera saved with it, or install what "
            f"reads its preview: {install_command('raw')}."
        )
    try:
        return open_raw(stream, name)
    except _NOT_THIS_FORMAT as error:
        raise PictureError(
            f"{in_message(name)} is a camera RAW file that rawpy can't read ({error}); give the JPEG that the camera "
            "saved with it."
        ) from error


def _tiff(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    picture = _try("TIFF", stream, name)
    if picture is not None:
        tiff.seek_picture(picture)
    if picture is not None and not tiff.is_misread(picture):
        return picture
    if not has_tifffile():
        raise PictureError(_unread_tiff(stream, name))
    stream.seek(0)
    try:
        return DeepTiffFile(stream, name)
    except _NOT_THIS_FORMAT as error:
        raise PictureError(_unread_tiff(stream, name)) from error


def _unread_tiff(stream: IO[bytes], name: str) -> str:
    kind = tiff.description(tiff.read_tags(stream))
    if not kind:
        return _damaged(name)
    if has_tifffile():
        return f"{in_message(name)} is a TIFF of a kind that is not read ({kind}); convert it to a PNG."
    return f"{in_message(name)} is a TIFF ({kind}) that needs one more package: {install_command('tiff')}."


def _colour_pfm(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    stream.seek(0)
    try:
        return ColourPfmFile(stream, name)
    except _NOT_THIS_FORMAT as error:
        raise PictureError(_damaged(name)) from error


def _by_pillow(stream: IO[bytes], start: bytes, name: str) -> ImageFile.ImageFile | None:
    if brand_of(start) == "HEIF":
        _register_heif()
    for register in (Image.preinit, Image.init):
        register()
        for decoder in FORMATS:
            if _accepts(decoder, start) and (picture := _try(decoder, stream, name)) is not None:
                return picture
    return None


def _try(format_name: str, stream: IO[bytes], name: str) -> ImageFile.ImageFile | None:
    if format_name not in Image.OPEN:
        Image.init()
    stream.seek(0)
    if format_name == "PNG":
        return _png(stream, name)
    try:
        return Image.OPEN[format_name][0](stream, name)
    except _NOT_THIS_FORMAT:
        return None


def _png(stream: IO[bytes], name: str) -> ImageFile.ImageFile | None:
    try:
        return Image.OPEN["PNG"][0](stream, name)
    except _DAMAGED_EXTRAS:
        pass
    try:
        return open_leniently(stream, name)
    except _NOT_THIS_FORMAT:
        return None


def _accepts(kind: str, start: bytes) -> bool:
    """Return True if Pillow has a decoder that can try a file with these first bytes."""
    if kind not in Image.OPEN:
        return False
    accept = Image.OPEN[kind][1]
    try:  # A string says that Pillow was built without the library that this format needs.
        return accept is None or accept(start[:16]) is True
    except _NOT_THIS_FORMAT:  # fewer bytes than a signature has
        return False


def _unknown(start: bytes, name: str) -> str:
    brand = brand_of(start)
    if brand == "HEIF" and find_spec("pillow_heif") is None:
        return f"{in_message(name)} is HEIC or HEIF, which needs one more package: {install_command('heif')}."
    if brand == "AVIF" and not _accepts(brand, start):
        return f"{in_message(name)} is AVIF, which needs a newer Pillow: pip install -U pillow."
    kind = other_kind(start)
    if brand is None and kind is not None:
        return f"{in_message(name)} {kind}."
    return _damaged(name)


def _damaged(name: str) -> str:
    return f"{in_message(name)} is not a picture of a known format, or its header is damaged."


def _register_heif() -> None:
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()
