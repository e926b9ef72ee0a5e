"""The paths of each picture's files in an output folder that mirrors the folders of the pictures."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.rows import Row, frame_stem

STANDARD_INPUT, STANDARD_INPUT_NAME = "-", "stdin"
MAX_NAME = 255  # bytes


class OutputPath(NamedTuple):
    """Where the files of one picture go.

    relative: the picture's path below its input folder, with its ending.
    stem: the path of its files in the output folder, without an ending.
    """

    relative: str
    stem: Path

    def file(self, ending: str) -> Path:
        """Return the path of the picture's file with `ending`, such as ".png"; see `fitting_name`."""
        return self.stem.with_name(fitting_name(self.stem.name, ending))

    def at(self, row: Row) -> OutputPath:
        """Return where the files of a row of this picture go: of a film's frame, into a folder for the film."""
        if row.frame is None:
            return self
        return self.of_frame(row.frame)

    def of_frame(self, frame: int) -> OutputPath:
        """Return where the files of a frame of this film go."""
        name = frame_stem(frame)
        return OutputPath(f"{self.relative}/{name}.png", self.stem / name)


def fitting_name(stem: str, ending: str) -> str:
    """Return stem + ending; a name that is too long for the disk loses its end, and gets a hash of all of it instead.

    So pictures with names of any length have files, distinct ones, and the same ones in each run.
    """
    name = stem + ending
    if len(os.fsencode(name)) <= MAX_NAME:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    while len(os.fsencode(f"{stem}~{digest}{ending}")) > MAX_NAME:
        stem = stem[:-1]
    return f"{stem}~{digest}{ending}"


def output_paths(pictures: Sequence[str], inputs: Sequence[str], out: Path) -> dict[str, OutputPath]:
    """Return the output path of each picture, in the order of `pictures`.

    Pictures found in a folder among `inputs` keep their sub-folders below it. All other pictures (named one by one, by
    a pattern or in a list) keep their sub-folders below the deepest folder that holds all of them; the picture on
    standard input, "-", is called "stdin". Two pictures in one folder that differ only in their endings keep them.
    Pictures inside `out`, if `out` is below an input folder, are the output of an earlier run and are left out.

    pictures: as `find_pictures` returns them for `inputs`.

    Raises UsageError if `out` is an input folder, if no picture remains, or if two pictures would share a path.
    """
    _check_out_is_no_input(inputs, out)
    relative = _relative_paths(pictures, inputs, out)
    if not relative:
        raise UsageError(f"All pictures are in --out {str(out)!r} itself; name the folder that they came from.")
    _check_distinct(relative)
    stems = Counter(_stem(path).casefold() for path in relative.values())
    return {
        picture: OutputPath(path, out / (path if stems[_stem(path).casefold()] > 1 else _stem(path)))
        for picture, path in relative.items()
    }


def check_no_clash(paths: Mapping[str, OutputPath], endings: Iterable[str]) -> None:
    """Check that no file to be written would replace a picture or another one. Raises UsageError if it would.

    paths: by picture, as from `output_paths`. endings: those of the files to be written for each picture.
    """
    owners = {os.path.realpath(picture): picture for picture in paths}
    for ending in endings:
        for picture, path in paths.items():
            file = os.path.realpath(path.file(ending))
            if file in owners:
                raise UsageError(
                    f"{str(path.file(ending))!r}, for {picture!r}, would replace {owners[file]!r} or a file for it; "
                    "choose another --out, or rename one of the pictures."
                )
            owners[file] = picture


def _relative_paths(pictures: Sequence[str], inputs: Sequence[str], out: Path) -> dict[str, str]:
    folders = [os.path.join(path, "") for path in inputs if os.path.isdir(path)]  # noqa: PTH112, PTH118 - as typed
    inside_out = os.path.join(os.path.abspath(out), "")  # noqa: PTH100, PTH118
    relative: dict[str, str | None] = {}
    for picture in pictures:
        if picture == STANDARD_INPUT:
            relative[picture] = STANDARD_INPUT_NAME
            continue
        folder = next((folder for folder in folders if picture.startswith(folder)), None)
        if folder is None:
            relative[picture] = None
        elif not os.path.abspath(picture).startswith(inside_out):  # noqa: PTH100
            relative[picture] = picture[len(folder) :]
    others = _below_common_folder([picture for picture, path in relative.items() if path is None])
    return {picture: others[picture] if path is None else path for picture, path in relative.items()}


def _below_common_folder(pictures: Sequence[str]) -> dict[str, str]:
    absolute = {picture: os.path.abspath(picture) for picture in pictures}  # noqa: PTH100
    common = os.path.commonpath([os.path.dirname(path) for path in absolute.values()] or ["/"])  # noqa: PTH120
    return {picture: os.path.relpath(path, common) for picture, path in absolute.items()}


def _check_out_is_no_input(inputs: Sequence[str], out: Path) -> None:
    for path in inputs:
        if os.path.isdir(path) and os.path.realpath(path) == os.path.realpath(out):  # noqa: PTH112
            raise UsageError(
                f"--out {str(out)!r} is the folder of the pictures themselves; choose another one, so that its files "
                "are not taken for pictures."
            )


def _check_distinct(relative: Mapping[str, str]) -> None:
    owners: dict[str, str] = {}
    for picture, path in relative.items():
        if owners.setdefault(path, picture) != picture:
            raise UsageError(
                f"{owners[path]!r} and {picture!r} would both be {path!r} in --out; "
                "name the folder above them instead, or give each its own --out."
            )


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]  # noqa: PTH122 - the path may hold any bytes
