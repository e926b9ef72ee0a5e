"""Colour pictures of floats (PFM), of which Pillow reads only the grey ones."""

import math
import re
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from lookwhere_cli.images.levels import range_of, to_levels
from lookwhere_cli.images.notes import add_note
from lookwhere_cli.images.samples import Samples

_HEADER = re.compile(rb"PF\s+(\d{1,9})\s+(\d{1,9})\s+([-+.\deE]{1,20})\s")
_HEADER_BYTES = 80
_VALUE_BYTES = 4


def is_colour_pfm(start: bytes) -> bool:
    """Return True if a file that starts with these bytes may be a colour PFM."""
    return start[:2] == b"PF" and start[2:3].isspace()


class ColourPfmFile(ImageFile.ImageFile):
    """A colour PFM as a Pillow image file, its values scaled from their own finite range."""

    format = "PFM"
    format_description = "Portable float map in colour"
    decoder_pixel_bytes = 3.0 * 2 * _VALUE_BYTES

    def _open(self) -> None:
        assert self.fp is not None
        header = _HEADER.match(self.fp.read(_HEADER_BYTES))
        if header is None or not math.isfinite(scale := float(header[3])) or scale == 0:
            raise SyntaxError("not a colour PFM")
        self._start, self._order = header.end(), "<" if scale < 0 else ">"
        self._size, self._mode = (int(header[1]), int(header[2])), "RGB"

    def load(self) -> Any:
        """Decode the pixels, once; they are stored from the bottom row up."""
        if self._im is None:
            picture, notes = self._decoded()
            self.im = picture.im
            for note in notes:
                add_note(self, note)
        return Image.Image.load(self)

    def _decoded(self) -> tuple[Image.Image, tuple[str, ...]]:
        assert self.fp is not None
        self.fp.seek(self._start)
        data = self.fp.read(3 * _VALUE_BYTES * self.width * self.height)
        if len(data) < 3 * _VALUE_BYTES * self.width * self.height:
            raise OSError("image file is truncated")
        values = np.frombuffer(data, f"{self._order}f4").reshape(self.height, self.width, 3)[::-1]
        span = range_of(iter([values]), Samples(), values.dtype)
        return Image.fromarray(to_levels(values, span)), span.notes
