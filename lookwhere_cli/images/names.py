"""The forms that an encoded picture comes in, and the names of pictures in rows and messages."""

import os
from typing import IO, Self, TypeAlias


class StandardInput(str):
    """The picture that standard input held: its path is "-", and `content` is its bytes.

    Being a string, it takes a path's place everywhere, in lists of pictures, as a key and in messages. Files made of it
    are called `stem`.
    """

    content: bytes
    stem = "stdin"

    def __new__(cls, content: bytes) -> Self:
        """Keep the bytes with the path "-"."""
        path = super().__new__(cls, "-")
        path.content = content
        return path

    def __getnewargs__(self) -> tuple[bytes]:  # type: ignore[override] # a pickled copy is made of the bytes
        return (self.content,)


EncodedPicture: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]
"""A picture file: its path, its content, or the file itself, open in binary mode."""


def picture_name(picture: object) -> str:
    """Return the path of a picture, of an open file, or of the file that a PIL image came from; "" if it has none."""
    if isinstance(picture, str | os.PathLike):
        return str(os.fsdecode(picture))
    names = (getattr(picture, attribute, None) for attribute in ("path", "filename", "name"))
    return next((os.fsdecode(name) for name in names if isinstance(name, str | bytes | os.PathLike)), "")


def in_message(name: str) -> str:
    """Return the subject of a sentence about a picture: its name, quoted."""
    return repr(name) if name else "The picture"
