"""Which part of a picture is read, and on which grid of cells."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Mode = Literal["whole", "crop", "stretch"]
Grid = tuple[int, int]
"""(rows, columns) of cells."""
Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels; an edge may lie between pixels."""


@dataclass(frozen=True)
class Reading:
    """How pictures are read for a model.

    patch: side of a patch in pixels. size: the grid holds about size x size pixels; a multiple of patch.
    mode: "whole" keeps the picture's shape, "crop" takes the centre square, "stretch" squashes all into a square.
    crop_share: share of the shorter side that the centre square keeps, in (0, 1].
    thumbnail_filter: "antialias", or "alias" for models that were trained on thumbnails without antialiasing.
    max_pixels: a file with more pixels (width x height) is refused before it is decoded.
    background: red, green, blue (0..255) behind transparent pixels.
    coarse_size: besides the chosen cells, the whole picture is read at about coarse_size x coarse_size pixels; a
    multiple of patch, or 0 to read the cells only.
    bands: of rasters, from 1: one as grey, or three as red, green and blue; empty for the usual ones.
    stretch_range: the values of rasters that become 0 and 255; None: percentiles of each band, 8 bits as they are.
    grid: (rows, columns) on which all of every picture is read, whatever its shape; None: `size` and `mode` tell.
    """

    patch: int
    size: int
    mode: Mode = "whole"
    crop_share: float = 0.9
    thumbnail_filter: Literal["antialias", "alias"] = "antialias"
    max_pixels: int = 250_000_000
    background: tuple[int, int, int] = (255, 255, 255)
    coarse_size: int = 0
    bands: tuple[int, ...] = ()
    stretch_range: tuple[float, float] | None = None
    grid: Grid | None = None


@lru_cache(maxsize=4096)
def grid_for(height: int, width: int, size: int, patch: int) -> Grid:
    """Choose (rows, columns), each at least 1, that give a height x width picture about size x size pixels.

    rows * columns is at most (size // patch) ** 2. The choice minimises the sum of two logarithms: of the ratio by
    which the picture's shape is distorted, and of the ratio by which the grid's side falls short of size // patch.
    """
    if height > width:
        return grid_for(width, height, size, patch)[::-1]
    side = max(1, size // patch)

    def distortion(grid: Grid) -> float:
        """Return how far cells are from square, as the absolute logarithm of their aspect ratio; 0 is square."""
        return abs(math.log(grid[1] * height / (grid[0] * width)))

    def cost(grid: Grid) -> tuple[float, float]:
        """Return what is minimised: distortion and missing cells, as logarithms; then distortion alone."""
        shortfall = math.log(side / math.sqrt(grid[0] * grid[1]))
        return round(distortion(grid) + shortfall, 9), distortion(grid)

    # For a given number of rows, the cost falls until the columns fit the picture's shape, and rises from there.
    candidates = {
        (rows, min(columns, side * side // rows))
        for rows in range(1, side + 1)
        for columns in (rows * width // height, rows * width // height + 1)
    }
    return min(sorted(candidates), key=cost)


def frame_for(height: int, width: int, reading: Reading) -> tuple[Grid, Box]:
    """Return the grid and the box that is read of a height x width picture, in its pixels."""
    if reading.grid is not None:
        return reading.grid, (0.0, 0.0, float(width), float(height))
    if reading.mode == "whole":
        return grid_for(height, width, reading.size, reading.patch), (0.0, 0.0, float(width), float(height))
    side = max(1, reading.size // reading.patch)
    if reading.mode == "stretch":
        return (side, side), (0.0, 0.0, float(width), float(height))
    half = reading.crop_share * min(height, width) / 2
    return (side, side), (width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half)
