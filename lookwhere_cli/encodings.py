"""Text files as people save them, UTF-8 or UTF-16, with a byte-order mark or without; as this package writes them; and
files that hold no content.

Names keep one form: Unicode's composed one (NFC), so that the same name from a Mac and from elsewhere is one class.
"""

import codecs
import unicodedata
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MARK = "\ufeff"
_POINTER = b"version https://git-lfs.github.com/spec/"


def decode_text(content: bytes) -> str:
    """Return a text file's content without byte-order marks, also those inside, where marked files were joined.

    The encoding is the one of the mark; without one UTF-8, or UTF-16 if every second byte of the beginning is zero.
    Raises UnicodeDecodeError for anything else.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", ""))
    text = content[len(mark) :].decode(encoding or _guessed(content))
    return text.replace(MARK, "")


def encode_text(text: str) -> bytes:
    r"""Return text in UTF-8. Bytes of a path that are no text (lone surrogates) become `\udcff`, as in JSON."""
    return text.encode("utf-8", "backslashreplace")


def is_wide(content: bytes) -> bool:
    """Return True for lines in UTF-16 or UTF-32: they begin with its byte-order mark, or end as UTF-16 does."""
    if any(content.startswith(mark) for mark, _ in _MARKS[1:]):
        return True
    guessed = _guessed(content)
    return guessed != "utf-8" and "\n".encode(guessed) in content


def is_pointer(content: bytes) -> bool:
    """Return True for the small text that Git LFS leaves in place of a file which it has not fetched."""
    return content.startswith(_POINTER)


def starts_as_pointer(file: Path) -> bool:
    """Return True if a file is such a pointer; False also if it can't be read."""
    try:
        with file.open("rb") as stream:
            return is_pointer(stream.read(len(_POINTER)))
    except OSError:
        return False


def pointer_sentence(name: str) -> str:
    """Return the sentence about such a file; `name` is quoted already."""
    return f"{name} is a Git LFS pointer, not the file itself; run git lfs pull."


def composed(name: str) -> str:
    """Return a name in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name)


def _guessed(content: bytes) -> str:
    start = content[:200]
    if len(start) > 3 and len(content) % 2 == 0:
        if not any(start[::2]) and any(start[1::2]):
            return "utf-16-be"
        if not any(start[1::2]) and any(start[::2]):
            return "utf-16-le"
    return "utf-8"
