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
from lookwhere_cli.output.rows import COLUMNS, NESTED, PARQUET_GROUP, WRITERS, Label, Row, Share

GOOD = Row(
    path="a b.jpg",
    width=640,
    height=480,
    model="tiny",
    revision="0123456789ab",
    k=2,
    grid=(12, 16),
    cells=((3, 4), (0, 15)),
    labels=(Label("tabby, cat", 281, 0.8712345678), Label("dog", 3, 0.1)),
    macs=600,
    macs_full=1200,
    seconds=0.0123456789,
)
SEGMENTED = replace(
    GOOD, path="c.jpg", labels=(), shares=(Share("road", 3, 0.75), Share("sky", 0, 0.25)), mask="masks/caf\udce9.png"
)
COARSE = replace(GOOD, path="d.jpg", coarse=(3, 4))
LEFT = replace(GOOD, path="e.jpg", exit=1)
BAD = Row("b.jpg", error="'b.jpg' is empty (0 bytes).")


def written(format, rows):
    stream = io.BytesIO()
    writer = WRITERS[format](stream)
    for row in rows:
        writer.write(row)
    writer.close()
    return stream.getvalue()


def test_a_row_has_the_documented_keys_in_their_order():
    assert list(GOOD.to_dict()) == [
        *("path", "width", "height", "model", "revision", "k", "grid", "cells", "labels", "macs", "macs_full"),
        "seconds",
    ]
    assert GOOD.to_dict()["labels"][0] == {"label": "tabby, cat", "index": 281, "probability": 0.871235}
    assert Row("a.gif", note="first of 3 frames").to_dict()["note"] == "first of 3 frames"


def test_shares_and_mask_are_there_only_where_something_was_segmented():
    told = SEGMENTED.to_dict()
    assert list(told) == [*GOOD.to_dict(), "shares", "mask"]
    assert told["shares"][0] == {"label": "road", "index": 3, "share": 0.75}
    assert told["mask"] == r"masks/caf\udce9.png"


def test_what_was_read_coarsely_is_told_only_where_it_was():
    told = COARSE.to_dict()
    assert list(told) == [*GOOD.to_dict(), "coarse"] and told["coarse"] == [3, 4]


def test_the_exit_is_told_only_of_a_cascade():
    told = LEFT.to_dict()
    assert list(told) == [*GOOD.to_dict(), "exit"] and told["exit"] == 1


def test_a_failed_row_has_path_and_error_only():
    assert BAD.to_dict() == {"path": "b.jpg", "error": "'b.jpg' is empty (0 bytes)."}


def test_json_lines_and_parquet_and_csv_hold_the_same_objects():
    rows = [GOOD, BAD, SEGMENTED, COARSE, LEFT]
    expected = [row.to_dict() for row in rows]
    assert json.loads(written("json", rows)) == expected
    assert [json.loads(line) for line in written("jsonl", rows).splitlines()] == expected
    table = pyarrow.parquet.read_table(io.BytesIO(written("parquet", rows))).to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in table] == expected
    records = list(csv.DictReader(io.StringIO(written("csv", rows).decode())))
    assert tuple(records[0]) == COLUMNS
    nested = {name: json.loads(records[2][name]) for name in NESTED if name != "coarse"}
    assert nested == {name: expected[2][name] for name in nested}
    assert json.loads(records[3]["coarse"]) == [3, 4] and records[0]["coarse"] == ""
    assert json.loads(records[0]["labels"]) == expected[0]["labels"] and records[0]["shares"] == ""
    assert (records[4]["exit"], records[0]["exit"]) == ("1", "")
    assert records[1]["error"] == BAD.error and records[1]["labels"] == ""


def test_text_is_one_line_per_picture_between_tabs():
    assert written("text", [GOOD, BAD, SEGMENTED]).decode().splitlines() == [
        "a b.jpg\ttabby, cat 87.1%\tdog 10.0%",
        "b.jpg\terror: 'b.jpg' is empty (0 bytes).",
        "c.jpg\troad 75.0%\tsky 25.0%",
    ]


@pytest.mark.parametrize("format", WRITERS)
def test_no_rows_are_whole_as_well(format):
    content = written(format, [])
    if format == "json":
        assert json.loads(content) == []
    elif format == "parquet":
        assert pyarrow.parquet.read_table(io.BytesIO(content)).num_rows == 0
    else:
        assert content == (",".join(COLUMNS).encode() + b"\n" if format == "csv" else b"")


@given(st.text(st.characters(), max_size=20))
def test_any_name_gives_valid_json_csv_parquet_and_one_line_of_text(name):
    row = Row(name, labels=(Label(name, 0, 1.0),))
    (read,) = json.loads(written("json", [row]))
    assert json.loads(written("jsonl", [row])) == read
    read["path"].encode()
    text = written("text", [row]).decode()
    assert text.endswith("\n") and text.count("\n") == 1
    assert len(text.rstrip("\n").split("\t")) == 2
    assert len(list(csv.reader(io.StringIO(written("csv", [row]).decode(), newline="")))) == 2
    assert pyarrow.parquet.read_table(io.BytesIO(written("parquet", [row]))).num_rows == 1


def test_parquet_holds_no_more_than_a_group_of_rows():
    stream = io.BytesIO()
    writer = WRITERS["parquet"](stream)
    for _ in range(2 * PARQUET_GROUP + 1):
        writer.write(GOOD)
        assert len(writer._held) < PARQUET_GROUP
    writer.close()
    assert pyarrow.parquet.ParquetFile(stream).num_row_groups == 3


def test_parquet_without_pyarrow_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'lookwhere\[parquet\]'"):
        WRITERS["parquet"](io.BytesIO())
