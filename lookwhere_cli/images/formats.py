"""Which files are pictures: by their file name extension, or by their first bytes."""

import re

from lookwhere_cli.images.large.names import RASTER_EXTENSIONS, SIDE_FILES, SLIDE_EXTENSIONS

# Pillow's names, most frequent first; TGA last, since it has no signature. Left out: formats that are programs rather
# than data (EPS, WMF), and formats that Pillow identifies but can't decode.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF", "JPEG2000", "PPM", "QOI", "DDS", "PSD", "ICO"),
    *("ICNS", "PCX", "SGI", "DIB", "TGA"),
)
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"),
    *(".heic", ".heics", ".heif", ".hif", ".avif", ".avifs", ".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pbm"),
    *(".pnm", ".pfm", ".qoi", ".dds", ".psd", ".ico", ".icns", ".pcx", ".sgi", ".tga"),
    *SLIDE_EXTENSIONS,
    *RASTER_EXTENSIONS,
)
_SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|II\*\0|MM\0\*|II\+\0|MM\0\+"
    rb"|BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"
    rb"|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51|qoif|DDS \x7c|8BPS\0\x01|icns\0"
    rb"|P[1-6f][ \t\r\n]+(?:#|\d+[ \t\r\n]+\d+[ \t\r\n])",
    re.DOTALL,
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIF"
)


def brand_of(start: bytes) -> str | None:
    """Return "HEIF" (which includes HEIC) or "AVIF" if a file that starts with these 12 bytes is one, else None."""
    return _BRANDS.get(start[8:12]) if start[4:8] == b"ftyp" else None


def is_picture_bytes(first_bytes: bytes) -> bool:
    """Return True if a file that starts with these bytes, 32 or more, is of a known picture format.

    Formats without a signature (TGA) or with a weak one (ICO, PCX, SGI) are not recognised.
    """
    return _SIGNATURE.match(first_bytes) is not None or brand_of(first_bytes) is not None


def looks_like_picture(path: str) -> bool:
    """Return True if a file has a picture's file name extension or, failing that, a picture's first bytes.

    A file without such an extension that can't be opened is not a picture.
    """
    if named_like_picture(path):
        return True
    if path.lower().endswith(SIDE_FILES):
        return False
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - five times as fast, for each file of a folder
            start = file.read(32)
    except OSError:
        return False
    return is_picture_bytes(start)


def named_like_picture(path: str) -> bool:
    """Return True if a name has a picture's file name extension, in upper or lower case."""
    return path.lower().endswith(EXTENSIONS)
