"""Every picture and mask is read once before training starts; files that can't be used are named and left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TypeVar

from PIL import Image

from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.masks import IGNORED, load_mask
from lookwhere_cli.errors import DataError, PictureError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.parts import decode_part
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.text import counted

TOLERATED = 0.1
"""The share of unusable examples above which a mistake is more likely than a few broken files."""
LISTED = 10
"""Sentences about single pictures in a message."""
_SMALLEST = Reading(patch=16, size=16)
T = TypeVar("T")
R = TypeVar("R")


def drop_unusable(labelled: LabelledSet, fail_fast: bool = False) -> tuple[LabelledSet, list[str]]:
    """Return the set without the examples that can't be used, and a sentence for each of those.

    An example can't be used if its picture or its mask can't be read, or if the mask's size differs from the picture's
    as displayed. Raises DataError if that is more than a tenth of them (with the first ten sentences), if a mask has a
    value that is no class index, and if all masks together show a single class. fail_fast: raise PictureError for the
    first example that can't be used.
    """
    check = partial(_check_example, class_count=len(labelled.classes))
    usable, problems = _partition(labelled.examples, check, fail_fast)
    if len(problems) > TOLERATED * len(labelled.examples):
        raise _too_many(problems, len(labelled.examples))
    shown = {index for _, classes in usable for index in classes}
    if labelled.kind == "masks" and len(shown) < 2:
        raise DataError(_too_few_classes(labelled, shown))
    return replace(labelled, examples=tuple(example for example, _ in usable)), problems


def drop_unusable_masks(labelled: LabelledSet, fail_fast: bool = False) -> tuple[LabelledSet, list[str]]:
    """Do the same as `drop_unusable` for a set with masks; a set without masks is returned as it is, unread."""
    return drop_unusable(labelled, fail_fast) if labelled.kind == "masks" else (labelled, [])


def drop_unreadable(paths: Sequence[str], fail_fast: bool = False) -> tuple[list[str], list[str]]:
    """Return the pictures that can be read, and a sentence for each of the others.

    fail_fast: raise PictureError for the first of the others.
    """
    usable, problems = _partition(paths, _displayed_size, fail_fast)
    return [path for path, _ in usable], problems


def _partition(items: Sequence[T], check: Callable[[T], R], fail_fast: bool) -> tuple[list[tuple[T, R]], list[str]]:
    """Check items in threads: those that pass with their result, and the sentences of those that raise PictureError.

    fail_fast: raise the first PictureError.
    """
    usable: list[tuple[T, R]] = []
    problems: list[str] = []
    workers = usable_cpus()
    with closing(read_ahead(items, check, workers, 4 * workers)) as results:
        for item, result in zip(items, results, strict=True):
            if isinstance(result, PictureError):
                if fail_fast:
                    raise result
                problems.append(str(result))
            else:
                usable.append((item, result))
    return usable, problems


def _displayed_size(path: str) -> tuple[int, int]:
    """Decode the picture and return its (height, width) as displayed. Raises PictureError."""
    return decode_part(path, _SMALLEST).size


def _check_example(example: Example, class_count: int) -> set[int]:
    """Return the classes that the example's mask shows; none without a mask. Raises PictureError, DataError."""
    height, width = _displayed_size(example.path)
    if example.mask is None:
        return set()
    mask = load_mask(example.mask)
    if mask.shape != (height, width):
        raise PictureError(
            f"The mask {example.mask!r} is {mask.shape[1]} x {mask.shape[0]} pixels, but {example.path!r} is displayed "
            f"at {width} x {height}."
        )
    values = [value for value, count in enumerate(Image.fromarray(mask).histogram()[:IGNORED]) if count]
    if values and values[-1] >= class_count:
        raise DataError(
            f"The mask {example.mask!r} holds the value {values[-1]}, but there are {class_count} classes, "
            f"0 to {class_count - 1} (255: ignored)."
        )
    return set(values)


def _too_many(problems: list[str], total: int) -> DataError:
    more = [f"... and {len(problems) - LISTED} more"] if len(problems) > LISTED else []
    sentence = (
        f"{len(problems)} of {counted(total, 'picture')} can't be used, more than a tenth; repair or remove them:"
    )
    return DataError(sentence, [*problems[:LISTED], *more])


def _too_few_classes(labelled: LabelledSet, shown: set[int]) -> str:
    name = f"only the class {labelled.classes[shown.pop()]!r}" if shown else "no class at all"
    return (
        f"The masks show {name}, but training needs at least two; a mask's pixels must be class indices, "
        f"0 to {len(labelled.classes) - 1} ({IGNORED}: ignored)."
    )
