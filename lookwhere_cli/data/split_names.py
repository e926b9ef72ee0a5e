"""The names of splits, and folders that are called like one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lookwhere_cli.data.examples import Split
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_pictures, natural_key
from lookwhere_cli.images.formats import looks_like_picture

NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The names of splits, in any case of letters."""
NAMES_THAT_WORK = "train or training; val, valid or validation; test or testing"
_LIKE_SPLITS = re.compile(r"(?i)(dev|eval|holdout|hold[-_ ]out)|(train|val|test).*")
_NOT_CLASSES = ("__macosx", "@eadir")


def split_named(name: str) -> Split | None:
    """Return the split that is called so; None if none is."""
    return NAMES.get(name.strip().casefold())


class TopFolders(NamedTuple):
    """The folders at the top of labelled data.

    splits: those that are splits and hold class folders, in the order train, val, test. pictures: the others that hold
    pictures, at any depth. empty: those without any, and class folders of splits without any.
    """

    splits: dict[Split, Path]
    pictures: list[Path]
    empty: list[Path]


def top_folders(data: Path) -> TopFolders:
    """Sort the folders at the top of the data.

    One that is called like a split and holds no pictures itself but folders is a split; one that holds pictures is a
    class, unless a split stands beside it. Raises DataError for two folders of one split, and for one that is called
    almost like a split.
    """
    folders = list(visible_folders(data))
    pure = [one for one in folders if split_named(one.name) and _holds_class_folders(one)]
    mixed = [one for one in folders if split_named(one.name) and one not in pure and any(visible_folders(one))]
    if pure or len(folders) == len(mixed):
        pure = [one for one in folders if one in pure or one in mixed]
    for one in folders:
        if one not in pure and _LIKE_SPLITS.fullmatch(one.name) and _holds_class_folders(one) and has_pictures(one):
            raise DataError(unknown_split(one))
    splits: dict[Split, Path] = {}
    for one in pure:
        split = split_named(one.name)
        assert split is not None
        if split in splits:
            raise DataError(f"{str(splits[split])!r} and {str(one)!r} are both for {split}; keep one of them.")
        splits[split] = one
    others = [one for one in folders if one not in pure]
    empty = [one for one in others if not has_pictures(one)]
    empty += [one for folder in pure for one in (folder, *visible_folders(folder)) if not has_pictures(one)]
    return TopFolders(splits, [one for one in others if one not in empty], empty)


def unknown_split(folder: Path) -> str:
    """Return the sentence about a folder that is called almost like a split."""
    return (
        f"The folder {str(folder)!r} holds class folders, as a split does, but its name is none of those that work: "
        f"{NAMES_THAT_WORK}. Rename it, or move it elsewhere."
    )


def check_nothing_beside(splits: dict[Split, Path], others: list[Path]) -> None:
    """Raise DataError for folders with pictures beside splits: they would be passed over."""
    if splits and others:
        names = list_names([str(one) for one in others])
        raise DataError(
            f"Beside the splits {list_names([one.name for one in splits.values()])}, {names} "
            f"{'holds' if len(others) == 1 else 'hold'} pictures that belong to none; move them into a split (names "
            f"that work: {NAMES_THAT_WORK}), or elsewhere."
        )


def visible_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders in a folder in natural order, without hidden ones and what systems leave behind."""
    for name in sorted(os.listdir(folder), key=natural_key):  # noqa: PTH208 - names only
        if name[0] != "." and name.casefold() not in _NOT_CLASSES and (folder / name).is_dir():
            yield folder / name


def has_pictures(folder: Path) -> bool:
    """Return True if a picture lies in the folder, at any depth."""
    try:
        return bool(find_pictures([str(folder)]))
    except UsageError:
        return False


def pictures_directly_in(folder: Path) -> list[str]:
    """Return the pictures directly in a folder, in natural order."""
    paths = (folder / name for name in sorted(os.listdir(folder), key=natural_key) if name[0] != ".")  # noqa: PTH208
    return [str(path) for path in paths if path.is_file() and looks_like_picture(str(path))]


def _holds_class_folders(folder: Path) -> bool:
    return next(visible_folders(folder), None) is not None and not pictures_directly_in(folder)
