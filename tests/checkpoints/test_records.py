import json

import pytest

from lookwhere_cli.checkpoints.records import read_origin, read_results, read_training
from lookwhere_cli.errors import ModelError

RESULTS = {"accuracy": {"birds": 0.875, "cats": 1}, "pictures": {"birds": 80}, "command": "evaluate", "rows": [[]]}
PRETRAINING = {
    "teachers": ["vit_tiny"],
    "photographs": 1200,
    "views": 24000,
    "seconds": 600.5,
    "device": "cpu",
    "command": "lookwhere pretrain photos/",
    "recipe": {"steps": 3},
}
FINE_TUNING = {
    "start": "lookwhere-tiny-in1k",
    "teacher": None,
    "pictures": {"train": 235, "val": 79},
    "best": {"epoch": 14, "score": 0.9, "map": 0.9},
    "seconds": 1719,
    "device": "cpu",
    "command": "lookwhere train signs",
}
ORIGIN = {"repository": "a/b", "file": "c.pt", "commit": "1" * 40, "sha256": "2" * 64}
READERS = {"results.json": read_results, "training.json": read_training, "origin.json": read_origin}


@pytest.mark.parametrize("name", READERS)
def test_a_folder_without_a_record(name, tmp_path):
    assert READERS[name](tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("results.json", RESULTS),
        ("results.json", {"accuracy": {}}),
        ("results.json", {"kind": "labels", "pictures": 12, "command": ["a"]}),  # as `lookwhere evaluate` writes it
        ("training.json", PRETRAINING),
        ("training.json", FINE_TUNING),
        ("training.json", FINE_TUNING | {"teacher": "someone/birds"}),
        ("origin.json", ORIGIN),
    ],
)
def test_a_record_is_read_as_it_was_written(name, record, tmp_path):
    (tmp_path / name).write_text(json.dumps(record))
    assert READERS[name](tmp_path) == record


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not valid JSON"),
        (b"", "is not valid JSON"),
        (b"\xff\xfe{", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b'{"accuracy": ' + b"9" * 5000 + b"}", "is not valid JSON"),
        (b"[]", "holds a list; it must be a JSON object"),
        (b'"text"', "holds a str; it must be a JSON object"),
        (b"null", "holds a NoneType; it must be a JSON object"),
    ],
)
def test_a_file_that_is_no_json_object(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=f"{name}' {message}"):
        READERS[name](tmp_path)


NOT_NUMBERS = ["0.9", None, True, [1], {"x": 1}, float("nan"), float("inf"), 10**400, -(10**15)]


@pytest.mark.parametrize(
    ("name", "record", "key", "values"),
    [
        ("results.json", RESULTS, "accuracy", [[0.9], 0.9, "x", None, *({"birds": value} for value in NOT_NUMBERS)]),
        ("results.json", RESULTS, "pictures", [12, [12], {"birds": "many"}]),
        ("results.json", RESULTS, "command", [["a"], None, 7]),
        ("training.json", PRETRAINING, "teachers", ["vit", [7], None, {"vit": "x"}]),
        ("training.json", PRETRAINING, "photographs", NOT_NUMBERS),
        ("training.json", PRETRAINING, "views", NOT_NUMBERS),
        ("training.json", PRETRAINING, "seconds", NOT_NUMBERS),
        ("training.json", PRETRAINING, "device", [None, 7, []]),
        ("training.json", PRETRAINING, "command", [None, 7, []]),
        ("training.json", FINE_TUNING, "start", [None, 7, []]),
        ("training.json", FINE_TUNING, "teacher", [7, [], False]),
        ("training.json", FINE_TUNING, "pictures", [12, {}, {"train": 1}, {"train": 1, "val": "x"}]),
        ("training.json", FINE_TUNING, "best", [None, [], {"epoch": 1}, {"epoch": "x", "score": 1}]),
        ("origin.json", ORIGIN, "repository", [None, 7, []]),
        ("origin.json", ORIGIN, "file", [None, 7, []]),
        ("origin.json", ORIGIN, "commit", [None, 7, []]),
        ("origin.json", ORIGIN, "sha256", [None, 7, []]),
    ],
)
def test_a_value_of_another_type_is_named_with_what_it_must_be(name, record, key, values, tmp_path):
    for value in values:
        (tmp_path / name).write_text(json.dumps(record | {key: value}))
        with pytest.raises(
            ModelError, match=rf"{name}' is damaged: '{key}' is .*; it must be (a|an) .*\. Get the file"
        ):
            READERS[name](tmp_path)


@pytest.mark.parametrize("key", ORIGIN)
def test_an_origin_needs_all_of_its_keys(key, tmp_path):
    (tmp_path / "origin.json").write_text(json.dumps({name: value for name, value in ORIGIN.items() if name != key}))
    with pytest.raises(ModelError, match=f"'{key}' is null; it must be a string"):
        read_origin(tmp_path)


def test_a_long_value_is_quoted_in_part(tmp_path):
    (tmp_path / "results.json").write_text(json.dumps({"accuracy": "x" * 1000}))
    with pytest.raises(ModelError, match=r"'accuracy' is \"x{59}\.\.\.; it must be"):
        read_results(tmp_path)
