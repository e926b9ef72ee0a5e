"""Files of features: safetensors or Parquet, written picture by picture, so that a data set of any size fits."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.rows import Row
from lookwhere_cli.text import printable

if TYPE_CHECKING:  # this is imported for --help, too
    import numpy as np
    from numpy.typing import NDArray

Arrays: TypeAlias = "dict[str, NDArray[np.float32]]"
"""A picture's arrays by name."""

PARQUET_BYTES = 32 << 20  # of features held until they become one row group
COPIED = 1 << 20  # bytes at a time


class ArrayWriter(Protocol):
    """Takes pictures one by one; `close` completes the file, and leaves the stream open."""

    def write(self, row: Row, arrays: Arrays) -> None:
        """Add a picture: (dim,) or (rows, columns, ...) by name, the same names each time; none for a failed one."""

    def close(self) -> None:
        """Write what is still held, and the format's ending."""


class SafetensorsWriter:
    """Arrays of all pictures, end to end. Pictures that failed are left out.

    An array of (dim,) per picture becomes (pictures, dim); one of (rows, columns, ...) becomes (cells of all pictures,
    ...), and "grid" (pictures, 2) says how many rows and columns each has: picture i's cells follow those of i - 1, row
    by row. Metadata: "paths" (a JSON list), "model", "revision".
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._parts: dict[str, BinaryIO] = {}
        self._shapes: dict[str, list[int]] = {}
        self._paths: list[str] = []
        self._model = {"model": "", "revision": ""}

    def write(self, row: Row, arrays: Arrays) -> None:
        """Add a picture to files of its arrays, which vanish with this process."""
        import numpy as np

        if row.error is not None:
            return
        self._paths.append(printable(row.path))
        self._model = {"model": printable(row.model), "revision": row.revision}
        for name, array in arrays.items():
            self._add(name, array.reshape(-1, *array.shape[2:]) if array.ndim > 1 else array[None])
        self._add("grid", np.array([row.grid], np.int32))

    def close(self) -> None:
        """Write the header, and the arrays behind it."""
        header: dict[str, Any] = {"__metadata__": {"format": "pt", **self._model, "paths": json.dumps(self._paths)}}
        start = 0
        for name, part in self._parts.items():
            stop = start + part.tell()
            kind = "I32" if name == "grid" else "F32"
            header[name] = {"dtype": kind, "shape": self._shapes[name], "data_offsets": [start, stop]}
            start = stop
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._stream.write(struct.pack("<Q", len(text)) + text)
        for part in self._parts.values():
            part.seek(0)
            while piece := part.read(COPIED):
                self._stream.write(piece)
            part.close()

    def _add(self, name: str, array: NDArray[Any]) -> None:
        """Append to the first axis."""
        if name not in self._parts:
            self._parts[name] = TemporaryFile()  # noqa: SIM115 - closed when all is written
            self._shapes[name] = [0, *array.shape[1:]]
        self._parts[name].write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        self._shapes[name][0] += len(array)


class ParquetArrayWriter:
    """A row per picture, failed ones with their error; each array is one list of numbers, cells row by row."""

    def __init__(self, stream: BinaryIO) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as missing:
            raise UsageError(
                "A .parquet file needs pyarrow, which is not installed; install it with: "
                "pip install 'lookwhere[parquet]', or write .safetensors."
            ) from missing
        self._arrow, self._stream = pyarrow, stream
        self._held: list[dict[str, Any]] = []
        self._bytes = 0
        self._file: Any = None
        self._names: list[str] = []

    def write(self, row: Row, arrays: Arrays) -> None:
        """Add a row; it reaches the stream with its group."""
        self._names = self._names or list(arrays)
        told = row.to_dict()
        told.pop("labels", None)
        self._held.append(told | {name: array.ravel() for name, array in arrays.items()})
        self._bytes += sum(array.nbytes for array in arrays.values())
        if self._bytes > PARQUET_BYTES:
            self._flush()

    def close(self) -> None:
        """Write the last group and the file's footer."""
        self._flush()
        self._file.close()

    def __del__(self) -> None:
        # Where writing failed there was no close; pyarrow would try it now, on a stream that is gone, and complain.
        if getattr(self, "_file", None) is not None:
            self._file.is_open = False

    def _flush(self) -> None:
        schema = self._schema()
        if self._file is None:
            self._file = self._arrow.parquet.ParquetWriter(self._stream, schema)
        self._file.write_table(self._arrow.Table.from_pylist(self._held, schema=schema))
        self._held, self._bytes = [], 0

    def _schema(self) -> Any:
        text, count, arrow = self._arrow.string(), self._arrow.int64(), self._arrow
        kinds = dict.fromkeys(("path", "model", "revision", "note", "error"), text)
        kinds |= dict.fromkeys(("width", "height", "k", "macs", "macs_full"), count)
        kinds |= dict.fromkeys(("grid", "coarse"), arrow.list_(count))
        kinds |= {"cells": arrow.list_(arrow.list_(count)), "seconds": arrow.float64()}
        kinds |= dict.fromkeys(self._names, arrow.list_(arrow.float32()))
        return arrow.schema(list(kinds.items()))


ARRAY_WRITERS: dict[str, Callable[[BinaryIO], ArrayWriter]] = {
    ".safetensors": SafetensorsWriter,
    ".parquet": ParquetArrayWriter,
}
"""By the file's ending."""
