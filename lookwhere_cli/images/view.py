"""A picture as the models ask for it: a thumbnail of all that is read, and the patches of some cells."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, TypeGuard, cast

import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray
from numpy.typing import NDArray
from PIL import Image

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.array import picture_of
from lookwhere_cli.images.decode import Reserve, decode_file, decode_picture, unlimited
from lookwhere_cli.images.frame import Box, Reading, frame_for
from lookwhere_cli.images.large.open import check_has_data, open_large, plain_notes
from lookwhere_cli.images.large.parts import decode_part, parse_window
from lookwhere_cli.images.names import EncodedPicture, in_message, picture_name
from lookwhere_cli.images.resample import alias
from lookwhere_cli.images.source import CellSource, FilmMoment, LoadingSource, Source, is_source
from lookwhere_cli.images.tensor import TorchTensor

Picture: TypeAlias = EncodedPicture | bytearray | memoryview | Image.Image | NDArray[Any] | TorchTensor | Source
"""A path, the content of a picture file, a file open in binary mode, a PIL image, an array or a torch tensor, or any
other source."""
TAKEN = "a path, a file's content, a file open in binary mode, a PIL image, an array, a torch tensor, or a source"
_COLUMN_DIMENSIONS, _BATCH_DIMENSIONS = 1, 4


class View:
    """A source, the part of it that is read, and the grid of cells on that part.

    source: the pixels. path: the picture's path, or "". notes: for its row, such as "first of 12 frames".
    moment: of a film's frame, else None.
    size: (height, width) as displayed, at full resolution. grid: (rows, columns).
    box: (left, top, right, bottom) of the part that is read, in displayed full-resolution pixels.
    """

    def __init__(self, source: Source, reading: Reading) -> None:
        self.source = source
        self.path: str = getattr(source, "path", "")
        self.notes: tuple[str, ...] = getattr(source, "notes", ())
        self.moment: FilmMoment | None = getattr(source, "moment", None)
        self.size = source.size
        self.grid, self.box = frame_for(*source.size, reading)
        self._patch, self._aliased = reading.patch, reading.thumbnail_filter == "alias"

    @property
    def nbytes(self) -> int:
        """The bytes of pixels that the source holds in memory."""
        return held_bytes(self.source)

    @property
    def original(self) -> Picture:
        """What to open to see all pixels: the source of a frame, which holds them; of any other picture its path."""
        return self.path if self.moment is None else self.source

    def thumbnail(
        self, height: int, width: int
    ) -> UInt8[ndarray, "height width 3"] | Float32[ndarray, "height width 3"]:
        """Return the box, resampled to height x width, RGB 0..255: uint8, or float32 with the "alias" filter."""
        if self._aliased:
            return alias(self._at_grid_size(), height, width)
        return self._read(self.box, height, width)

    def patches(self, cells: Int[ndarray, " k"]) -> UInt8[ndarray, "k patch patch 3"]:
        """Return the pixels, RGB 0..255, of cells, each row * columns + column, in their order."""
        if isinstance(self.source, CellSource):
            return self.source.read_cells(self.box, self.grid, self._patch, np.asarray(cells))
        patches = np.empty((len(cells), self._patch, self._patch, 3), np.uint8)
        for patch, row, column in zip(patches, *np.unravel_index(cells, self.grid), strict=True):
            patch[:] = self._read(self._cell(int(row), int(column)), self._patch, self._patch)
        return patches

    def _at_grid_size(self) -> UInt8[ndarray, "h w 3"]:
        """Return the box at `patch` x `patch` pixels per cell."""
        rows, columns = self.grid
        patches = self.patches(np.arange(rows * columns)).reshape(rows, columns, self._patch, self._patch, 3)
        return patches.swapaxes(1, 2).reshape(rows * self._patch, columns * self._patch, 3)

    def _cell(self, row: int, column: int) -> Box:
        left, top, right, bottom = self.box
        height, width = (bottom - top) / self.grid[0], (right - left) / self.grid[1]
        return left + column * width, top + row * height, left + (column + 1) * width, top + (row + 1) * height

    def _read(self, box: Box, height: int, width: int) -> UInt8[ndarray, "height width 3"]:
        """Read from the source. Raises PictureError if it returns something of another type or shape."""
        pixels = self.source.read(box, height, width)
        if not isinstance(pixels, np.ndarray) or pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
            kind = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
            raise PictureError(
                f"{in_message(self.path)} can't be used: read(box, {height}, {width}) of its source returned {kind} "
                f"instead of a uint8 array of shape {(height, width, 3)}."
            )
        return pixels


def held_bytes(picture: object) -> int:
    """Return the bytes of pixels that a source holds in memory, as far as it tells."""
    return int(getattr(picture, "nbytes", 0)) if is_source(picture) else 0


def is_picture(value: object) -> TypeGuard[Picture]:
    """Return True if a value is of a kind that `open_view` takes; False for several pictures and everything else.

    An array, a tensor or a column of a table with one dimension (of paths) or four (a batch) is several pictures.
    """
    if isinstance(value, str | os.PathLike | bytes | bytearray | memoryview | Image.Image) or is_source(value):
        return True
    if hasattr(value, "__array__"):
        return len(getattr(value, "shape", ())) not in (_COLUMN_DIMENSIONS, _BATCH_DIMENSIONS)
    return callable(getattr(value, "read", None))


def one_or_several(pictures: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Return pictures to iterate over; one picture is a list of one. Raises UsageError for anything else."""
    if is_picture(pictures):
        return [pictures]
    if isinstance(pictures, Iterable) and not isinstance(pictures, Mapping):
        return cast("Iterable[Picture]", pictures)
    name = type(pictures).__name__
    raise UsageError(f"A value of type {name} is no picture, and not several; give {TAKEN}, or a list of them.")


