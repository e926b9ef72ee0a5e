"""How a picture is opened for a model: its view, the selector's thumbnail, the extractor's coarse thumbnail."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.images.decode import Reserve, unlimited
from lookwhere_cli.images.frame import Grid, Reading, grid_for
from lookwhere_cli.images.view import Picture, View, open_view


class OpenedPicture(NamedTuple):
    """A picture that was decoded, with all that the selector needs.

    thumbnail: (height, width, 3) in 0..255. coarse: the coarse thumbnail in the same form, or None.
    seconds: wall time that opening took.
    """

    view: View
    thumbnail: NDArray[Any]
    coarse: NDArray[Any] | None
    seconds: float

    @property
    def nbytes(self) -> int:
        """Bytes that the picture holds: decoded pixels and thumbnails."""
        coarse = 0 if self.coarse is None else self.coarse.nbytes
        return self.view.nbytes + self.thumbnail.nbytes + coarse


@dataclass(frozen=True)
class PictureReader:
    """Opens pictures for one model.

    thumbnail_grid: from a picture's grid (rows, columns) to its thumbnail's grid of patches.
    """

    reading: Reading
    thumbnail_grid: Callable[[Grid], Grid]

    def prepare(self, picture: Picture, reserve: Reserve = unlimited) -> OpenedPicture:
        """Open a picture and resize its thumbnails.

        reserve: called with the bytes that decoding takes, once the header is read; it may wait. Raises PictureError.
        """
        started = time.perf_counter()
        view = open_view(picture, self.reading, reserve=reserve)
        return OpenedPicture(view, self.thumbnail(view), self.coarse_thumbnail(view), time.perf_counter() - started)

    def open(self, picture: Picture) -> View:
        """Open and decode a picture. Raises PictureError."""
        return open_view(picture, self.reading)

    def thumbnail(self, view: View) -> NDArray[Any]:
        """Resize the picture to what the selector reads: (height, width, 3) in 0..255."""
        rows, columns = self.thumbnail_grid(view.grid)
        return view.thumbnail(rows * self.reading.patch, columns * self.reading.patch)

    def coarse_thumbnail(self, view: View) -> NDArray[Any] | None:
        """Resize the picture to what the extractor reads beside the cells: (height, width, 3) in 0..255.

        None if it reads nothing beside them.
        """
        grid, patch = self.coarse_grid(view.grid), self.reading.patch
        return None if grid is None else view.thumbnail(grid[0] * patch, grid[1] * patch)

    def coarse_grid(self, grid: Grid) -> Grid | None:
        """Return the coarse thumbnail's grid of patches for a picture of `grid`; None without a coarse thumbnail."""
        size = self.reading.coarse_size
        return grid_for(*grid, size, self.reading.patch) if size else None

    def coarse_cells(self, grid: Grid) -> int:
        """Count the patches of the coarse thumbnail."""
        return math.prod(self.coarse_grid(grid) or (0,))

    def displayed(self, picture: Picture, height: int, width: int) -> NDArray[np.uint8]:
        """Return the whole picture as displayed, resized to (height, width, 3). Raises PictureError."""
        patch = self.reading.patch
        finest = -(-max(height, width) // patch) * patch
        reading = replace(self.reading, size=finest, mode="whole", thumbnail_filter="antialias")
        return open_view(picture, reading).thumbnail(height, width).astype(np.uint8, copy=False)
