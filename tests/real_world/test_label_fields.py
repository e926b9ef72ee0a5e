"""Label fields as exporters write them are parsed or refused; no list ever becomes the name of a class."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError
from tests.data.test_examples import answers, table


def read(root: Path, *fields: str, multi: bool = False, header: str = "file,label", **options: object):
    quoted = ['"' + field.replace('"', '""') + '"' for field in fields]
    table(root, header, *(f"{index}.jpg,{field}" for index, field in enumerate(quoted)))
    return list(answers(read_examples(root, multi_label=multi, **options)).values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ('["cat", "dog"]', ["cat", "dog"]),
        ("['cat', 'dog']", ["cat", "dog"]),
        ('{"choices": ["cat", "dog"]}', ["cat", "dog"]),
        ("{'choices': ['cat', 'dog']}", ["cat", "dog"]),
        ('{"choices": "cat"}', ["cat"]),
        ('{"labels": ["traffic light"]}', ["traffic light"]),
        ('[{"choices": ["cat", "dog"]}]', ["cat", "dog"]),
        ("('cat', 'dog')", ["cat", "dog"]),
        ("('cat',)", ["cat"]),
        ("{'dog', 'cat'}", ["cat", "dog"]),
        ("\"['cat', 'dog']\"", ["cat", "dog"]),
        ('"[\\"cat\\"]"', ["cat"]),
        ("[1, 2]", ["1", "2"]),
        ("[]", []),
        ('{"choices": []}', []),
        ('["it\'s", "a, b"]', ["a, b", "it's"]),
    ],
)
def test_lists_and_objects_are_parsed(tmp_path, field, names):
    assert read(tmp_path, field, "plain", multi=True) == [names, ["plain"]]


@pytest.mark.parametrize(
    "field",
    [
        *("[cat, dog]", "['cat' 'dog']", '["cat"', "cat]", "{cat}", "{'cat': 1, 'dog': 0}", '{"a": 1}', "[None]"),
        *("[true]", "[[1, 2]]", '{"choices": {"a": 1}}', "[NaN]", "{", "[", "\"['cat'\"", "[1.0"),
    ],
)
@pytest.mark.parametrize("multi", [False, True])
def test_what_only_looks_like_a_list_is_refused(tmp_path, field, multi):
    with pytest.raises(DataError, match=r"Line 2 of .*(looks like a list|brackets)"):
        read(tmp_path, field, "cat", "dog", multi=multi)


def test_one_name_in_a_list_is_one_label_and_two_are_too_many(tmp_path):
    assert read(tmp_path, '["cat"]', "dog", '{"choices": ["cat"]}') == [["cat"], ["dog"], ["cat"]]
    with pytest.raises(DataError, match=r"Line 2 .* has 2 labels, 'cat, dog'; read the data with --multi-label"):
        read(tmp_path, '["cat", "dog"]', "dog")
    with pytest.raises(DataError, match="has no label"):
        read(tmp_path, "[]", "dog")


@pytest.mark.parametrize("name", ["cat [male]", "[unknown]", "{other}", "a{1}b", "x]y"])
@pytest.mark.parametrize("multi", [False, True])
def test_a_name_with_brackets_is_asked_about_and_taken_from_a_class_list(tmp_path, name, multi):
    with pytest.raises(DataError, match=r"class\s+list \(--classes\)"):
        read(tmp_path, name, "dog", multi=multi)
    (tmp_path / "names.txt").write_text(f"dog\n{name}\n")
    assert read(tmp_path, name, "dog", multi=multi, classes=tmp_path / "names.txt") == [[name], ["dog"]]


def test_names_beside_lists_are_not_divided_at_spaces(tmp_path):
    assert read(tmp_path, '["stop sign"]', "traffic light", multi=True) == [["stop sign"], ["traffic light"]]


@pytest.mark.parametrize("joined", ["cat;dog", "cat|dog", "cat, dog"])
def test_several_names_where_one_is_expected_are_asked_about(tmp_path, joined):
    with pytest.raises(DataError, match="--multi-label"):
        read(tmp_path, joined, "cat", "dog")
    assert read(tmp_path, joined, "bird") == [[joined], ["bird"]]  # a name with a comma, which no other row shares


@pytest.mark.parametrize("header", ["file,label,label", "file,label,Label", "label,file,LABEL"])
def test_two_columns_of_one_name_are_refused(tmp_path, header):
    table(tmp_path, header, "a.jpg,x,y", "b.jpg,y,x")
    with pytest.raises(DataError, match="two columns of one name"):
        read_examples(tmp_path)


@given(names=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, max_size=4))
def test_any_names_survive_json(names, tmp_path_factory):
    from lookwhere_cli.data.label_fields import _listed

    assert _listed(json.dumps(names), "") == tuple(names)
