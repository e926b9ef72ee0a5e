"""One folder per class, also inside `train` and `val`."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.data.class_list import index_classes, index_of
from lookwhere_cli.data.examples import SPLITS, Example, LabelledSet, Split
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError
from lookwhere_cli.images.find import find_pictures, natural_path_key
from lookwhere_cli.images.formats import looks_like_picture


def read_folders(data: Path, class_names: tuple[str, ...] | None) -> LabelledSet:
    """Read a set whose pictures lie in a folder per class; it is empty if there are no such folders.

    class_names: in the order of their indices; None for the folders' names in natural order. Raises DataError if there
    are such folders, but pictures lie beside them.
    """
    labelled: list[tuple[str, str, Split | None]] = []
    unlabelled = _pictures_in(data)
    for split, folder in _split_folders(data):
        for path in find_pictures([str(folder)]):
            parts = Path(path).relative_to(folder).parts
            if len(parts) > 1:
                labelled.append((path, parts[0], split))
            elif folder != data:
                unlabelled.append(path)
    if labelled and unlabelled:
        raise DataError(_beside(data, unlabelled, len(labelled)))
    indices = index_classes(class_names, (name for _, name, _ in labelled))
    examples = (Example(path, (index_of(indices, name, repr(path)),), split=split) for path, name, split in labelled)
    return LabelledSet("single", tuple(indices), tuple(examples), data)


def _pictures_in(data: Path) -> list[str]:
    """Return the pictures directly in a folder, in natural order."""
    paths = (str(entry) for entry in data.iterdir() if entry.is_file() and entry.name[0] != ".")
    return sorted(filter(looks_like_picture, paths), key=natural_path_key)


def _beside(data: Path, unlabelled: list[str], labelled: int) -> str:
    return (
        f"{str(data)!r} has pictures beside its class folders, without a label: {len(unlabelled):,} of "
        f"{labelled + len(unlabelled):,}, namely {list_names(unlabelled)}. Move them into class folders, or elsewhere."
    )


def _split_folders(data: Path) -> list[tuple[Split | None, Path]]:
    """Return the folders that hold class folders: train and val if train itself holds folders, else `data`."""
    if (data / "train").is_dir() and any(entry.is_dir() for entry in (data / "train").iterdir()):
        return [(split, data / split) for split in SPLITS if (data / split).is_dir()]
    return [(None, data)]
