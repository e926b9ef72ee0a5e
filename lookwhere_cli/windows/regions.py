"""Regions of interest: the polygons of a GeoJSON file to which reading is limited."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from numpy import ndarray

from lookwhere_cli.images.source import Source
from lookwhere_cli.windows.grid import WindowGrid


def touched(source: Source, grid: WindowGrid, roi: str | None) -> Bool[ndarray, " windows"]:
    """Return which windows touch the polygons of the file `roi`; all of them without a file."""
    return np.ones(len(grid), np.bool_)
