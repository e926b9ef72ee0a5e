"""Every picture and mask is looked at before training starts: what can't be used is named and left out."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.data.examples import IGNORED, Example, Labelled
from lookwhere_cli.errors import DataError, PictureError
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.machine import usable_cpus

TOLERATED = 0.1
"""Share of the examples that may be unusable before that looks like a mistake, not like the odd broken file."""
_READING = Reading(patch=16, size=16)


def sound(labelled: Labelled) -> tuple[Labelled, list[str]]:
    """The set without the examples that can't be used, and a sentence for each of those.

    An example is left out if its picture or its mask can't be read, or if the mask is of another size than the picture
    as displayed. Raises DataError if more than a tenth are (with the first ten sentences), and at once for a mask whose
    pixels are no indices of the set's classes; and if all masks together show a single class.
    """
    good: list[Example] = []
    broken: list[str] = []
    shown: set[int] = set()
    workers = usable_cpus()
    look = partial(_look, classes=len(labelled.classes))
    with closing(read_ahead(labelled.examples, look, workers, 4 * workers)) as looks:
        for example, seen in zip(labelled.examples, looks, strict=True):
            if isinstance(seen, PictureError):
                broken.append(str(seen))
            else:
                good.append(example)
                shown |= seen
    if len(broken) > TOLERATED * len(labelled.examples):
        raise DataError(_too_many(broken, len(labelled.examples)))
    if labelled.kind == "masks" and len(shown) < 2:
        raise DataError(_one_class(labelled, shown))
    return replace(labelled, examples=tuple(good)), broken


def load_mask(path: str) -> NDArray[np.uint8]:
    """The mask at `path`: (height, width) class indices, 255 where no class is to be learnt.

    Its pixels are taken as they are stored: a mask stands as its picture is displayed, and is not turned. It may be a
    palette's indices, or grey of any depth with values below 256. Raises PictureError if it can't be read, DataError if
    it holds colours, or larger values, instead of indices.
    """
    try:
        with pillow_limit(_READING.max_pixels), Image.open(path) as picture:
            mode, values = picture.mode, np.asarray(picture)
    except FileNotFoundError as error:
        raise PictureError(f"The mask {path!r} is not there.") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise PictureError(f"The mask {path!r} can't be read: {error}.") from error
    if values.ndim != 2 or not (values.dtype == bool or np.issubdtype(values.dtype, np.integer)):
        raise DataError(
            f"The mask {path!r} holds colours ({mode}), not class indices; save it as a PNG of one channel, grey or "
            "with a palette, whose pixel is the class's index (255: ignore)."
        )
    if values.size and (values.min() < 0 or values.max() > IGNORED):
        raise DataError(f"The mask {path!r} holds the values {values.min()} to {values.max()}; indices are 0 to 255.")
    return values.astype(np.uint8)


def _look(example: Example, classes: int) -> set[int]:
    """The classes that the example's mask shows; none without a mask. Raises PictureError if it can't be used."""
    size = decode_file(example.path, _READING).size
    if example.mask is None:
        return set()
    mask = load_mask(example.mask)
    if mask.shape != size:
        raise PictureError(
            f"The mask {example.mask!r} is {mask.shape[1]} x {mask.shape[0]} pixels, but {example.path!r} is displayed "
            f"at {size[1]} x {size[0]}."
        )
    values = [value for value, count in enumerate(Image.fromarray(mask).histogram()[:IGNORED]) if count]
    if values and values[-1] >= classes:
        raise DataError(
            f"The mask {example.mask!r} holds the value {values[-1]}, but there are {classes} classes, "
            f"0 to {classes - 1} (255: ignore)."
        )
    return set(values)


def _too_many(broken: list[str], total: int) -> str:
    more = [f"... and {len(broken) - 10} more"] if len(broken) > 10 else []
    first = f"{len(broken)} of {total} pictures can't be used, more than a tenth; mend them or take them out:"
    return "\n".join([first, *broken[:10], *more])


def _one_class(labelled: Labelled, shown: set[int]) -> str:
    name = f"only {labelled.classes[shown.pop()]!r}" if shown else "no class at all"
    return (
        f"The masks show {name}; training needs two classes or more. A mask's pixel is its class's index, "
        f"0 to {len(labelled.classes) - 1}; {IGNORED} is ignored."
    )
