"""Opening the files of masks, whose values are taken as they are stored: Pillow spreads those of few bits."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.encodings import pointer_sentence, starts_as_pointer
from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.png import SIGNATURE, open_leniently

_FEW_BITS = re.compile(r"L;([24])[IR]*")
_FULL = {"L": 255, "I": 65535}


def open_mask(path: str) -> Image.Image:
    """Open a mask, also a PNG whose texts or checksums Pillow refuses. Raises what Pillow raises, and PictureError."""
    try:
        return Image.open(path)
    except (OSError, ValueError):
        if starts_as_pointer(Path(path)):
            raise PictureError(pointer_sentence(f"The mask {path!r}")) from None
        with Path(path).open("rb") as stream:
            if stream.read(len(SIGNATURE)) != SIGNATURE:
                raise
            picture = open_leniently(stream, path)
    return picture


def stored_values(picture: Image.Image) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return what turns the decoded values of a mask into those that its file holds. Call it before decoding.

    Pillow spreads grey of 2 or 4 bits, and that of a PGM with another maximum, over 0..255 or 0..65535.
    """
    tile = next(iter(getattr(picture, "tile", ())), None)
    arguments = tile[3] if tile else None
    first, *others = arguments if isinstance(arguments, tuple) and arguments else (arguments,)
    if (few := _FEW_BITS.fullmatch(str(first))) is not None:
        return _scaled(2 ** int(few[1]) - 1, 255)
    if tile and str(tile[0]).startswith("ppm") and picture.mode in _FULL and others:
        return _scaled(others[0], _FULL[picture.mode])
    return lambda values: values


def _scaled(highest: int, spread: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda values: np.rint(values * (highest / spread)).astype(np.int32)
