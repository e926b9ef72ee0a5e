"""Index masks: reading one, and sets of pictures in `images` with masks of the same names in `masks`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.data.examples import SPLITS, Example, LabelledSet, Split
from lookwhere_cli.data.lossy import lossy_format
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError, PictureError, UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.limit import pillow_limit
from lookwhere_cli.text import counted

IGNORED = 255
"""A mask's value for pixels without a class: they are neither trained on nor counted."""


def load_mask(path: str) -> NDArray[np.uint8]:
    """Read a mask: (height, width) class indices, 255 where no class is known.

    The file may hold palette indices, or grey of any depth with values below 256. The pixels are taken as they are
    stored: a mask has the orientation in which its picture is displayed, and its own EXIF orientation is not applied.
    Raises PictureError if it can't be read, DataError if it holds colours or larger values instead of indices, or was
    saved in a lossy format, which changes them.
    """
    try:
        with pillow_limit(Reading.max_pixels), Image.open(path) as picture:
            lossy = lossy_format(picture)
            mode, values = picture.mode, np.asarray(picture)
    except FileNotFoundError as error:
        raise PictureError(f"The mask {path!r} does not exist.") from error
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise PictureError(f"The mask {path!r} can't be read: {error}.") from error
    if lossy is not None:
        raise DataError(
            f"The mask {path!r} is saved as {lossy}, which changes class indices; save the original as PNG. (A PNG "
            "made of this file has the same wrong values.)"
        )
    if values.ndim != 2 or not (values.dtype == bool or np.issubdtype(values.dtype, np.integer)):
        raise DataError(
            f"The mask {path!r} holds colours ({mode}), not class indices; save it as a PNG of one channel, grey or "
            "with a palette, in which each pixel is a class index (255: ignored)."
        )
    if values.size and (values.min() < 0 or values.max() > IGNORED):
        raise DataError(
            f"The mask {path!r} holds the values {values.min()} to {values.max()}; class indices are 0 to 255."
        )
    return values.astype(np.uint8)


def find_mask_folders(data: Path) -> list[tuple[Split | None, Path]]:
    """Return the folders that hold `images` and `masks`: `data` itself, or else its train and val; often none."""
    candidates: list[tuple[Split | None, Path]] = [(None, data), *((split, data / split) for split in SPLITS)]
    folders = [(split, one) for split, one in candidates if (one / "images").is_dir() and (one / "masks").is_dir()]
    return folders[:1] if folders and folders[0][0] is None else folders


def read_mask_folders(
    data: Path, folders: list[tuple[Split | None, Path]], class_names: tuple[str, ...] | None
) -> LabelledSet:
    """Read the pictures in these folders of `data` with their masks.

    Raises UsageError without class names, DataError for too many of them or a picture without exactly one mask.
    """
    if class_names is None:
        raise UsageError(
            f"Masks need a class list: write the class names, one per line from index 0 on, to "
            f"{str(data / 'classes.txt')!r}, or give such a file with --classes."
        )
    if len(class_names) > IGNORED:
        raise DataError(f"Masks can have at most {IGNORED} classes, but the class list has {len(class_names)}.")
    examples = [example for split, folder in folders for example in _pair_with_masks(split, folder)]
    return LabelledSet("masks", class_names, tuple(examples), data)


def _pair_with_masks(split: Split | None, folder: Path) -> list[Example]:
    masks: dict[Path, str] = {}
    for path in find_pictures([str(folder / "masks")]):
        first = masks.setdefault(Path(path).relative_to(folder / "masks").with_suffix(""), path)
        if first != path:
            raise DataError(f"{first!r} and {path!r} are masks of the same picture; keep one of them.")
    pictures = find_pictures([str(folder / "images")])
    stems = [Path(path).relative_to(folder / "images").with_suffix("") for path in pictures]
    unmasked = [path for path, stem in zip(pictures, stems, strict=True) if stem not in masks]
    if unmasked:
        raise DataError(
            f"{len(unmasked)} of {counted(len(pictures), 'picture')} have no mask of the same name in "
            f"{str(folder / 'masks')!r}: {list_names(unmasked)}."
        )
    return [Example(path, mask=masks[stem], split=split) for path, stem in zip(pictures, stems, strict=True)]
