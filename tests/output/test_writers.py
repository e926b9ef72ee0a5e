"""Rows in every format hold the same values, and hostile text stays within its field."""

import csv
import io
import json
import sys
from dataclasses import replace

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import UsageError
from lookwhere_cli.output.arrays import ArrayWriter
from lookwhere_cli.output.rows import NESTED, SCHEMA, Label, Row
from lookwhere_cli.output.spreadsheet import CsvColumns
from lookwhere_cli.output.writers import PARQUET_GROUP, WRITERS, RowWriter, make_writer
from lookwhere_cli.text import unescape_formula
from tests.output.rows import CLASSIFIED, COARSE, EARLY_EXIT, FAILED, SEGMENTED

COLUMNS = CsvColumns(labels=2, classes=("sky", "tree", "car", "road"), full=True)


def written(format, rows, columns=COLUMNS):
    stream = io.BytesIO()
    writer = make_writer(format, stream, columns)
    for row in rows:
        writer.write(row)
    writer.close()
    return stream.getvalue()


def csv_records(rows):
    return list(csv.DictReader(io.StringIO(written("csv", rows).decode(), newline="")))


@pytest.mark.parametrize("base", [RowWriter, ArrayWriter])
def test_a_writer_must_implement_write_and_close(base):
    with pytest.raises(TypeError, match="abstract"):
        base()


def without_empty_fields(value):
    """Parquet has all fields of a struct."""
    if isinstance(value, dict):
        return {name: without_empty_fields(one) for name, one in value.items() if one is not None}
    return [without_empty_fields(one) for one in value] if isinstance(value, list) else value


def test_all_formats_hold_the_same_objects():
    rows = [CLASSIFIED, FAILED, SEGMENTED, COARSE, EARLY_EXIT]
    expected = [row.to_dict() for row in rows]
    assert json.loads(written("json", rows)) == expected
    assert [json.loads(line) for line in written("jsonl", rows).splitlines()] == expected
    table = pyarrow.parquet.read_table(io.BytesIO(written("parquet", rows))).to_pylist()
    version = {"schema": SCHEMA}
    assert [version | without_empty_fields(row) for row in table] == expected
    for record, row in zip(csv_records(rows), expected, strict=True):
        values = {name: json.loads(cell) if name in NESTED else cell for name, cell in record.items() if cell}
        fields = {name: value if name in NESTED else str(value) for name, value in row.items() if name != "schema"}
        assert {name: value for name, value in values.items() if name in fields} == fields


def test_parquet_has_the_version_of_the_format_in_its_metadata():
    schema = pyarrow.parquet.read_schema(io.BytesIO(written("parquet", [])))
    assert schema.metadata[b"schema"] == str(SCHEMA).encode()


def test_csv_has_one_number_or_one_text_in_a_cell():
    columns = CsvColumns(labels=2, classes=("sky", "tree", "car", "road"))
    text = written("csv", [CLASSIFIED, FAILED, SEGMENTED], columns).decode()
    classified, failed, segmented = csv.DictReader(io.StringIO(text, newline=""))
    assert list(classified)[:6] == ["path", "label", "probability", "label_2", "probability_2", "share_sky"]
    assert classified["label"] == "tabby, cat" and float(classified["probability"]) == 0.871235
    assert (classified["label_2"], classified["probability_2"]) == ("dog", "0.1")
    assert [segmented[f"share_{name}"] for name in columns.classes] == ["0.25", "0.0", "0.0", "0.75"]
    assert failed["share_sky"] == failed["label"] == "" and failed["error"]
    assert "[" not in text


def test_text_has_one_line_for_each_picture_with_tabs_between_fields():
    assert written("text", [CLASSIFIED, FAILED, SEGMENTED]).decode().splitlines() == [
        "a b.jpg\ttabby, cat 87.1%\tdog 10.0%",
        "b.jpg\terror: 'b.jpg' is empty (0 bytes).",
        "c.jpg\troad 75.0%\tsky 25.0%",
    ]


@pytest.mark.parametrize("format", WRITERS)
def test_output_without_rows_is_complete(format):
    content = written(format, [])
    if format == "json":
        assert json.loads(content) == []
    elif format == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(content)).num_rows == 0
    else:
        assert content == (",".join(COLUMNS.titles()).encode() + b"\n" if format == "csv" else b"")


@given(st.text(st.characters(), max_size=20))
def test_any_name_gives_valid_json_csv_parquet_and_one_line_of_text(name):
    row = Row(name, labels=(Label(name, 0, 1.0),))
    (read,) = json.loads(written("json", [row]))
    assert json.loads(written("jsonl", [row])) == read
    read["path"].encode()
    text = written("text", [row]).decode()
    assert text.endswith("\n") and text.count("\n") == 1
    assert len(text.rstrip("\n").split("\t")) == 2
    (record,) = csv_records([row])
    assert unescape_formula(record["path"]) == read["path"]
    assert json.loads(record["labels"]) == read["labels"]
    assert pyarrow.parquet.read_table(io.BytesIO(written("parquet", [row]))).num_rows == 1


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "'=", "''@"])
def test_text_in_csv_cannot_become_a_formula(start):
    text = f'{start}HYPERLINK("http://a.b")'
    row = replace(CLASSIFIED, path=text, model=text, mask=text, note=text, labels=(Label(text, 0, 1.0),))
    for record in csv_records([row, Row(text, error=text)]):
        assert all(
            cell == "" or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for cell in record.values()
        )
        assert record["path"] == f"'{text}"


def test_a_class_in_the_header_of_csv_cannot_become_a_formula():
    header = written("csv", [], CsvColumns(classes=("=1+1",))).decode()
    assert ",share_=1+1," in header


def test_numbers_and_other_text_in_csv_have_no_quote_before_them():
    (record,) = csv_records([replace(CLASSIFIED, path="'a' = b.jpg", seconds=-1.5)])
    assert (record["path"], record["seconds"], record["k"]) == ("'a' = b.jpg", "-1.5", "2")


def test_parquet_writes_a_row_group_for_every_256_rows():
    stream = io.BytesIO()
    writer = WRITERS["parquet"](stream)
    for _ in range(2 * PARQUET_GROUP + 1):
        writer.write(CLASSIFIED)
        assert len(writer._groups) < PARQUET_GROUP
    writer.close()
    assert pyarrow.parquet.ParquetFile(stream).num_row_groups == 3


def test_parquet_without_pyarrow_names_the_extra_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"The format parquet needs pyarrow.*pip install 'lookwhere\[parquet\]'"):
        WRITERS["parquet"](io.BytesIO())
