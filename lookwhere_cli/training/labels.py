"""Names of a teacher's classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from lookwhere_cli.errors import UsageError
from lookwhere_cli.training.timm_models import import_timm


def class_names(count: int, file: Path | None) -> tuple[str, ...]:
    """A name for each class: from the file (one per line), else ImageNet-1k's where there are 1000, else numbers.

    Raises UsageError if the file holds another number of names.
    """
    if file is not None:
        return _from_file(count, file)
    return _imagenet() if count == 1000 else tuple(f"class {index}" for index in range(count))


def _from_file(count: int, file: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--labels {file} can't be read: {error}") from None
    if len(names) != count:
        raise UsageError(f"--labels {file} holds {len(names)} names, but the teacher has {count} classes.")
    return names


def _imagenet() -> tuple[str, ...]:
    """The first of each class's synonyms, with the index where two classes share it (crane: a bird, and a machine)."""
    import_timm()
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    described = [info.index_to_description(index) for index in range(1000)]
    first = [description.split(",")[0] for description in described]
    shared = {name for name, times in Counter(first).items() if times > 1}
    return tuple(f"{short} ({index})" if short in shared else short for index, short in enumerate(first))
