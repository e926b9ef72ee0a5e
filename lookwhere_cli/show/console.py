"""The console of every command: it interprets no markup and prints control characters as escapes."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Task, TextColumn
from rich.segment import Segment
from rich.text import Text

from lookwhere_cli.text import on_one_line

_PLAIN = {ord(letter): sign for letters, sign in (("▀▄█▁▂▃▅▆▇", "#"), ("░▒▓", "+"), ("·•", ".")) for letter in letters}
"""What maps and bars are drawn with, for terminals that lack these letters."""


class SafeConsole(Console):
    r"""A Rich console for text from outside: labels, file names and metadata of models.

    A plain string, also as a table's cell, title or caption, is one line: `[red]` and `:smile:` stay as they are, and
    control characters, line breaks included, become escapes like `\x1b`. Lines that belong together are a `Group`.
    """

    def render_str(self, text: str, **style: Any) -> Text:
        """Return `text`, escaped by `on_one_line`, as a `Text`. Tables and `print` call this for every string."""
        return super().render_str(on_one_line(text), **style)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of any renderable, control characters within a line escaped."""
        segments = map(_escaped, super().render(renderable, options))
        return segments if self.encoding.startswith("utf") else (_in_encoding(one, self.encoding) for one in segments)


class PlainTextColumn(TextColumn):
    """A progress bar's column of text, escaped by `on_one_line`; markup is not interpreted."""

    def render(self, task: Task) -> Text:
        """Return the column's text for `task`."""
        return Text(on_one_line(self.text_format.format(task=task)), style=self.style, justify=self.justify)


def make_console(*, stderr: bool = False, quiet: bool = False, width: int | None = None) -> SafeConsole:
    """Return a console on standard output, or on standard error.

    quiet: print nothing. width: columns; by default the terminal's.
    """
    return SafeConsole(stderr=stderr, quiet=quiet, width=width, markup=False, highlight=False, emoji=False)


def say(console: Console, sentence: str) -> None:
    """Print `sentence` on one line, however long, with control characters and line breaks escaped."""
    console.print(Text(on_one_line(sentence)), soft_wrap=True)


def _in_encoding(segment: Segment, encoding: str) -> Segment:
    """Return the segment with signs for what maps are drawn with, and escapes for letters that the encoding lacks."""
    text, style, control = segment
    if control or text.isascii():
        return segment
    plain = text.translate(_PLAIN)
    return Segment(plain.encode(encoding, "backslashreplace").decode(encoding), style)


def _escaped(segment: Segment) -> Segment:
    text, style, control = segment
    if control or text.isprintable() or text == "\n":
        return segment
    return Segment("\n".join(map(on_one_line, text.split("\n"))), style)
