"""Masks of single objects as COCO's run lengths: from a part of a picture, from polygons, and to polygons.

Run lengths are {"size": [height, width], "counts": text}, of the whole picture as displayed, column by column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import require
from lookwhere_cli.output.masks.polygons import outlines, require_shapely

RunLengths: TypeAlias = dict[str, Any]
Size: TypeAlias = tuple[int, int]
"""Height and width of a picture."""
MOST_PIXELS = (1 << 32) - 1
"""Pixels of the largest picture: pycocotools counts in 32 bits."""


def encode_part(part: Bool[ndarray, "rows columns"], left: int, top: int, size: Size) -> RunLengths:
    """Return the run lengths of a mask that is false outside of a part of the picture; memory is that of the part.

    left, top: the first column and row of the part, which lies within the picture. Raises PictureError for a picture
    of more than MOST_PIXELS, UsageError without pycocotools.
    """
    height, width = size
    if height * width > MOST_PIXELS:
        raise PictureError(
            f"Masks of a picture of {width} x {height} pixels can't be written as run lengths, which end at "
            f"{MOST_PIXELS:,} pixels; leave out --masks, or cut the picture."
        )
    framed = np.pad(part.T.astype(np.int8), ((0, 0), (1, 1)))
    changes = np.diff(framed, axis=1)  # 1 where a run begins, -1 after its end; a column is a row here
    (columns, starts), (_, stops) = np.nonzero(changes == 1), np.nonzero(changes == -1)
    offset = (columns + left) * height + top
    ends = np.stack((offset + starts, offset + stops), axis=1)
    # A run that reaches the last row and one that begins in the first row of the next column are one.
    joins = np.flatnonzero(ends[1:, 0] == ends[:-1, 1])
    borders = np.delete(ends.ravel(), np.concatenate((2 * joins + 1, 2 * joins + 2)))
    end = () if len(borders) and borders[-1] == height * width else (height * width,)
    counts = np.diff(borders, prepend=0, append=end)
    return _compressed({"size": [height, width], "counts": counts.tolist()}, size)


def encode_outline(outline: Any, size: Size) -> RunLengths:
    """Return the run lengths of an outline as COCO has it: a list of polygons, or run lengths, also as numbers.

    Raises UsageError without pycocotools.
    """
    mask = _library()
    if isinstance(outline, dict):
        return outline if isinstance(outline["counts"], str) else _compressed(outline, size)
    return _as_text(mask.merge(mask.frPyObjects(outline, *size)))


def encode_box(box: Sequence[float], size: Size) -> RunLengths:
    """Return the run lengths of the pixels whose centres lie in a box: left, top, right, bottom."""
    edges = (math.ceil(edge - 0.5) for edge in box)
    left, top, right, bottom = (
        min(max(0, edge), most) for edge, most in zip(edges, (size[1], size[0]) * 2, strict=True)
    )
    return encode_part(np.ones((max(0, bottom - top), max(0, right - left)), np.bool_), left, top, size)


def decode(mask: RunLengths) -> Bool[ndarray, "height width"]:
    """Return the mask of the whole picture. Raises UsageError without pycocotools."""
    part, left, top = decode_part(mask)
    pixels = np.zeros(mask["size"], np.bool_)
    pixels[top : top + len(part), left : left + part.shape[1]] = part
    return pixels


def decode_part(mask: RunLengths) -> tuple[Bool[ndarray, "rows columns"], int, int]:
    """Return the smallest part that holds all of the mask, its first column and its first row.

    Memory is that of the columns which the mask touches. Raises UsageError without pycocotools.
    """
    left, top, width, height = (int(edge) for edge in _library().toBbox(mask))
    rows = mask["size"][0]
    borders = np.cumsum(_counts(mask["counts"]), dtype=np.int64)[:-1]
    changes = np.zeros(rows * width + 1, np.int8)
    inside = borders - rows * left
    np.add.at(changes, inside[0::2], 1)
    np.add.at(changes, inside[1::2], -1)
    pixels = np.cumsum(changes[:-1], dtype=np.int8).reshape(width, rows).T.astype(np.bool_)
    return pixels[top : top + height], left, top


def _counts(text: str) -> list[int]:
    """Return the lengths of runs that a text holds, in COCO's coding: five bits a letter, from the third one on as the
    difference to the last but one.
    """
    counts: list[int] = []
    value = shift = 0
    for code in (ord(letter) - 48 for letter in text):
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    return counts


def area_of(mask: RunLengths) -> int:
    """Return the number of pixels in a mask. Raises UsageError without pycocotools."""
    return int(_library().area(mask))


def polygons_of(mask: RunLengths) -> Any:
    """Return a shapely MultiPolygon along the edges of the mask's pixels, with holes; empty for an empty mask.

    Coordinates are those of `outlines`. Raises UsageError without pycocotools or shapely.
    """
    shapely = require_shapely()
    part, left, top = decode_part(mask)
    shapes = outlines(part.astype(np.uint8)) if part.size else {}
    return shapely.transform(shapes.get(1, shapely.MultiPolygon()), lambda points: points + np.array((left, top)))


def _compressed(mask: RunLengths, size: Size) -> RunLengths:
    return _as_text(_library().frPyObjects(mask, *size))


def _as_text(mask: RunLengths) -> RunLengths:
    return {"size": [int(side) for side in mask["size"]], "counts": mask["counts"].decode()}


def _library() -> Any:
    return require("pycocotools.mask", "detect", "A mask of an object")
