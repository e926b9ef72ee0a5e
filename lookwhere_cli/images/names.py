"""Pictures as files, and the names of pictures in rows and messages."""

import os
from typing import IO, Self, TypeAlias


class StandardInput(str):
    """The path "-" of the picture that was read from standard input, with its bytes in `content`.

    It is a string, so that it can take the place of a path in lists, dictionaries and messages. Output files for it are
    called `stem`.
    """

    content: bytes
    stem = "stdin"

    def __new__(cls, content: bytes) -> Self:
        """Make the path "-" of a picture with this content."""
        path = super().__new__(cls, "-")
        path.content = content
        return path

    def __getnewargs__(self) -> tuple[bytes]:  # type: ignore[override] # a pickled copy is made of the bytes
        return (self.content,)


EncodedPicture: TypeAlias = str | os.PathLike[str] | bytes | IO[bytes]
"""A picture file: its path, its content, or the file open in binary mode."""


def picture_name(picture: object) -> str:
    """Return the path of a picture, of an open file, or of a PIL image's file; "" if there is none."""
    if isinstance(picture, str | os.PathLike):
        return str(os.fsdecode(picture))
    names = (getattr(picture, attribute, None) for attribute in ("path", "filename", "name"))
    return next((os.fsdecode(name) for name in names if isinstance(name, str | bytes | os.PathLike)), "")


def in_message(name: str) -> str:
    """Return the subject of a sentence about a picture: its name, quoted."""
    return repr(name) if name else "The picture"
