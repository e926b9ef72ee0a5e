"""Arrays of windows that are finished, kept in a file beside the output, so that a stopped run goes on from there.

The file begins with a line of JSON that says what it belongs to. After it come records: their length in eight bytes,
then the row of a window and its arrays, compressed. A record that a crash cut off is not used.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.interrupts import delayed
from lookwhere_cli.output.files import KEPT, writing
from lookwhere_cli.output.rows import Row
from lookwhere_cli.windows.exact import row_from_json, row_to_json

VERSION = 1
LEVEL = 1  # of compression: fast
_LENGTH = 8

NamedArrays: TypeAlias = dict[str, NDArray[Any]]


class KeptArrays:
    """The file for one picture. key: identifies the picture, the model and all options that decide its windows."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self._key = path, key
        self._stream: BinaryIO | None = None
        self._stop = 0

    @property
    def is_usable(self) -> bool | None:
        """True if the file holds windows of an earlier run, False if those are of other options; None without one."""
        try:
            with self.path.open("rb") as stream:
                return stream.readline() == self._head()
        except OSError:
            return None

    def finished(self) -> Iterator[tuple[Row, NamedArrays]]:
        """Yield the rows and arrays of windows that an earlier run finished, in order; none if it had other options."""
        self._stop = 0
        try:
            stream = self.path.open("rb")
        except OSError:
            return
        with stream:
            if stream.readline() != self._head():
                return
            self._stop = stream.tell()
            while (record := _read_record(stream)) is not None:
                self._stop = stream.tell()
                yield record

    def keep(self, row: Row, arrays: NamedArrays) -> None:
        """Keep a window, after those that `finished` yielded. Raises OutputError."""
        content = zlib.compress(_packed(row, arrays), LEVEL)
        with delayed(), writing(self.path):
            stream = self._opened()
            stream.write(len(content).to_bytes(_LENGTH, "little") + content)
            stream.flush()

    def close(self) -> None:
        """Close the file, and leave it to go on from there."""
        if self._stream is not None:
            with writing(self.path):
                self._stream.close()
            self._stream = None

    def remove(self) -> None:
        """Remove the file: the output is whole."""
        with suppress(OSError):
            self.close()
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self.path.open("r+b" if self._stop else "wb")
            if not self._stop:
                self._stream.write(self._head())
                self._stop = self._stream.tell()
            self._stream.seek(self._stop)
            self._stream.truncate()
        return self._stream

    def _head(self) -> bytes:
        return json.dumps({"version": VERSION, "key": self._key}).encode() + b"\n"


def kept_beside(file: Path) -> Path:
    """Return the path of what is kept for an output file."""
    return file.with_name(file.name + KEPT)


def _packed(row: Row, arrays: NamedArrays) -> bytes:
    kinds = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    head = json.dumps({"row": row_to_json(row, True), "arrays": kinds}).encode() + b"\n"
    return b"".join([head, *(np.ascontiguousarray(array).tobytes() for array in arrays.values())])


def _read_record(stream: BinaryIO) -> tuple[Row, NamedArrays] | None:
    """Return the next record; None at the end, and for one that is cut."""
    length = int.from_bytes(stream.read(_LENGTH), "little")
    content = stream.read(length)
    if not length or len(content) < length:
        return None
    try:
        head, _, rest = zlib.decompress(content).partition(b"\n")
        values = json.loads(head)
    except (zlib.error, ValueError):
        return None
    arrays: NamedArrays = {}
    for name, (dtype, shape) in values["arrays"].items():
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(rest[:count], dtype).reshape(shape)
        rest = rest[count:]
    return row_from_json(values["row"]), arrays
