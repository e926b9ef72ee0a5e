"""Results as HTML for notebooks: the grid of a picture with the cells that were read, and its answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from lookwhere_cli.text import on_one_line

LONG_SIDE = 320  # CSS pixels of a map


def cells_svg(grid: tuple[int, int], cells: Sequence[tuple[int, int]], width: int, height: int) -> str:
    """Return the map of the cells that were read, bright on dark, in the shape of a picture of width x height."""
    rows, columns = grid
    scale = LONG_SIDE / max(width, height, 1)
    squares = "".join(f'<rect x="{column}" y="{row}" width="1" height="1"/>' for row, column in cells)
    return (
        f'<svg width="{width * scale:.0f}" height="{height * scale:.0f}" viewBox="0 0 {columns} {rows}" '
        f'preserveAspectRatio="none" role="img" aria-label="{len(cells)} of {rows * columns} cells read">'
        f'<rect width="{columns}" height="{rows}" fill="#21212b"/>'
        f'<g fill="#f9cb35" shape-rendering="crispEdges">{squares}</g></svg>'
    )


def with_answers(title: str, picture: str, answers: Iterable[tuple[str, float]], note: str) -> str:
    """Return a block of HTML: the title, a picture (HTML) and below it the answers with their shares, and a note."""
    lines = "".join(f"<li>{escape(on_one_line(name))} {100 * share:.1f} %</li>" for name, share in answers)
    return (
        f"<div><strong>{escape(on_one_line(title))}</strong><div>{picture}</div><ol>{lines}</ol>"
        f"<small>{escape(on_one_line(note))}</small></div>"
    )
