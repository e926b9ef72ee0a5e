"""Masks as indexed PNGs: a pixel is its class's index, a palette gives it its colour."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.output.files import whole_file, writing


def write_png(file: Path, classes: NDArray[np.uint8], palette: NDArray[np.uint8]) -> None:
    """Write class indices (height, width) as an indexed PNG of one byte per pixel, whole or not at all.

    palette: (classes, 3), each class's red, green and blue. Raises UsageError or OutputError where it can't be written.
    """
    picture = Image.fromarray(classes)
    # With a short palette Pillow would pack several pixels into a byte, which not every reader undoes.
    picture.putpalette(palette.tobytes().ljust(3 * 256, b"\0"))
    with whole_file(file) as stream, writing(file):
        picture.save(stream, format="PNG")
