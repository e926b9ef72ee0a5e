import io

import pytest
from rich.console import Console

from lookwhere_cli.show.phrases import Phrases

PHRASES = Phrases(["92 of 247 cells read (37%)", "0.59 GMACs", "41 ms"], "exit 2: ")


def lines(width, **options):
    console = Console(file=io.StringIO(), width=width)
    console.print(PHRASES, **options)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [36, 40, 80])
def test_lines_break_between_phrases_only(width):
    assert " ".join(lines(width)) == "exit 2: 92 of 247 cells read (37%), 0.59 GMACs, 41 ms"
    assert all(len(line) <= width and not line.startswith("ms") for line in lines(width))
    assert len(lines(width)) == (1 if width == 80 else 2)


def test_no_phrase_is_alone_on_a_line_if_another_way_is_as_short():
    console = Console(file=io.StringIO(), width=40)
    console.print(
        Phrases(["86 of 187 cells read (46%)", "0.57 GMACs", "29 ms", "2.1x fewer operations than the full ViT"])
    )
    assert console.file.getvalue().splitlines() == [
        *("86 of 187 cells read (46%),", "0.57 GMACs, 29 ms,", "2.1x fewer operations than the full ViT"),
    ]


def test_a_phrase_wider_than_the_line_has_one_of_its_own():
    console = Console(file=io.StringIO(), width=10)
    console.print(Phrases(["one", "two", "quite a long one", "three"]))
    first, *_, last = console.file.getvalue().splitlines()
    assert (first, last) == ("one, two,", "three")


def test_a_line_that_may_not_wrap_is_one(width=20):
    assert len(lines(width, soft_wrap=True)) == 1
