"""The records that come out, and their formats: plain text, JSON, JSON Lines, CSV and Parquet.

A row is the same object in every format. Writers take a binary stream, hold a bounded number of rows, and
leave something whole behind whenever they are closed, also halfway through a folder.
"""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, Protocol

from lookwhere_cli.errors import UsageError
from lookwhere_cli.text import on_one_line, printable

PARQUET_GROUP = 256  # rows held until they become one row group


@dataclass(frozen=True)
class Label:
    """One answer: the class's name, its index in the model's list, its probability in 0..1."""

    label: str
    index: int
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """The label as it stands in every format; the probability to six decimals."""
        return {"label": printable(self.label), "index": self.index, "probability": round(self.probability, 6)}


@dataclass(frozen=True)
class Share:
    """What part of a picture, 0..1 of its pixels, was given to a class: its name, its index in the model's list."""

    label: str
    index: int
    share: float

    def to_dict(self) -> dict[str, Any]:
        """The share as it stands in every format; to six decimals."""
        return {"label": printable(self.label), "index": self.index, "share": round(self.share, 6)}


@dataclass(frozen=True)
class Row:
    """What is known of one picture. One that could not be read has `error`, and nothing else but its `path`.

    Attributes:
        path: the picture's path as given (bytes that are not UTF-8 as lone surrogates, Python's way), or its name.
        width, height: pixels, of the picture as displayed (EXIF orientation applied).
        model, revision: the model's name, and the commit that it was pulled at or else the short hash of its weights.
        k: number of cells read.
        grid: (rows, columns) of the cells that the picture was divided into.
        cells: the (row, column) of each cell read, best first.
        labels: the answers, most probable first.
        macs, macs_full: multiply-adds spent, and those of the full ViT on all cells.
        seconds: wall time, the picture's share of its batch.
        coarse: (rows, columns) of the patches in which all of it was read once more, where it was.
        exit: which stage of a cascade answered, from 1; None where there is no cascade.
        shares: of a picture that was segmented, the classes that occur, the largest first.
        mask: the path of the file that holds its classes, where one was written.
        note: what was done to read it, for instance "first of 12 frames".
        error: one sentence that says why there is no answer.
    """

    path: str
    width: int = 0
    height: int = 0
    model: str = ""
    revision: str = ""
    k: int = 0
    grid: tuple[int, int] = (0, 0)
    cells: tuple[tuple[int, int], ...] = ()
    labels: tuple[Label, ...] = ()
    macs: int = 0
    macs_full: int = 0
    seconds: float = 0.0
    coarse: tuple[int, int] | None = None
    exit: int | None = None
    shares: tuple[Share, ...] = ()
    mask: str | None = None
    note: str | None = None
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON has it, keys in the fields' order; those from `coarse` on only where there is something."""
        if self.error is not None:
            return {"path": printable(self.path), "error": printable(self.error)}
        row: dict[str, Any] = {
            "path": printable(self.path),
            "width": self.width,
            "height": self.height,
            "model": printable(self.model),
            "revision": self.revision,
            "k": self.k,
            "grid": list(self.grid),
            "cells": [list(cell) for cell in self.cells],
            "labels": [label.to_dict() for label in self.labels],
            "macs": self.macs,
            "macs_full": self.macs_full,
            "seconds": round(self.seconds, 6),
        }
        rare = {
            "coarse": self.coarse and list(self.coarse),
            "exit": self.exit,
            "shares": [share.to_dict() for share in self.shares],
            "mask": None if self.mask is None else printable(self.mask),
            "note": self.note,
        }
        return row | {name: value for name, value in rare.items() if value}


COLUMNS = tuple(field.name for field in fields(Row))
NESTED = ("grid", "cells", "labels", "coarse", "shares")


class Writer(Protocol):
    """Takes rows one by one; `close` completes what makes the output whole, and leaves the stream open."""

    def write(self, row: Row) -> None:
        """Add a row. Raises OSError where the stream does."""

    def close(self) -> None:
        """Write what is still held and the format's ending."""


