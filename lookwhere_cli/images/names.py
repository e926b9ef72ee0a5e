"""Pictures as files, and the names of pictures in rows and messages."""

import os
from collections.abc import Sequence
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


def name_below(picture: str, inputs: Sequence[str]) -> str:
    """Return a picture's path for what people share: as given or, of an absolute path, the part below its input folder.

    inputs: files and folders as the user named them. A file that was named by an absolute path has its name only.
    """
    if not os.path.isabs(picture):  # noqa: PTH117
        return picture
    folders = (os.path.join(path, "") for path in inputs if os.path.isdir(path))  # noqa: PTH112, PTH118 - as typed
    below = (picture.removeprefix(folder) for folder in folders if picture.startswith(folder))
    return next(below, os.path.basename(picture))  # noqa: PTH119


def in_message(name: str) -> str:
    """Return the subject of a sentence about a picture: its name, quoted."""
    return repr(name) if name else "The picture"
