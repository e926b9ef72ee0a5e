"""One folder per class, also inside folders for training, validation and test."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.data.class_list import index_classes, index_of
from lookwhere_cli.data.examples import Example, LabelledSet, Split
from lookwhere_cli.data.split_names import check_nothing_beside, pictures_directly_in, top_folders
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.encodings import composed
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_pictures


def read_folders(data: Path, class_names: tuple[str, ...] | None) -> LabelledSet:
    """Read a set whose pictures lie in a folder per class; it is empty if there are no such folders.

    class_names: in the order of their indices; None for the folders' names in natural order. Raises DataError if there
    are such folders, but pictures lie beside them, and as `top_folders` does.
    """
    found = top_folders(data)
    check_nothing_beside(found.splits, found.pictures)
    labelled: list[tuple[str, str, Split | None]] = []
    unlabelled = pictures_directly_in(data)
    folders: list[tuple[Split | None, Path]] = [*found.splits.items()] or [(None, data)]
    for split, folder in folders:
        for path in _pictures_in(folder):
            parts = Path(path).relative_to(folder).parts
            if len(parts) > 1:
                labelled.append((path, composed(parts[0]), split))
            elif folder != data:
                unlabelled.append(path)
    if labelled and unlabelled:
        raise DataError(_beside(data, unlabelled, len(labelled)))
    indices = index_classes(class_names, (name for _, name, _ in labelled))
    examples = (Example(path, (index_of(indices, name, repr(path)),), split=split) for path, name, split in labelled)
    notes = (_about_empty(data, found.empty),) if found.empty else ()
    return LabelledSet("single", tuple(indices), tuple(examples), data, notes)


def _pictures_in(folder: Path) -> list[str]:
    """Return the pictures in a folder at any depth; none if there are none."""
    try:
        return find_pictures([str(folder)])
    except UsageError:
        return []


def _about_empty(data: Path, folders: list[Path]) -> str:
    names = list_names([one.relative_to(data).as_posix() for one in folders])
    return f"Without pictures, and left out: {names}."


def _beside(data: Path, unlabelled: list[str], labelled: int) -> str:
    return (
        f"{str(data)!r} has pictures beside its class folders, without a label: {len(unlabelled):,} of "
        f"{labelled + len(unlabelled):,}, namely {list_names(unlabelled)}. Move them into class folders, or elsewhere."
    )
