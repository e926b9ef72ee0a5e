"""Where each picture's files go: in the sub-folders that the pictures lie in, under the pictures' names."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lookwhere_cli.errors import UsageError


class Place(NamedTuple):
    """Of one picture.

    relative: its path below the folder that it was found in, with its ending.
    stem: the path of its files in the output folder, to which each adds an ending.
    """

    relative: str
    stem: Path

    def file(self, ending: str) -> Path:
        """The path of the picture's file with that ending, such as ".png"."""
        return self.stem.with_name(self.stem.name + ending)


def places(pictures: Sequence[str], inputs: Sequence[str], out: Path) -> dict[str, Place]:
    """Where the files of each picture go; the pictures, as `find_pictures` gives them, are the keys, in their order.

    Sub-folders are those below the folder that was named among `inputs`. Pictures that were named otherwise (one by
    one, by a pattern, in a list) are taken together, below the deepest folder that holds all of them. Two pictures of
    one folder and stem keep their endings. What lies in `out`, inside a folder that was named, was written there by an
    earlier run and is left out.

    Raises UsageError where `out` is a folder that was named, where nothing is left, or where two pictures from several
    folders would share a place.
    """
    _check_apart(inputs, out)
    relative = _relative(pictures, inputs, out)
    if not relative:
        raise UsageError(f"All pictures lie in --out {str(out)!r} itself; name the folder that they came from.")
    _check_distinct(relative)
    stems = Counter(_stem(path).casefold() for path in relative.values())
    return {
        picture: Place(path, out / (path if stems[_stem(path).casefold()] > 1 else _stem(path)))
        for picture, path in relative.items()
    }


def check_files(places: Mapping[str, Place], endings: Iterable[str]) -> None:
    """Refuse files that would replace a picture, or each other. Raises UsageError."""
    taken = {os.path.realpath(picture): picture for picture in places}
    for ending in endings:
        for picture, place in places.items():
            file = os.path.realpath(place.file(ending))
            if file in taken:
                raise UsageError(
                    f"{str(place.file(ending))!r}, for {picture!r}, would stand in the way of {taken[file]!r}; "
                    "choose another --out, or rename one of the pictures."
                )
            taken[file] = picture


def _relative(pictures: Sequence[str], inputs: Sequence[str], out: Path) -> dict[str, str]:
    folders = [os.path.join(given, "") for given in inputs if os.path.isdir(given)]  # noqa: PTH112, PTH118 - as typed
    written = os.path.join(os.path.abspath(out), "")  # noqa: PTH100, PTH118
    relative: dict[str, str | None] = {}
    for picture in pictures:
        folder = next((folder for folder in folders if picture.startswith(folder)), None)
        if folder is None:
            relative[picture] = None
        elif not os.path.abspath(picture).startswith(written):  # noqa: PTH100
            relative[picture] = picture[len(folder) :]
    others = {picture: os.path.abspath(picture) for picture, path in relative.items() if path is None}  # noqa: PTH100
    common = os.path.commonpath([os.path.dirname(path) for path in others.values()] or ["/"])  # noqa: PTH120
    return {
        picture: os.path.relpath(others[picture], common) if path is None else path
        for picture, path in relative.items()
    }


def _check_apart(inputs: Sequence[str], out: Path) -> None:
    for given in inputs:
        if os.path.isdir(given) and os.path.realpath(given) == os.path.realpath(out):  # noqa: PTH112
            raise UsageError(
                f"--out {str(out)!r} is the folder of the pictures themselves; choose another one, where what is "
                "written can't be taken for a picture."
            )


def _check_distinct(relative: Mapping[str, str]) -> None:
    first: dict[str, str] = {}
    for picture, path in relative.items():
        if first.setdefault(path, picture) != picture:
            raise UsageError(
                f"{first[path]!r} and {picture!r} would both be {path!r} in --out; "
                "name the folder above them instead, or give each its own --out."
            )


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 - a path of text, whatever bytes it stands for
