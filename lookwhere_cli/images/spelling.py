"""The file that a name from a list stands for, where the name is not spelled as the disk spells it."""

import os
import unicodedata
from collections.abc import Iterator
from typing import Literal

_FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")


def spelled_on_disk(path: str) -> str | None:
    r"""Return the path of the existing file or folder that `path` names; None if there is none.

    Tried in this order: the path itself; each part of it in another Unicode form (é as one letter or as two); with
    slashes for backslashes, as lists from Windows have them.
    """
    return next((one for one in _spellings(path) if one is not None), None)


def _spellings(path: str) -> Iterator[str | None]:
    if os.path.lexists(path):
        yield path
        return
    variants = [path] if "\\" not in path else [path, path.replace("\\", "/")]
    for variant in variants:
        if os.path.lexists(variant):
            yield variant
        yield from (other for form in _FORMS if os.path.lexists(other := unicodedata.normalize(form, variant)))
        yield _by_parts(variant)


def _by_parts(path: str) -> str | None:
    """Find the path part by part, each in any Unicode form: a folder may have another form than its files."""
    if path.isascii():
        return None
    found, rest = ("/", path.lstrip("/")) if path.startswith("/") else ("", path)
    for part in filter(None, rest.split("/")):
        candidate = os.path.join(found, part)  # noqa: PTH118 - a path may hold any bytes
        if not os.path.lexists(candidate):
            same = _same_name(found or ".", part)
            if same is None:
                return None
            candidate = os.path.join(found, same)  # noqa: PTH118
        found = candidate
    return found


def _same_name(folder: str, name: str) -> str | None:
    """Return the entry of the folder whose name is the same but for its Unicode form."""
    wanted = unicodedata.normalize("NFC", name)
    try:
        names = os.listdir(folder)  # noqa: PTH208 - names only
    except OSError:
        return None
    return next((one for one in names if unicodedata.normalize("NFC", one) == wanted), None)
