"""Tables in the terminal and in Markdown."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from lookwhere_cli.show.tables import interval, markdown_table, milliseconds, percent, significant, terminal_table

COLUMNS = [("method", lambda one: one["name"]), ("setting", lambda one: one["how"]), ("ms", milliseconds)]
RECORDS: list[dict[str, Any]] = [
    {"name": "a method with a long name", "how": "10%", "seconds": 0.0123, "best": False},
    {"name": "a method with a long name", "how": "25%", "seconds": 2.31, "best": True},
    {"name": "b", "how": "", "seconds": None, "best": False},
]


def printed(width: int, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(terminal_table(COLUMNS, RECORDS, "best", "Some words."))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_first_cell_equal_to_the_one_above_is_empty() -> None:
    lines = printed(80).splitlines()
    assert [line.split() for line in lines[2:4]] == [["25%", "2310"], ["b"]]
    assert printed(80).count("a method with a long name") == 1


def test_records_are_bold_by_their_field() -> None:
    (bold,) = [line for line in printed(80, force_terminal=True).splitlines() if "25%" in line]
    assert "\x1b[1m" in bold


def test_a_narrow_table_folds_text_and_keeps_numbers_whole() -> None:
    text = printed(24)
    assert max(map(len, text.splitlines())) <= 24 and "2310" in text and "12.3" in text


def test_markdown_escapes_separators_line_breaks_and_html_in_cells() -> None:
    rows = [["x|y", "1"], ["a\n<b>\x1b", "2"]]
    assert markdown_table(["a", "b"], rows, text_columns=1) == [
        *("| a | b |", "| --- | ---: |", "| x\\|y | 1 |", "| a\\n&lt;b>\\x1b | 2 |")
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0043, "0.0043"), (0.21999, "0.22"), (3.104, "3.1"), (12.34, "12.3"), (2310, "2310")]
)
def test_numbers_have_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_shares_are_in_per_cent() -> None:
    assert (percent(0.1234), percent(None)) == ("12.3", "")
    assert interval({"low": 0.1, "high": 0.25}) == "10.0–25.0"
