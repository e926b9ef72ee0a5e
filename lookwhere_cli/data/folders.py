"""One folder per class, also inside `train` and `val`."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.data.class_list import index_classes, index_of
from lookwhere_cli.data.examples import SPLITS, Example, LabelledSet, Split
from lookwhere_cli.images.find import find_pictures


def read_folders(data: Path, class_names: tuple[str, ...] | None) -> LabelledSet:
    """Read a set whose pictures lie in a folder per class; it is empty if there are no such folders.

    class_names: in the order of their indices; None for the folders' names in natural order.
    """
    labelled: list[tuple[str, str, Split | None]] = []
    for split, folder in _split_folders(data):
        for path in find_pictures([str(folder)]):
            parts = Path(path).relative_to(folder).parts
            if len(parts) > 1:  # a picture that lies beside the class folders has no label
                labelled.append((path, parts[0], split))
    indices = index_classes(class_names, (name for _, name, _ in labelled))
    examples = (Example(path, (index_of(indices, name, repr(path)),), split=split) for path, name, split in labelled)
    return LabelledSet("single", tuple(indices), tuple(examples), data)


def _split_folders(data: Path) -> list[tuple[Split | None, Path]]:
    """Return the folders that hold class folders: train and val if train itself holds folders, else `data`."""
    if (data / "train").is_dir() and any(entry.is_dir() for entry in (data / "train").iterdir()):
        return [(split, data / split) for split in SPLITS if (data / split).is_dir()]
    return [(None, data)]
