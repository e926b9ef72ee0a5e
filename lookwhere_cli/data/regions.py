"""Where a picture should be read: boxes or masks that people drew."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from lookwhere_cli.data.labels_table import FILE_COLUMNS
from lookwhere_cli.data.masks import IGNORED, load_mask
from lookwhere_cli.data.table import Table, TableRow, read_table
from lookwhere_cli.data.wording import list_names
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.spelling import spelled_on_disk
from lookwhere_cli.text import counted

EDGES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Regions:
    """The parts of pictures that are worth reading, by the paths that `read_regions` got."""

    _boxes: Mapping[str, Float32[ndarray, "boxes 4"]] = field(default_factory=dict)
    _masks: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a hash of all boxes and of the masks' paths; a checkpoint stores it, so it must never change."""
        boxes = [(path, boxes.tolist()) for path, boxes in self._boxes.items()]
        return hashlib.sha256(repr((boxes, list(self._masks.items()))).encode()).hexdigest()

    def boxes(self, path: str) -> Float32[ndarray, "boxes 4"] | None:
        """Return left, top, right, bottom in pixels of the full picture as displayed; None if nothing is known."""
        return self._boxes.get(path)

    def mask(self, path: str) -> UInt8[ndarray, "height width"] | None:
        """Read the picture's mask: 1 where it should be read, 0 elsewhere, 255 where that is unknown; None without one.

        In a file that holds only 0 and 255, white (255) counts as 1.
        Raises PictureError or DataError, as `load_mask` does.
        """
        if path not in self._masks:
            return None
        mask = load_mask(self._masks[path])
        inside = (mask > 0).astype(np.uint8)
        if np.any((mask > 0) & (mask < IGNORED)):
            inside[mask == IGNORED] = IGNORED
        return inside


def read_regions(source: Path, root: Path, paths: Sequence[str]) -> Regions:
    """Read the regions of the pictures `paths`.

    source: a CSV file of boxes, with the columns file, left, top, right and bottom, in pixels of the picture as
    displayed; it has one row per box, and a row with four empty fields for a picture without any. The files are
    relative to its own folder or to `root`. Or a folder of masks, in which they lie as the pictures lie in `root` (a
    folder `images` may be left out or be called `masks`).
    Raises UsageError if `source` does not exist, DataError if it can't be used or concerns none of the pictures.
    """
    if source.is_dir():
        regions = Regions(_masks=_find_masks(source, root, paths))
        hint = f"place each mask as its picture lies in {str(root)!r}, with the same name but for the ending"
    elif source.exists():
        regions = Regions(_boxes=_read_boxes(read_table(source), root, paths))
        hint = f"its files must be relative to its own folder or to {str(root)!r}"
    else:
        raise UsageError(f"{str(source)!r} does not exist; give a CSV file of boxes or a folder of masks.")
    if not (regions._boxes or regions._masks):
        raise DataError(f"{str(source)!r} says nothing about any of {counted(len(paths), 'picture')}; {hint}.")
    return regions


def _find_masks(folder: Path, root: Path, paths: Sequence[str]) -> dict[str, str]:
    """Return the mask file of each picture that has one."""
    masks = {Path(mask).relative_to(folder).with_suffix(""): mask for mask in find_pictures([str(folder)])}
    pairs = ((path, _first_existing(masks, _mask_stems(Path(path), root))) for path in paths)
    return {path: mask for path, mask in pairs if mask is not None}


def _first_existing(masks: Mapping[Path, str], stems: Iterable[Path]) -> str | None:
    return next((masks[stem] for stem in stems if stem in masks), None)


def _mask_stems(path: Path, root: Path) -> list[Path]:
    """Return where a picture's mask may lie, relative to the masks' folder and without its ending."""
    parts = Path(os.path.relpath(path, root)).with_suffix("").parts
    if "images" not in parts[:-1]:
        return [Path(*parts)]
    at = parts.index("images")
    return [Path(*parts[:at], *instead, *parts[at + 1 :]) for instead in (["images"], [], ["masks"])]


def _read_boxes(table: Table, root: Path, paths: Sequence[str]) -> dict[str, Float32[ndarray, "boxes 4"]]:
    """Return the boxes of each picture that the table names."""
    pictures = {os.path.realpath(path): path for path in paths}
    edges = [_required_column(table, [edge]) for edge in EDGES]
    by_name: dict[str, list[Box]] = {}
    for row, name in zip(table.rows, table.texts(_required_column(table, FILE_COLUMNS)), strict=True):
        by_name.setdefault(name, []).extend(_box(table, row, [row.fields[edge].strip() for edge in edges]))
    by_path: dict[str, list[Box]] = {}
    for name, boxes in by_name.items():
        candidates = (_real_path(folder / name) for folder in (table.file.parent, root))
        path = next((pictures[one] for one in candidates if one in pictures), None)
        if path is not None:
            by_path.setdefault(path, []).extend(boxes)
    return {path: np.array(boxes, dtype=np.float32).reshape(-1, 4) for path, boxes in by_path.items()}


def _real_path(path: Path) -> str:
    """Return a file's path without links, as the disk spells it."""
    return os.path.realpath(spelled_on_disk(str(path)) or path)


def _box(table: Table, row: TableRow, texts: Sequence[str]) -> list[Box]:
    """Return the box in a row's fields (left, top, right, bottom); none if all are empty."""
    if not any(texts):
        return []
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        left = top = right = bottom = math.nan
    if not (-math.inf < left < right < math.inf and -math.inf < top < bottom < math.inf):
        raise DataError(
            f"{table.place(row)} is not a box: {', '.join(EDGES)} are {', '.join(map(repr, texts))}; "
            "write pixels, with left < right and top < bottom."
        )
    return [(left, top, right, bottom)]


def _required_column(table: Table, names: Sequence[str]) -> str:
    column = table.column(names)
    if column is None:
        raise DataError(
            f"{str(table.file)!r} has no column {' or '.join(map(repr, names))}; a list of boxes needs file, "
            f"{', '.join(EDGES)}. There are: {list_names(table.columns)}."
        )
    return column
