"""Index masks: reading one, and sets of pictures in `images` with masks of the same names in `masks`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.data.examples import Example, LabelledSet, Split
from lookwhere_cli.data.large.drawn import DrawnMask
from lookwhere_cli.data.lossy import lossy_format
from lookwhere_cli.data.mask_files import open_mask, stored_values
from lookwhere_cli.data.split_names import NAMES_THAT_WORK, split_named, visible_folders
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.encodings import composed
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
    saved in a lossy format, which changes them. A DrawnMask is drawn.
    """
    if isinstance(path, DrawnMask):
        return path.draw()
    try:
        with pillow_limit(Reading.max_pixels), open_mask(path) as picture:
            lossy = lossy_format(picture)
            stored = stored_values(picture)
            mode, values = picture.mode, stored(np.asarray(picture))
    except FileNotFoundError as error:
        raise PictureError(f"The mask {path!r} does not exist.") from error
    except PictureError:
        raise
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
    """Return the folders that hold `images` and `masks`: `data` itself, or else its splits; often none.

    Raises DataError for two folders of one split, and for one that is called almost like a split.
    """
    if _holds_masks(data):
        return [(None, data)]
    if not data.is_dir():
        return []
    found: dict[Split, Path] = {}
    for folder in filter(_holds_masks, visible_folders(data)):
        split = split_named(folder.name)
        if split is None:
            raise DataError(
                f"The folder {str(folder)!r} holds images and masks, as a split does, but its name is none of those "
                f"that work: {NAMES_THAT_WORK}. Rename it, or move it elsewhere."
            )
        if split in found:
            raise DataError(f"{str(found[split])!r} and {str(folder)!r} are both for {split}; keep one of them.")
        found[split] = folder
    return [(split, found[split]) for split in ("train", "val", "test") if split in found]


def _holds_masks(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "masks").is_dir()


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
    notes: list[str] = []
    examples = [example for split, folder in folders for example in _pair_with_masks(split, folder, notes)]
    if folders and folders[0][0] is None:
        examples = _split_inside(folders[0][1] / "images", examples)
    return LabelledSet("masks", class_names, tuple(examples), data, tuple(dict.fromkeys(notes)))


def _split_inside(images: Path, examples: list[Example]) -> list[Example]:
    """Return the examples with the splits by which `images` is divided into folders, if it is.

    Raises DataError if only a part of the pictures lies in such folders.
    """
    names = [Path(one.path).relative_to(images).parts[:-1] for one in examples]
    splits = [split_named(folders[0]) if folders else None for folders in names]
    if not any(splits):
        return examples
    if None in splits:
        other = examples[splits.index(None)].path
        raise DataError(
            f"{str(images)!r} is divided into splits, but {other!r} lies in none; move such pictures into one, or "
            f"rename the folders. Names that work: {NAMES_THAT_WORK}."
        )
    return [replace(example, split=split) for example, split in zip(examples, splits, strict=True)]


def _pair_with_masks(split: Split | None, folder: Path, notes: list[str]) -> list[Example]:
    """Return the pictures of a folder with their masks; add to `notes` what was passed over among the pictures."""
    masks: dict[str, str] = {}
    for path in find_pictures([str(folder / "masks")]):
        first = masks.setdefault(_stem(path, folder / "masks"), path)
        if first != path:
            raise DataError(f"{first!r} and {path!r} are masks of the same picture; keep one of them.")
    pictures = find_pictures([str(folder / "images")])
    notes += pictures.notes
    stems = [_stem(path, folder / "images") for path in pictures]
    unmasked = [path for path, stem in zip(pictures, stems, strict=True) if stem not in masks]
    if unmasked:
        raise DataError(
            f"{len(unmasked)} of {counted(len(pictures), 'picture')} have no mask of the same name in "
            f"{str(folder / 'masks')!r}: {list_names(unmasked)}."
        )
    return [Example(path, mask=masks[stem], split=split) for path, stem in zip(pictures, stems, strict=True)]


def _stem(path: str, folder: Path) -> str:
    """Return a path below the folder without its ending, in Unicode's composed form."""
    return composed(Path(path).relative_to(folder).with_suffix("").as_posix())
