"""Arrays of windows that are finished, kept in a file beside the output, so that a stopped run goes on from there.

The file begins with two lines of JSON: what it belongs to, and the plan of the picture's windows. After them come
records: the length of a record, the number of its window and a sum to check it by, then the window's row and arrays,
compressed. A record that a crash cut off is not used.
"""

from __future__ import annotations

import json
import struct
import zlib
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.interrupts import delayed
from lookwhere_cli.output.files import KEPT, writing
from lookwhere_cli.output.rows import Row
from lookwhere_cli.windows.exact import plan_from_json, plan_to_json, row_from_json, row_to_json
from lookwhere_cli.windows.plan import WindowPlan

VERSION = 2
LEVEL = 1  # of compression: fast
_HEAD = struct.Struct("<QQI")  # of a record: bytes, number of the window, sum

NamedArrays: TypeAlias = dict[str, NDArray[Any]]


class KeptArrays:
    """The file for one picture. key: identifies the picture, the model and all options that decide its windows.

    `plan` or `begin` comes first. is_usable: afterwards, True if the file held windows of an earlier run, False if
    those are of other options or lie elsewhere; None without any.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self._key = path, key
        self.is_usable: bool | None = None
        self._lines: bytes = b""
        self._stream: BinaryIO | None = None
        self._stop = 0
        self._numbers, self._places = np.zeros(0, np.int64), np.zeros(0, np.int64)

    @property
    def belongs(self) -> bool | None:
        """True if the file was begun for the same key, False if for another one; None without a file."""
        try:
            with self.path.open("rb") as stream:
                return stream.readline() == self._first_line()
        except OSError:
            return None

    def plan(self, blank: WindowPlan) -> WindowPlan | None:
        """Return the plan of an earlier run; None if there is none that fits. blank: the same picture's plan."""
        self.is_usable = self.belongs
        if not self.is_usable:
            return None
        with self.path.open("rb") as stream:
            self._lines = stream.readline() + (second := stream.readline())
            if not second.endswith(b"\n"):  # nothing was finished
                self.is_usable = None
                return None
            try:
                plan = plan_from_json(json.loads(second), blank)
            except (ValueError, KeyError, TypeError):
                self.is_usable = False
                return None
            self._index(stream)
        return plan

    def begin(self, plan: WindowPlan) -> None:
        """Keep a new plan, which is written with the first window."""
        self._lines = self._first_line() + json.dumps(plan_to_json(plan)).encode() + b"\n"
        self._stop = 0

    def leave(self) -> None:
        """Create the file if there is none, so that the same command is known again."""
        if self.belongs is None:
            with writing(self.path):
                self.path.write_bytes(self._first_line())

    @property
    def numbers(self) -> Int64[ndarray, " finished"]:
        """The numbers of the windows that an earlier run finished."""
        return self._numbers

    def read(self, number: int) -> tuple[Row, NamedArrays]:
        """Return the row and the arrays of a window that an earlier run finished."""
        with self.path.open("rb") as stream:
            stream.seek(int(self._places[np.searchsorted(self._numbers, number)]))
            length, _, _ = _HEAD.unpack(stream.read(_HEAD.size))
            return _unpacked(zlib.decompress(stream.read(length)))

    def keep(self, number: int, row: Row, arrays: NamedArrays) -> None:
        """Keep a window. Raises OutputError."""
        content = zlib.compress(_packed(row, arrays), LEVEL)
        with delayed(), writing(self.path):
            stream = self._opened()
            stream.write(_HEAD.pack(len(content), number, zlib.crc32(content)) + content)
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

    def _index(self, stream: BinaryIO) -> None:
        """Find the records, in 16 bytes of memory for each."""
        found = array("q")
        self._stop = stream.tell()
        for place, number in _whole_records(stream):
            found.extend((number, place))
            self._stop = stream.tell()
        numbers, places = np.frombuffer(found, np.int64).reshape(-1, 2).T
        order = np.argsort(numbers, kind="stable")
        self._numbers, self._places = numbers[order], places[order]

    def _opened(self) -> BinaryIO:
        if self._stream is None:
            self._stream = self.path.open("r+b" if self._stop else "wb")
            if not self._stop:
                self._stream.write(self._lines)
                self._stop = self._stream.tell()
            self._stream.seek(self._stop)
            self._stream.truncate()
        return self._stream

    def _first_line(self) -> bytes:
        return json.dumps({"version": VERSION, "key": self._key}).encode() + b"\n"


def kept_beside(file: Path) -> Path:
    """Return the path of what is kept for an output file."""
    return file.with_name(file.name + KEPT)


def _packed(row: Row, arrays: NamedArrays) -> bytes:
    kinds = {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()}
    head = json.dumps({"row": row_to_json(row, True), "arrays": kinds}).encode() + b"\n"
    return b"".join([head, *(np.ascontiguousarray(array).tobytes() for array in arrays.values())])


def _unpacked(content: bytes) -> tuple[Row, NamedArrays]:
    head, _, rest = content.partition(b"\n")
    values = json.loads(head)
    arrays: NamedArrays = {}
    for name, (dtype, shape) in values["arrays"].items():
        count = int(np.prod(shape)) * np.dtype(dtype).itemsize
        arrays[name] = np.frombuffer(rest[:count], dtype).reshape(shape)
        rest = rest[count:]
    return row_from_json(values["row"]), arrays


def _whole_records(stream: BinaryIO) -> Iterator[tuple[int, int]]:
    """Yield where each record begins, and the number of its window, up to the end or to one that is cut."""
    while True:
        place, head = stream.tell(), stream.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return
        length, number, check = _HEAD.unpack(head)
        content = stream.read(length)
        if len(content) < length or zlib.crc32(content) != check:
            return
        yield place, number
