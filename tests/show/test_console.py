"""The console that every command prints with: what models and files bring along stays text."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from lookwhere_cli.show.console import PlainTextColumn, make_console, say

HOSTILE = "[red]x[/red] :smile: \x1b[31m\x07\x9b2J\u202e\r"
SHOWN = r"[red]x[/red] :smile: \x1b[31m\x07\x9b2J\u202e\r"


def printed(*renderables, width=80):
    console = make_console(width=width)
    console.file = io.StringIO()
    console.print(*renderables)
    return console.file.getvalue()


def table_of(text):
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    return table


@pytest.mark.parametrize(
    ("renderable", "count"),
    [(HOSTILE, 1), (table_of(HOSTILE), 4), (Group(HOSTILE, HOSTILE), 2)],
    ids=["text", "table", "group"],
)
def test_markup_emoji_codes_and_control_characters_are_printed_as_text(renderable, count):
    text = printed(renderable)
    assert text.count(SHOWN) == count
    assert text.replace("\n", "").isprintable()


def test_a_line_break_in_a_string_is_escaped_so_that_it_cannot_forge_a_line():
    assert printed("MIT\nresults 99 %") == "MIT\\nresults 99 %\n"


def test_text_objects_keep_their_line_breaks_and_escape_the_rest():
    assert printed(Text("a\x1bb\nc")) == "a\\x1bb\nc\n"


def test_a_column_of_a_progress_bar_prints_text():
    console = make_console()
    console.file = io.StringIO()
    console._force_terminal = True
    with Progress(PlainTextColumn("{task.description}"), console=console) as progress:
        progress.add_task(HOSTILE, total=1)
    assert SHOWN in console.file.getvalue()


def test_a_sentence_is_one_line_however_long():
    console = make_console(width=10)
    console.file = io.StringIO()
    say(console, "a sentence of many\nwords, " + HOSTILE)
    assert console.file.getvalue() == "a sentence of many\\nwords, " + SHOWN + "\n"


def test_a_quiet_console_prints_nothing(capsys):
    make_console(stderr=True, quiet=True).print("a")
    say(make_console(quiet=True), "b")
    assert capsys.readouterr() == ("", "")


@given(st.text(st.characters()))
def test_no_text_reaches_the_terminal_raw(text):
    shown = printed(text) + printed(table_of(text)) + printed(Text(text))
    assert re.sub("\n", "", shown).isprintable()
