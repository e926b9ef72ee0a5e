"""Parquet files that Python opened, read in the calling thread alone.

pyarrow reads ahead in threads of its own. One that lets go of a Python file while the interpreter ends aborts the
process, whatever its exit code was to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from lookwhere_cli.extras import require


def open_parquet(stream: BinaryIO, asker: str = "A job") -> Any:
    """Return a ParquetFile of an open file. asker: who needs pyarrow, for messages. Raises pyarrow's errors."""
    return require("pyarrow.parquet", "parquet", asker).ParquetFile(stream, pre_buffer=False)


def read_columns(parquet: Any, columns: Sequence[str] | None = None) -> Any:
    """Return a file's rows as a pyarrow Table; columns: their names, None for all."""
    return parquet.read(columns, use_threads=False)


def read_group(parquet: Any, group: int, columns: Sequence[str] | None = None) -> Any:
    """Return a row group as a pyarrow Table; columns: their names, None for all."""
    return parquet.read_row_group(group, columns, use_threads=False)


def read_batches(parquet: Any, rows: int, columns: Sequence[str]) -> Iterator[Any]:
    """Yield columns of a file as pyarrow RecordBatches of at most as many rows."""
    yield from parquet.iter_batches(rows, columns=columns, use_threads=False)
