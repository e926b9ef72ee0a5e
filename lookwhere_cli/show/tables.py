"""Tables of figures: columns that write a row's cell each, for the terminal or as Markdown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

Record = Mapping[str, Any]
"""An object of the JSON that a command writes."""
Column = tuple[str, Callable[[Record], str]]
"""A title, and what stands below it for a record."""


def terminal_table(columns: Sequence[Column], records: Iterable[Record], prominent: str, caption: str) -> Table:
    """For Rich: two columns of words, then figures; a first word that stays the same is written once.

    prominent: the field that says whether a record is in bold.
    """
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for place, (title, _) in enumerate(columns):
        table.add_column(title, justify="right" if place > 1 else "left", no_wrap=place > 1)
    before = ""
    for record in records:
        first, *others = [text(record) for _, text in columns]
        table.add_row("" if first == before else first, *others, style="bold" if record[prominent] else "")
        before = first
    return table


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], words: int = 2) -> list[str]:
    """Lines of Markdown: so many columns of words, then figures."""
    ruler = ["---"] * words + ["---:"] * (len(titles) - words)
    return [_line(titles), _line(ruler), *map(_line, rows)]


def significant(value: float) -> str:
    """Three digits that say something, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def milliseconds(record: Record) -> str:
    """A record's seconds; nothing where none were taken."""
    return "" if record["seconds"] is None else significant(1000 * record["seconds"])


def percent(value: float | None) -> str:
    """A share, 0..1; nothing for one that is not defined."""
    return "" if value is None else f"{100 * value:.1f}"


def interval(score: Record) -> str:
    """From low to high, in per cent."""
    return f"{percent(score['low'])}–{percent(score['high'])}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
