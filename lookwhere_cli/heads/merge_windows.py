"""One box for each thing that several windows of a picture show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lookwhere_cli.detections import Detections
from lookwhere_cli.heads.merge import merge_tiles
from lookwhere_cli.images.frame import Box


class Place(NamedTuple):
    """A window that was answered: its number, its box in full-resolution pixels, the share of it that holds something.

    margin: pixels from the window's edge within which a thing may be cut by it.
    """

    number: int
    box: Box
    content: float
    margin: float


def merge_windows(
    found: Sequence[Detections], places: Sequence[Place], size: tuple[int, int], iou: float
) -> Detections:
    """Merge boxes, in full-resolution pixels of the picture, of windows at `places`. size: the picture's."""
    merged, _ = merge_tiles(found, np.zeros((len(found), 2), np.int64), iou, sum(map(len, found)))
    return merged
