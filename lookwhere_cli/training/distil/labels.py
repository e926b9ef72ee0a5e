"""Class names for a teacher's logits."""

from __future__ import annotations

from pathlib import Path

from lookwhere_cli.checkpoints.timm_package import imagenet_names
from lookwhere_cli.data.class_list import read_class_list
from lookwhere_cli.errors import UsageError


def class_names(count: int, file: Path | None) -> tuple[str, ...]:
    """Return a name for each class: from the file, else ImageNet-1k's for 1000 classes, else numbers.

    Raises UsageError if the file can't be read or holds another number of names, DataError as `read_class_list`.
    """
    if file is not None:
        return _from_file(count, file)
    return imagenet_names() if count == 1000 else tuple(f"class {index}" for index in range(count))


def _from_file(count: int, file: Path) -> tuple[str, ...]:
    names = read_class_list(file, unique=False)
    if len(names) != count:
        raise UsageError(f"--labels {file} has {len(names)} names, but the teacher has {count} classes.")
    return names
