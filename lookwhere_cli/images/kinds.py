"""Files that are not read, named for what they are: camera RAW, JPEG XL, DICOM, documents, films."""

import re

from lookwhere_cli.images.films.names import FILM_START

RAW_EXTENSIONS = (
    *(".nef", ".nrw", ".dng", ".arw", ".srf", ".sr2", ".cr2", ".cr3", ".crw", ".raf", ".orf", ".rw2", ".rwl", ".pef"),
    *(".srw", ".3fr", ".fff", ".iiq", ".mef", ".mos", ".mrw", ".x3f", ".erf", ".kdc", ".dcr", ".gpr"),
)
START_BYTES = 200
"""Bytes at the start of a file that `other_kind` wants to see."""
CAMERA_RAW = "camera RAW"
_RAW_START = re.compile(
    rb"(?:II\*\0|MM\0\*).{4}CR|....ftypcrx |FUJIFILMCCD-RAW|II(?:RO|RS|U\0)|MMOR|FOVb|\0MRM|II\x1a\0\0\0HEAPCCDR",
    re.DOTALL,
)


_CONVERT = "convert it to PNG or JPEG"
_ARRAY = "save it as PNG, or give the array in Python"
_FILM = (
    "is a film; classify, detect, segment, features and explain read the frames of files that are named like films "
    "(.mp4), outside of jobs; in Python, give lookwhere_cli.frames(FILM)"
)
_KINDS = (
    (rb"\xff\x0a|\0\0\0\x0cJXL ", f"is JPEG XL, which is not read; {_CONVERT}"),
    (rb".{128}DICM", f"is DICOM, which is not read; {_ARRAY}, scaled to the window of values that matters"),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself; run git lfs pull"),
    (rb"%PDF-", "is a PDF document; save its pages as pictures"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", f"is PostScript, which is never run; {_CONVERT}"),
    (rb"(?i)\s*(?:<\?xml.{0,120})?(?:<!DOCTYPE )?<?svg\b", "is SVG, a drawing; render it as PNG"),
    (rb"(?i)\s*<(?:!DOCTYPE html|html)", "is a web page, not a picture; download the picture again"),
    (FILM_START, _FILM),
    (rb"\x76\x2f\x31\x01", f"is OpenEXR, which is not read; {_CONVERT}"),
    (rb"#\?(?:RADIANCE|RGBE)", f"is Radiance HDR, which is not read; {_CONVERT}"),
    (rb"II\xbc[\0\x01]", f"is JPEG XR, which is not read; {_CONVERT}"),
    (rb"gimp xcf", "is a GIMP project; export it as PNG"),
    (rb"SIMPLE  =", f"is FITS, which is not read; {_ARRAY}"),
    (rb"\x93NUMPY", "is a NumPy file; give the array in Python"),
    (rb"\x89HDF\r\n", f"is HDF5, which is not read; {_ARRAY}"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "is an archive; unpack it"),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), sentence) for pattern, sentence in _KINDS)
_PASSED_OVER = {".jxl": "JPEG XL", ".dcm": "DICOM"} | dict.fromkeys(RAW_EXTENSIONS, CAMERA_RAW)


def named_like_raw(path: str) -> bool:
    """Return True if a name ends like that of a camera's RAW file, in upper or lower case."""
    return path.lower().endswith(RAW_EXTENSIONS)


def has_raw_start(start: bytes) -> bool:
    """Return True if a file that starts with these bytes, 32 or more, is a RAW file with a signature of its own."""
    return _RAW_START.match(start) is not None


def other_kind(start: bytes) -> str | None:
    """Return what a file is that starts with these bytes, `START_BYTES` or more, as the end of a sentence, if known."""
    return next((sentence for pattern, sentence in _PATTERNS if pattern.match(start)), None)


def passed_over_kind(path: str) -> str | None:
    """Return what a file in a folder is, by its name, if it holds a picture that is not read from folders."""
    dot = path.rfind(".")
    return _PASSED_OVER.get(path[dot:].lower()) if dot >= 0 else None
