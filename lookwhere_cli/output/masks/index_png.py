"""Masks as indexed PNGs: each pixel is the index of its class, and the palette holds the classes' colours."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lookwhere_cli.output.files import whole_file, writing


def write_png(file: Path, classes: UInt8[np.ndarray, "height width"], palette: UInt8[np.ndarray, "classes 3"]) -> None:
    """Write class indices as an indexed PNG with one byte for each pixel, completely or not at all.

    palette: red, green and blue of each class. Raises UsageError or OutputError if the file can't be written.
    """
    picture = Image.fromarray(classes)
    # With a short palette Pillow would pack several pixels into a byte, which some readers can't decode.
    picture.putpalette(palette.tobytes().ljust(3 * 256, b"\0"))
    with whole_file(file) as stream, writing(file):
        picture.save(stream, format="PNG")
