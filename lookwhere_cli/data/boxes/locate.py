"""Where the pictures are that a file of boxes names: annotation tools write paths of other machines."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import unquote

from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.formats import named_like_picture

SPLIT_NAMES: dict[str, Literal["train", "val", "test"]] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folders, and parts of file names, that name a split."""
_UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of uploaded files."""


def split_named(name: str) -> Literal["train", "val", "test"] | None:
    """Return the split that a name has as one of its words: "instances_train2017.json", "valid"."""
    words = re.findall(r"[a-z]+", name.casefold())
    return next((SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES), None)


class PictureFinder:
    """Finds pictures by the names that a file gives them.

    A name is tried below each of the folders, in order: as it is, with \\ for /, with %20 and the like decoded, without
    its first folders one after the other, and without Label Studio's prefix. At last a single file of the same name
    anywhere below the first folder is taken.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """folders: at least one."""
        self._folders = folders

    def find(self, name: str) -> str | None:
        """Return the path of a picture; None if there is none. Raises DataError if several have the name."""
        for spelling in _spellings(name):
            for folder in self._folders:
                path = os.path.join(folder, spelling)  # noqa: PTH118 - the name may hold any bytes
                if os.path.isfile(path):  # noqa: PTH113
                    return path
        matches = self._by_name.get(PurePosixPath(name.replace("\\", "/")).name, [])
        if len(matches) > 1:
            raise DataError(f"{name!r} could be each of {list_names(matches)}; name its folder.")
        return matches[0] if matches else None

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for folder, _, names in os.walk(self._folders[0]):
            for name in filter(named_like_picture, names):
                found.setdefault(name, []).append(os.path.join(folder, name))  # noqa: PTH118
        return found


def _spellings(name: str) -> Iterator[str]:
    yield name
    plain = name.replace("\\", "/").partition("?d=")[2] or name.replace("\\", "/")
    for text in dict.fromkeys((plain, unquote(plain))):
        parts = [part for part in PurePosixPath(text).parts if part not in ("/", "..")]
        for start in range(len(parts)):
            yield "/".join(parts[start:])
        if parts and _UPLOAD.match(parts[-1]):
            yield _UPLOAD.sub("", parts[-1])


def locate(names: Iterable[str], folders: Sequence[Path], source: Path) -> dict[str, str]:
    """Return the path of each picture that `source` names; one that is not there gets a path below the first folder.

    Raises DataError if none is there, and if two names lead to one picture.
    """
    finder, paths, owners = PictureFinder(folders), dict[str, str](), dict[str, str]()
    missing = []
    for name in dict.fromkeys(names):
        path = finder.find(name)
        if path is None:
            missing.append(name)
            path = os.path.join(folders[0], name)  # noqa: PTH118
        owner = owners.setdefault(os.path.realpath(path), name)
        if owner != name:
            raise DataError(f"{str(source)!r} names the picture {path!r} twice, as {owner!r} and as {name!r}.")
        paths[name] = path
    if paths and len(missing) == len(paths):
        places = " or ".join(repr(str(folder)) for folder in dict.fromkeys(folders))
        raise DataError(
            f"No picture of {str(source)!r} is there: {missing[0]!r}, the first of {len(paths):,}, is not below "
            f"{places}; put the pictures there, or the file beside them."
        )
    return paths
