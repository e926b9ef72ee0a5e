"""Where a picture is to be looked at: boxes or masks that people drew, and the share of each cell that they cover."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.data.checks import load_mask
from lookwhere_cli.data.examples import FILE_COLUMNS, IGNORED
from lookwhere_cli.data.sample import Sample
from lookwhere_cli.data.table import Row, Table, listed, read_table
from lookwhere_cli.errors import DataError, UsageError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.frame import Box
from lookwhere_cli.models.chosen import Grid

EDGES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class Look:
    """Where to look, by the picture's path as it was given to `read_look`."""

    _boxes: Mapping[str, Float[Tensor, "boxes 4"]] = field(default_factory=dict)
    _masks: Mapping[str, str] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """The same for the same boxes, and for masks of the same places."""
        told = [(path, boxes.tolist()) for path, boxes in self._boxes.items()]
        return hashlib.sha256(repr((told, list(self._masks.items()))).encode()).hexdigest()

    def boxes(self, path: str) -> Float[Tensor, "boxes 4"] | None:
        """Left, top, right, bottom in pixels of the picture as displayed, at its full size; None if not known."""
        return self._boxes.get(path)

    def mask(self, path: str) -> NDArray[np.uint8] | None:
        """(height, width): 1 where to look, 0 where not, 255 where nobody knows; None if there is no mask.

        A mask of nothing but 0 and 255 is black and white: white is where to look.
        Raises PictureError or DataError, as `load_mask` does.
        """
        if path not in self._masks:
            return None
        mask = load_mask(self._masks[path])
        looked = (mask > 0).astype(np.uint8)
        if np.any((mask > 0) & (mask < IGNORED)):
            looked[mask == IGNORED] = IGNORED
        return looked


def read_look(source: Path, root: Path, paths: Sequence[str]) -> Look:
    """Read where to look in the pictures `paths`.

    source: a CSV of boxes (columns file, left, top, right, bottom, in pixels of the picture as displayed; a row per
    box, or one with the four left empty: nothing to look at), its files relative to its own folder or to `root`; or a
    folder of masks that lie in it as the pictures lie in `root` (a folder `images` may be left out, or be `masks`).
    Raises UsageError if it is not there, DataError if it can't be used or tells of none of the pictures.
    """
    if source.is_dir():
        look = Look(_masks=_masks_of(source, root, paths))
        hint = f"a mask lies in the folder as its picture lies in {str(root)!r}, and has its name but for the ending"
    elif source.exists():
        look = Look(_boxes=_boxes_of(read_table(source), root, paths))
        hint = f"its files are relative to its own folder or to {str(root)!r}"
    else:
        raise UsageError(f"{str(source)!r} is not there; name a CSV of boxes or a folder of masks.")
    if not (look._boxes or look._masks):
        raise DataError(f"{str(source)!r} tells where to look in none of the {len(paths)} pictures; {hint}.")
    return look


def covered(sample: Sample, grid: Grid, patch: int) -> Float32[Tensor, " cells"]:
    """The share, 0..1, of each cell that boxes and look cover, row by row; zeros if the sample has neither.

    The picture is grid x patch pixels. A pixel that a box touches counts whole. Pixels where nobody knows are left out.
    """
    height, width = grid[0] * patch, grid[1] * patch
    look = torch.zeros(height, width, dtype=torch.uint8) if sample.look is None else sample.look.clone()
    for left, top, right, bottom in () if sample.boxes is None else sample.boxes.tolist():
        look[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = 1
    counts = _counts(look, grid)
    return counts[:, 1] / counts[:, :IGNORED].sum(1).clamp(min=1)


def boundaries(mask: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, " cells"]:
    """How mixed each cell is, row by row: 1 - the share of its most frequent class, 0 up to 1 excluded.

    The mask's sides are multiples of the grid's. Ignored pixels (255) are left out; a cell of nothing else is 0.
    """
    counts = _counts(mask, grid)[:, :IGNORED]
    total = counts.sum(1)
    return (total - counts.amax(1)) / total.clamp(min=1)


def _counts(mask: UInt8[Tensor, "height width"], grid: Grid) -> Float32[Tensor, "cells 256"]:
    """How many pixels of each value each cell holds."""
    rows, columns = grid
    row = torch.arange(rows, dtype=torch.int32).repeat_interleave(mask.shape[0] // rows)
    column = torch.arange(columns, dtype=torch.int32).repeat_interleave(mask.shape[1] // columns)
    cell = row[:, None] * columns + column
    counts = torch.bincount((cell * 256 + mask).flatten(), minlength=rows * columns * 256)
    return counts.view(rows * columns, 256).float()


def _masks_of(folder: Path, root: Path, paths: Sequence[str]) -> dict[str, str]:
    """The mask of each picture that has one."""
    masks = {Path(mask).relative_to(folder).with_suffix(""): mask for mask in find_pictures([str(folder)])}
    found = ((path, _first(masks, _stems(Path(path), root))) for path in paths)
    return {path: mask for path, mask in found if mask is not None}


def _first(masks: Mapping[Path, str], stems: Iterable[Path]) -> str | None:
    return next((masks[stem] for stem in stems if stem in masks), None)


def _stems(path: Path, root: Path) -> list[Path]:
    """Where a picture's mask may lie, relative to the masks' folder and without its ending."""
    parts = Path(os.path.relpath(path, root)).with_suffix("").parts
    if "images" not in parts[:-1]:
        return [Path(*parts)]
    place = parts.index("images")
    return [Path(*parts[:place], *instead, *parts[place + 1 :]) for instead in (["images"], [], ["masks"])]


def _boxes_of(table: Table, root: Path, paths: Sequence[str]) -> dict[str, Float[Tensor, "boxes 4"]]:
    """The boxes of each picture that the table names."""
    pictures = {os.path.realpath(path): path for path in paths}
    edges = [_column(table, [edge]) for edge in EDGES]
    names: dict[str, list[Box]] = {}
    for row, name in zip(table.rows, table.texts(_column(table, FILE_COLUMNS)), strict=True):
        names.setdefault(name, []).extend(_box(table, row, [row.fields[edge].strip() for edge in edges]))
    found: dict[str, list[Box]] = {}
    for name, boxes in names.items():
        places = (os.path.realpath(folder / name) for folder in (table.file.parent, root))
        path = next((pictures[place] for place in places if place in pictures), None)
        if path is not None:
            found.setdefault(path, []).extend(boxes)
    return {path: torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) for path, boxes in found.items()}


def _box(table: Table, row: Row, texts: Sequence[str]) -> list[Box]:
    """The box that a row's fields (left, top, right, bottom) tell, or none if they are empty."""
    if not any(texts):
        return []
    try:
        left, top, right, bottom = map(float, texts)
    except ValueError:
        left = top = right = bottom = math.nan
    if not (-math.inf < left < right < math.inf and -math.inf < top < bottom < math.inf):
        raise DataError(
            f"Line {row.line} of {str(table.file)!r} is no box: {', '.join(EDGES)} are {', '.join(map(repr, texts))}; "
            "write pixels, with left < right and top < bottom."
        )
    return [(left, top, right, bottom)]


def _column(table: Table, names: Sequence[str]) -> str:
    column = table.column(names)
    if column is None:
        raise DataError(
            f"{str(table.file)!r} has no column {' or '.join(map(repr, names))}; a list of boxes needs file, "
            f"{', '.join(EDGES)}. There are: {listed(table.columns)}."
        )
    return column
