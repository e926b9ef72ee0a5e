"""Files of rows are read by whoever asks, in no other thread."""

import io
import threading

import pyarrow as pa

from lookwhere_cli.jobs.parquet import open_parquet
from lookwhere_cli.jobs.parts import PartWriter, decoded, encoded, failures_in
from lookwhere_cli.jobs.tables import _values

SCHEMA = pa.schema([("path", pa.string()), ("error", pa.string())])


class Watched(io.BytesIO):
    """A file that notes which threads read it."""

    readers: set[int]

    def read(self, size=-1):
        self.readers.add(threading.get_ident())
        return super().read(size)


class OneFile:
    """A job's folder of one file."""

    def __init__(self):
        self.stream = Watched()
        self.stream.readers = set()

    def open(self, name):
        assert name == "part-00000.parquet"
        self.stream.seek(0)
        return self.stream


def folder_of(rows):
    folder = OneFile()
    writer = PartWriter(folder.stream, SCHEMA, "rows")
    for path, error in rows:
        writer.add({"path": path, "error": error})
    writer.close()
    return folder


def test_the_first_errors_are_read_in_this_thread_alone():
    folder = folder_of([("a.png", None), ("b.png", "damaged"), ("c.png", None), ("d.png", "empty"), ("e.png", "gone")])
    assert failures_in(folder, "part-00000.parquet", 2) == ["damaged", "empty"]
    assert folder.stream.readers == {threading.get_ident()}  # Arrow's own threads abort a process that ends


def test_a_column_is_read_in_this_thread_alone():
    folder = folder_of([(f"{number}.png", None) for number in range(600)])
    parquet = open_parquet(folder.open("part-00000.parquet"))
    assert list(_values(parquet, "path")) == [f"{number}.png" for number in range(600)]
    assert folder.stream.readers == {threading.get_ident()}


def test_a_row_is_what_was_encoded():
    record = {"path": "ü.png", "error": None}
    assert decoded(encoded(record, SCHEMA)) == [record]
