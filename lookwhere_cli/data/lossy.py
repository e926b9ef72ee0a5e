"""Formats that change pixel values when a mask is saved in them."""

from PIL import Image

_ALWAYS = {"JPEG": "JPEG", "MPO": "JPEG", "HEIF": "HEIC", "AVIF": "AVIF", "DDS": "DDS"}
_TIFF_COMPRESSIONS = {
    **dict.fromkeys(("jpeg", "tiff_jpeg"), "JPEG"),
    "webp": "WebP",
}
_IRREVERSIBLE = 0
_CODING_STYLE = b"\xff\x52"
_HEAD = 1 << 16


def lossy_format(picture: Image.Image) -> str | None:
    """Return the lossy compression that an opened picture file was saved with, such as "JPEG"; None if there is none.

    Call it before the pixels are decoded. An AVIF or HEIC is taken for lossy: nothing in it says that it is not.
    """
    kind = picture.format or ""
    if kind == "TIFF":
        return _TIFF_COMPRESSIONS.get(str(picture.info.get("compression")))
    if kind == "WEBP":
        return "lossy WebP" if _holds(picture, b"VP8 ") else None
    if kind == "JPEG2000":
        return "lossy JPEG 2000" if _is_irreversible(_head(picture)) else None
    return _ALWAYS.get(kind)


def _head(picture: Image.Image) -> bytes:
    stream = getattr(picture, "fp", None)
    if stream is None:
        return b""
    place = stream.tell()
    stream.seek(0)
    head: bytes = stream.read(_HEAD)
    stream.seek(place)
    return head


def _holds(picture: Image.Image, chunk: bytes) -> bool:
    """Return True if a WebP has such a chunk in its first 64 KiB, walking from chunk to chunk."""
    head, place = _head(picture), 12
    while place + 8 <= len(head):
        if head[place : place + 4] == chunk or (
            head[place : place + 4] == b"ANMF" and chunk in head[place : place + 64]
        ):
            return True
        size = int.from_bytes(head[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return False


def _is_irreversible(head: bytes) -> bool:
    """Return True if a JPEG 2000 codestream uses the wavelet that does not give back the values that were saved."""
    place = head.find(_CODING_STYLE)
    return 0 <= place <= len(head) - 14 and head[place + 13] == _IRREVERSIBLE
