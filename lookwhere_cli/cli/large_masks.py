"""Masks of slides and rasters that are read as one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from lookwhere_cli.images.view import View
from lookwhere_cli.output.files import whole_file, writing
from lookwhere_cli.output.geo.writers import MaskGeoJsonWriter
from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.colours import colour_of_class
from lookwhere_cli.windows.placing import placement_of


def write_placed(file: Path, row: Row, classes: UInt8[np.ndarray, "height width"], view: View) -> None:
    """Write the outlines of a mask that covers a picture, in the picture's coordinates.

    Raises UsageError if shapely is missing; UsageError or OutputError if the file can't be written.
    """
    height, width = view.size
    with whole_file(file) as stream, writing(file):
        writer = MaskGeoJsonWriter(stream, colour_of_class)
        writer.write(row, classes, (0, 0, width, height), placement_of(view.source))
        writer.close()
