"""Text from outside, made safe to write and to print."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.text import (
    escape_formula,
    on_one_line,
    printable,
    shared_name,
    shared_sentence,
    unescape_formula,
)


def test_on_one_line_escapes_control_characters_line_breaks_and_bytes_that_are_not_utf8():
    assert on_one_line("caf\udce9\n\x1b[31m.jpg") == r"caf\udce9\n\x1b[31m.jpg"


@pytest.mark.parametrize("letter", ["\u202e", "\u2028", "\x85", "\x9b", "\x07", "\t"])
def test_on_one_line_escapes_other_characters_that_move_or_reorder_text(letter):
    assert on_one_line(f"a{letter}b") == "a" + repr(letter)[1:-1] + "b"


@given(st.text(st.characters()))
def test_any_text_becomes_valid_unicode_and_one_printable_line(text):
    assert printable(text).encode().decode() == printable(text)
    assert on_one_line(text).isprintable()
    if text.isprintable():
        assert on_one_line(text) == printable(text) == text


@given(st.text(st.sampled_from("'=+-@\t\r\na"), max_size=5) | st.text())
def test_escaped_text_is_no_formula_and_comes_back(text):
    cell = escape_formula(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert unescape_formula(cell) == text
    assert cell == text or cell == "'" + text


@pytest.mark.parametrize("cell", ["a.jpg", "'a'.jpg", "-a.jpg", "=1", "", "'"])
def test_cells_that_were_never_escaped_are_read_unchanged(cell):
    assert unescape_formula(cell) == cell


@pytest.mark.parametrize(
    ("path", "shared"),
    [("photos/a.jpg", "photos/a.jpg"), ("/home/me/a.jpg", "a.jpg"), ("/home/me/photos/", "photos"), ("/", "/")],
)
def test_what_people_share_has_no_absolute_paths(path, shared):
    assert shared_name(path) == shared
    assert shared_sentence(f"'{path}' and \"{path}\" are empty.") == f"'{shared}' and \"{shared}\" are empty."


def test_text_with_bytes_that_are_no_text_can_be_written_and_read_again():
    from lookwhere_cli.encodings import decode_text, encode_text

    assert encode_text("caf\u00e9") == "caf\u00e9".encode()
    assert decode_text(encode_text("caf\udce9")) == r"caf\udce9"
