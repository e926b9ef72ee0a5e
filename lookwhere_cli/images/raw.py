"""The preview that a camera stores in its RAW files, by means of rawpy (an extra)."""

from importlib.util import find_spec
from io import BytesIO
from typing import IO, Any

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin

from lookwhere_cli.images.notes import add_note

_ORIENTATION = 274
_ORIENTATION_OF_FLIP = {0: 1, 3: 3, 5: 8, 6: 6}
_FULL_SIZE = 0.5
"""A preview with less than this share of the RAW picture's side is a thumbnail."""


def has_rawpy() -> bool:
    """Return True if rawpy is installed."""
    return find_spec("rawpy") is not None


def open_raw(stream: IO[bytes], name: str) -> ImageFile.ImageFile:
    """Open the largest preview in a RAW file or, if that is only a thumbnail, develop the picture; a note says which.

    Raises SyntaxError if rawpy can't read the file.
    """
    import rawpy  # deferred: few pictures need it

    stream.seek(0)
    try:
        with rawpy.imread(stream) as raw:
            width, height = raw.sizes.width, raw.sizes.height
            orientation = _ORIENTATION_OF_FLIP.get(raw.sizes.flip, 1)
            preview = _preview(rawpy, raw, name)
            if preview is not None and max(preview.size) >= _FULL_SIZE * max(width, height):
                return _turned(preview, orientation)
            return _developed(raw, name)
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else "unknown error"
        raise SyntaxError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def _preview(rawpy: Any, raw: Any, name: str) -> ImageFile.ImageFile | None:
    try:
        thumb = raw.extract_thumb()
    except rawpy.LibRawError:
        return None
    if thumb.format == rawpy.ThumbFormat.JPEG:
        return JpegImagePlugin.JpegImageFile(BytesIO(thumb.data), name)
    return _as_file(Image.fromarray(thumb.data), name)


def _turned(preview: ImageFile.ImageFile, orientation: int) -> ImageFile.ImageFile:
    """Turn a preview that does not say itself how it is turned."""
    if preview.getexif().get(_ORIENTATION, 1) == 1:
        preview.getexif()[_ORIENTATION] = orientation
    add_note(preview, "preview of a camera RAW file")
    return preview


def _developed(raw: Any, name: str) -> ImageFile.ImageFile:
    picture = _as_file(Image.fromarray(raw.postprocess(use_camera_wb=True)), name)
    add_note(picture, "camera RAW, developed")
    return picture


def _as_file(picture: Image.Image, name: str) -> ImageFile.ImageFile:
    """Return a picture in memory as an image file of Pillow."""
    stream = BytesIO()
    picture.save(stream, "BMP")
    stream.seek(0)
    return BmpImagePlugin.BmpImageFile(stream, name)