class TextWriter:
    """One line per picture: its path, its labels and shares with their percentage (or the error), between tabs."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, row: Row) -> None:
        """Add a line."""
        answers = [f"{label.label} {label.probability:.1%}" for label in row.labels]
        answers += [f"{share.label} {share.share:.1%}" for share in row.shares]
        parts = answers if row.error is None else [f"error: {row.error}"]
        self._stream.write("\t".join(on_one_line(part) for part in (row.path, *parts)).encode() + b"\n")

    def close(self) -> None:
        """Nothing is held back."""


class JsonLinesWriter:
    """One JSON object per line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, row: Row) -> None:
        """Add a line."""
        self._stream.write(_json(row.to_dict()).encode() + b"\n")

    def close(self) -> None:
        """Nothing is held back."""


class JsonWriter:
    """One JSON array of objects, an object per line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._before = b"[\n"

    def write(self, row: Row) -> None:
        """Add an element."""
        self._stream.write(self._before + _json(row.to_dict()).encode())
        self._before = b",\n"

    def close(self) -> None:
        """End the array."""
        self._stream.write(b"[]\n" if self._before == b"[\n" else b"\n]\n")


class CsvWriter:
    """A header and a record per picture, all columns always; lists are JSON in their column."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        stream.write(self._record(COLUMNS))

    def write(self, row: Row) -> None:
        """Add a record."""
        values = row.to_dict()
        values.update((name, _json(values[name])) for name in NESTED if name in values)
        self._stream.write(self._record([values.get(name, "") for name in COLUMNS]))

    def close(self) -> None:
        """Nothing is held back."""

    @staticmethod
    def _record(values: Any) -> bytes:
        line = io.StringIO()
        csv.writer(line, lineterminator="\r\n").writerow(values)  # it quotes what its line ends hold: both of them
        return line.getvalue().removesuffix("\r\n").encode() + b"\n"


class ParquetWriter:
    """A Parquet file with nested columns, a row group for every 256 pictures."""

    def __init__(self, stream: BinaryIO) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as missing:
            raise UsageError(
                "The format parquet needs pyarrow, which is not installed; "
                "install it with: pip install 'lookwhere[parquet]'."
            ) from missing
        self._arrow = pyarrow
        self._schema = _parquet_schema(pyarrow)
        self._held: list[dict[str, Any]] = []
        self._file = pyarrow.parquet.ParquetWriter(stream, self._schema)

    def write(self, row: Row) -> None:
        """Add a row; it reaches the stream with its group."""
        self._held.append(row.to_dict())
        if len(self._held) == PARQUET_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the last group and the file's footer."""
        if self._held:
            self._flush()
        self._file.close()

    def __del__(self) -> None:
        # Where writing failed there was no close; pyarrow would try it now, on a stream that is gone, and complain.
        if hasattr(self, "_file"):
            self._file.is_open = False

    def _flush(self) -> None:
        self._file.write_table(self._arrow.Table.from_pylist(self._held, schema=self._schema))
        self._held = []


def _parquet_schema(arrow: Any) -> Any:
    text, count = arrow.string(), arrow.int64()
    label, share = (
        arrow.list_(arrow.struct([("label", text), ("index", count), (value, arrow.float64())]))
        for value in ("probability", "share")
    )
    kinds = dict.fromkeys(("grid", "coarse"), arrow.list_(count))
    kinds |= {"cells": arrow.list_(arrow.list_(count)), "labels": label, "shares": share}
    kinds |= dict.fromkeys(("path", "model", "revision", "mask", "note", "error"), text)
    kinds |= {"seconds": arrow.float64()}
    return arrow.schema([(name, kinds.get(name, count)) for name in COLUMNS])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


WRITERS: dict[str, Callable[[BinaryIO], Writer]] = {
    "text": TextWriter,
    "json": JsonWriter,
    "jsonl": JsonLinesWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
}
