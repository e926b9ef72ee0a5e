"""Pictures of a list's entries, read by the predictor's threads when it opens them."""

from __future__ import annotations

import bisect
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from lookwhere_cli.errors import PictureError
from lookwhere_cli.extras import require
from lookwhere_cli.images.view import Picture
from lookwhere_cli.jobs.entries import Entry
from lookwhere_cli.jobs.parquet import open_parquet, read_group
from lookwhere_cli.jobs.remote import StoreError, file_system, is_remote, is_web, retried

GROUPS = 2
"""Row groups of Parquet that are held: threads read neighbouring rows, which may lie on both sides of a border."""


class Located:
    """A picture inside another file or in a remote store: like a file open in binary mode that is read when needed."""

    def __init__(self, path: str, fetch: Callable[[], bytes]) -> None:
        self.path, self._fetch = path, fetch

    def seekable(self) -> bool:
        """There is nothing to seek in before it is read."""
        return False

    def read(self) -> bytes:
        """Return the picture's content."""
        return self._fetch()


class Pictures:
    """Opens entries.

    failure: the error of a remote store that keeps failing; the rows of pictures which it did not give are no answers.
    """

    def __init__(self) -> None:
        self.failure: StoreError | None = None
        self._groups: OrderedDict[tuple[str, str, int], Any] = OrderedDict()
        self._files: dict[str, tuple[Any, list[int]]] = {}
        self._lock = threading.Lock()

    def picture(self, entry: Entry) -> Picture:
        """Return what a predictor opens: a path, or a `Located`."""
        if entry.file is None:
            return entry.path
        return cast("Picture", Located(entry.path, lambda: self._fetched(entry)))

    def _fetched(self, entry: Entry) -> bytes:
        """Return a picture's content. Raises OSError or PictureError."""
        assert entry.file is not None
        try:
            if entry.column is not None:
                return self._from_parquet(entry.file, entry.column, entry.place or 0, entry.path)
            if is_remote(entry.file):
                return _from_store(entry.file, entry.place, entry.length)
            return _from_disk(entry.file, entry.place or 0, entry.length or 0)
        except StoreError as error:
            if is_web(entry.file):
                raise PictureError(f"{entry.path!r} can't be fetched: {error.__cause__ or error}.") from error
            self.failure = error
            raise

    def _from_parquet(self, file: str, column: str, row: int, path: str) -> bytes:
        with self._lock:
            parquet, starts = self._file(file)
            group = bisect.bisect_right(starts, row) - 1
            value = self._group(file, column, group, parquet)[row - starts[group]].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if not content:
            raise PictureError(f"{path!r} holds no bytes.")
        return cast("bytes", content)

    def _group(self, file: str, column: str, group: int, parquet: Any) -> Any:
        """Return the column's values in a row group; the last few groups are held."""
        key = (file, column, group)
        if key not in self._groups:
            self._groups[key] = _read_group(file, parquet, group, column).column(0)
            while len(self._groups) > GROUPS:
                self._groups.popitem(last=False)
        return self._groups[key]

    def _file(self, file: str) -> tuple[Any, list[int]]:
        """Return an open Parquet file, and the first row of each of its row groups. One file is open at a time."""
        if file not in self._files:
            self._files.clear()
            self._groups.clear()
            parquet = _open_parquet(file)
            self._files[file] = (parquet, _starts(parquet.metadata))
        return self._files[file]


def _open_parquet(file: str) -> Any:
    if not is_remote(file):
        return require("pyarrow.parquet", "parquet", f"{file!r}").ParquetFile(file)
    system, path = file_system(file)
    return retried(lambda: open_parquet(system.open(path, "rb"), f"{file!r}"), f"Reading {file}")


def _read_group(file: str, parquet: Any, group: int, column: str) -> Any:
    if not is_remote(file):
        return parquet.read_row_group(group, columns=[column])
    return retried(lambda: read_group(parquet, group, [column]), f"Reading {file}")


def _starts(metadata: Any) -> list[int]:
    starts = [0]
    for group in range(metadata.num_row_groups - 1):
        starts.append(starts[-1] + metadata.row_group(group).num_rows)
    return starts


def _from_store(address: str, place: int | None, length: int | None) -> bytes:
    system, path = file_system(address)
    stop = None if place is None or length is None else place + length
    return cast("bytes", retried(lambda: system.cat_file(path, start=place, end=stop), f"Reading {address}"))


def _from_disk(file: str, place: int, length: int) -> bytes:
    with Path(file).open("rb") as stream:
        stream.seek(place)
        return stream.read(length)


def is_relative(entry: Entry) -> bool:
    """Return True if where an entry lies depends on the current folder."""
    place = entry.file or entry.path
    return not (is_remote(place) or os.path.isabs(place))  # noqa: PTH117 - it may hold any bytes
