"""Writers of features: safetensors or Parquet, picture by picture, in bounded memory for a data set of any size."""

from __future__ import annotations

import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

from lookwhere_cli.errors import OutputError
from lookwhere_cli.machine import temporary_folder
from lookwhere_cli.output.parquet import ParquetGroups, row_schema, row_types
from lookwhere_cli.output.rows import Row
from lookwhere_cli.text import printable

if TYPE_CHECKING:  # --help imports this module, and no NumPy
    import numpy as np
    from numpy.typing import NDArray

Arrays: TypeAlias = "dict[str, NDArray[np.float32]]"
"""A picture's arrays by name."""
Place: TypeAlias = dict[str, int | float | None]
"""Where a window lies and how it was read: numbers by name, of which `level`, `mpp` and `gsd` are fractions."""
FRACTIONS = ("level", "mpp", "gsd")
NO_PLACE: Place = {}

PARQUET_BYTES = 32 << 20  # of arrays in a row group
COPY_BYTES = 1 << 20  # copied at a time
PARQUET_COLUMNS = (
    *("path", "model", "revision", "note", "error", "width", "height", "k", "macs", "macs_full"),
    *("grid", "coarse", "cells", "seconds", "time", "frame"),
)
"""The fields of a row that Parquet files of features have, in their order."""


class ArrayWriter(ABC):
    """Writes rows and their arrays to a binary stream, which stays open."""

    @abstractmethod
    def write(self, row: Row, arrays: Arrays, place: Place = NO_PLACE) -> None:
        """Add a picture, or a window.

        arrays: by name, of shape (dim,) or (rows, columns, ...); the same names in every call, none if the picture
        failed. place: of a window.
        """

    @abstractmethod
    def close(self) -> None:
        """Write what is still held, and what completes the format."""


class SafetensorsWriter(ArrayWriter):
    """One tensor for each name, with the arrays of all pictures end to end. Failed pictures are left out.

    Arrays of shape (dim,) become (pictures, dim). Arrays of shape (rows, columns, ...) become (cells of all pictures,
    ...), row by row, picture after picture; "grid", (pictures, 2) int32, holds each picture's rows and columns. Of
    windows there are a place's numbers, too, each (windows,) int32 or float32, 0 for what is not known.
    Metadata: "paths" (a JSON list), "model", "revision"; with films also "times" and "frames", lists likewise, null for
    other pictures.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._parts: dict[str, BinaryIO] = {}
        self._shapes: dict[str, list[int]] = {}
        self._dtypes: dict[str, str] = {}
        self._paths: list[str] = []
        self._moments: list[tuple[float | None, int | None]] = []
        self._model = {"model": "", "revision": ""}

    def write(self, row: Row, arrays: Arrays, place: Place = NO_PLACE) -> None:
        """Append the picture's arrays to temporary files, one for each name."""
        import numpy as np

        if row.error is not None:
            return
        self._paths.append(printable(row.path))
        self._moments.append((row.time, row.frame))
        self._model = {"model": printable(row.model), "revision": row.revision}
        with _temporary_files():
            for name, array in arrays.items():
                self._append(name, array.reshape(-1, *array.shape[2:]) if array.ndim > 1 else array[None])
            self._append("grid", np.array([row.grid], np.int32))
            for name, number in place.items():
                value = 0 if number is None else number
                self._append(name, np.array([value], np.float32 if name in FRACTIONS else np.int32))

    def close(self) -> None:
        """Write the header, then the tensors from their temporary files, which vanish."""
        header = json.dumps({"__metadata__": self._metadata(), **dict(self._entries())}).encode()
        header += b" " * (-len(header) % 8)
        self._stream.write(struct.pack("<Q", len(header)) + header)
        for part in self._parts.values():
            with _temporary_files():  # what is still buffered is written now
                part.seek(0)
            while piece := part.read(COPY_BYTES):
                self._stream.write(piece)
            part.close()

    def _append(self, name: str, array: NDArray[Any]) -> None:
        """Append along the first axis."""
        if name not in self._parts:
            self._parts[name] = TemporaryFile()  # noqa: SIM115 - `close` closes it
            self._shapes[name] = [0, *array.shape[1:]]
            self._dtypes[name] = "I32" if str(array.dtype) == "int32" else "F32"
        self._parts[name].write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        self._shapes[name][0] += len(array)

    def _metadata(self) -> dict[str, str]:
        moments = {}
        if any(frame is not None for _, frame in self._moments):
            times, frames = zip(*self._moments, strict=True)
            moments = {"times": json.dumps(times), "frames": json.dumps(frames)}
        return {"format": "pt", **self._model, "paths": json.dumps(self._paths), **moments}

    def _entries(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each tensor's name and its entry in the header."""
        start = 0
        for name, part in self._parts.items():
            stop = start + part.tell()
            yield name, {"dtype": self._dtypes[name], "shape": self._shapes[name], "data_offsets": [start, stop]}
            start = stop


@contextmanager
def _temporary_files() -> Iterator[None]:
    """Turn a failure to write a temporary file into an OutputError that names its folder."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Writing a temporary file in {temporary_folder()!r} failed: {error.strerror or error}; free some space "
            "there, or set TMPDIR to another folder."
        ) from error


class ParquetArrayWriter(ArrayWriter):
    """A row for each picture, failed ones with their error; an array is one list of numbers, cells row by row.

    Rows of windows also have the columns of a place.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Write nothing yet. Raises UsageError if pyarrow is missing."""
        self._groups = ParquetGroups(stream, "A .parquet file")
        self._bytes = 0
        self._names: list[str] = []
        self._places: list[str] = []

    def write(self, row: Row, arrays: Arrays, place: Place = NO_PLACE) -> None:
        """Add a row; once the arrays held exceed 32 MiB, write a row group."""
        self._names, self._places = self._names or list(arrays), self._places or list(place)
        self._groups.add(row.to_dict() | place | {name: array.ravel() for name, array in arrays.items()})
        self._bytes += sum(array.nbytes for array in arrays.values())
        if self._bytes > PARQUET_BYTES:
            self._groups.write_group(self._schema())
            self._bytes = 0

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._groups.close(self._schema())

    def _schema(self) -> Any:
        arrow = self._groups.arrow
        types = row_types(arrow)
        columns = {name: types[name] for name in PARQUET_COLUMNS}
        columns |= {name: arrow.float64() if name in FRACTIONS else arrow.int64() for name in self._places}
        return row_schema(arrow, columns | dict.fromkeys(self._names, arrow.list_(arrow.float32())))


ARRAY_WRITERS: dict[str, Callable[[BinaryIO], ArrayWriter]] = {
    ".safetensors": SafetensorsWriter,
    ".parquet": ParquetArrayWriter,
}
"""The writers by the ending of the file's name."""
