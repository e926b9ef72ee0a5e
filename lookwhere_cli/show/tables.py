"""Tables of measurements, for the terminal or as Markdown, from columns that write one cell for each record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from rich.table import Table

from lookwhere_cli.text import on_one_line

JsonObject: TypeAlias = Mapping[str, Any]
"""An object in the JSON that a command writes."""
Column: TypeAlias = tuple[str, Callable[[JsonObject], str]]
"""A title, and a function that writes the cell of a record."""


def terminal_table(columns: Sequence[Column], records: Iterable[JsonObject], bold: str, caption: str) -> Table:
    """Return a Rich table: two columns of text, then numbers; a first cell equal to the one above it is left empty.

    bold: the field that is true for records in bold type.
    """
    table = Table(box=None, pad_edge=False, caption=caption, caption_justify="left")
    for place, (title, _) in enumerate(columns):
        table.add_column(title, justify="right" if place > 1 else "left", no_wrap=place > 1)
    above = ""
    for record in records:
        first, *others = [write(record) for _, write in columns]
        table.add_row("" if first == above else first, *others, style="bold" if record[bold] else "")
        above = first
    return table


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int = 2) -> list[str]:
    """Return the lines of a Markdown table: columns of text, then numbers."""
    ruler = ["---"] * text_columns + ["---:"] * (len(titles) - text_columns)
    return [_line(titles), f"| {' | '.join(ruler)} |", *map(_line, rows)]


def markdown_text(text: str) -> str:
    """Return text from outside for one line of Markdown: no line breaks, no HTML tags."""
    return on_one_line(text).replace("<", "&lt;")


def significant(value: float) -> str:
    """Write a number with at least three significant digits and without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def milliseconds(record: JsonObject) -> str:
    """Write a record's seconds in milliseconds; an empty cell if they were not measured."""
    return "" if record["seconds"] is None else significant(1000 * record["seconds"])


def percent(value: float | None) -> str:
    """Write a share in 0..1 in per cent; an empty cell for None."""
    return "" if value is None else f"{100 * value:.1f}"


def interval(score: JsonObject) -> str:
    """Write a score's interval in per cent."""
    return f"{percent(score['low'])}–{percent(score['high'])}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(markdown_text(cell).replace('|', chr(92) + '|') for cell in cells)} |"
