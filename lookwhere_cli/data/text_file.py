"""The text files of a labelled set."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.encodings import decode_text, is_pointer, pointer_sentence
from lookwhere_cli.errors import DataError, UsageError


def read_text_file(file: Path, what: str) -> str:
    """Return a text file's content, in UTF-8 or UTF-16, without byte-order marks.

    what: the file in a sentence, as in "The class list 'classes.txt'". Raises UsageError if it can't be read, DataError
    if it is not such text, or only a pointer of Git LFS.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{what} can't be read: {error.strerror}.") from error
    if is_pointer(content):
        raise DataError(pointer_sentence(what))
    try:
        text = decode_text(content)
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not text in UTF-8; save it as UTF-8.") from error
    if "\0" in text:
        raise DataError(f"{what} holds zero bytes, so it is not text; save it as UTF-8.")
    return text