def open_view(picture: Picture, reading: Reading, name: str = "", reserve: Reserve = unlimited) -> View:
    """Open a picture of any kind; slides and rasters are read by windows, all other files decoded.

    Raises PictureError if it can't be read.

    name: path of the picture in rows and messages; by default, that of the file. reserve: called before a file is
    decoded. Arrays and tensors: see `view_of`.
    """
    name = name or picture_name(picture)
    if isinstance(picture, LoadingSource):
        picture = picture.load(reading, reserve)
    if is_source(picture):
        return View(picture, reading)
    if isinstance(picture, bytearray | memoryview):
        picture = bytes(picture)
    if isinstance(picture, Image.Image) or (hasattr(picture, "__array__") and not isinstance(picture, str | bytes)):
        return view_of(cast("Image.Image | NDArray[Any]", picture), reading, name)
    if not is_picture(picture):
        raise PictureError(f"A value of type {type(picture).__name__} is not a picture; give {TAKEN}.")
    path = os.fsdecode(picture) if isinstance(picture, str | os.PathLike) else None
    if path is not None and parse_window(path) is not None:
        return View(decode_part(path, reading), reading)
    if path is not None and (large := open_large(path, reading)) is not None:
        check_has_data(large)
        return View(large, reading)
    source = decode_file(cast("EncodedPicture", picture), reading, name, reserve)
    source.notes += plain_notes(cast("EncodedPicture", picture), reading)
    return View(source, reading)


def view_of(picture: Image.Image | NDArray[Any] | TorchTensor, reading: Reading, name: str = "") -> View:
    """View a Pillow image, an array or a tensor; `name` is its path in rows and messages. Raises PictureError.

    Arrays: (h, w), (h, w, 1), (h, w, 3) RGB or (h, w, 4) RGBA; bool, uint8 (0..255), uint16 (0..65535, or fewer bits if
    14 or fewer are used), or float: 0..1, or with values outside of that, scaled from its own finite range; notes name
    both. A tensor's channels may also come first.
    """
    notes: tuple[str, ...] = ()
    if not isinstance(picture, Image.Image):
        picture, notes = picture_of(picture, name)
    return View(decode_picture(picture, reading, name, notes), reading)
