"""Which files are films: by their file name extension, or by their first bytes. Imports no PyAV."""

import re

from lookwhere_cli.extras import install_command, is_installed
from lookwhere_cli.images.formats import is_picture_bytes, named_like_picture
from lookwhere_cli.images.names import StandardInput, in_message

EXTRA = "video"
EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mpe", ".m2v", ".vob", ".ts", ".mts"),
    *(".m2ts", ".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".dv", ".divx", ".y4m"),
)
_SHARED = (".ts", ".mts")
"""Extensions that files of text have, too (TypeScript, translations of Qt)."""
FILM_START = (
    rb"....ftyp(?!crx )|....(?:moov|mdat|wide|skip)|RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xb3\xba]|FLV\x01|OggS"
    rb"|\x30\x26\xb2\x75\x8e\x66\xcf\x11|YUV4MPEG2|\x47.{187}\x47|.{4}\x47.{191}\x47"
)
"""A pattern of the first bytes of films."""
START_BYTES = 200
_START = re.compile(FILM_START, re.DOTALL)


def named_like_film(path: str) -> bool:
    """Return True if a name has a film's file name extension, in upper or lower case."""
    return path.lower().endswith(EXTENSIONS)


def is_film(path: object) -> bool:
    """Return True for the path of a film: by its extension or, without one of pictures, by its first bytes."""
    if not isinstance(path, str) or isinstance(path, StandardInput):
        return False
    if path.lower().endswith(_SHARED):
        return _starts_like_film(path)
    return named_like_film(path) or (not named_like_picture(path) and _starts_like_film(path))


def is_film_in_folder(path: str) -> bool:
    """Return True for a file that counts as a film in a folder: by its extension; `.ts` also by its first bytes."""
    return named_like_film(path) and (not path.lower().endswith(_SHARED) or _starts_like_film(path))


def can_read_films() -> bool:
    """Return True if the extra that reads films is installed."""
    return is_installed(EXTRA)


def missing_extra(path: str) -> str:
    """Return the sentence for a film without the extra."""
    return f"{in_message(path)} is a film, whose frames need one more package: {install_command(EXTRA)}."


def _starts_like_film(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the path may hold any bytes
            start = file.read(START_BYTES)
    except (OSError, ValueError):
        return False
    return _START.match(start) is not None and not is_picture_bytes(start)
