"""A sentence of short phrases, broken between phrases only: a number is never parted from its unit."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.text import Text

from lookwhere_cli.text import on_one_line


class Phrases:
    """Phrases in one style, each on one line if it fits.

    phrases: each but the last is followed by a comma. opening: what stands before the first.
    """

    def __init__(self, phrases: Sequence[str], opening: str = "", style: str = "dim") -> None:
        *others, last = map(on_one_line, phrases)
        self._phrases = [*(f"{phrase}," for phrase in others), last]
        self._phrases[0] = f"{opening}{self._phrases[0]}"
        self._style = style

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        longest, together = max(map(cell_len, self._phrases)), cell_len(" ".join(self._phrases))
        return Measurement(min(longest, options.max_width), min(together, options.max_width))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Where lines are not wrapped, as in a pipe, there is one line.
        width = cell_len(" ".join(self._phrases)) if options.no_wrap else options.max_width
        for line in self._lines(width):
            yield Text(line, self._style)

    def _lines(self, width: int) -> list[str]:
        """Break into as few lines as fit and, of the ways to do so, the one with the most even lines."""
        best: list[tuple[int, int, list[str]]] = [(0, 0, [])]  # of the first phrases: lines, squared widths, the lines
        for end in range(1, len(self._phrases) + 1):
            ways = []
            for start in range(end):
                line = " ".join(self._phrases[start:end])
                length = cell_len(line)
                if length <= width or start == end - 1:
                    count, squares, lines = best[start]
                    ways.append((count + 1, squares + length**2, [*lines, line]))
            best.append(min(ways))
        return best[-1][2]
