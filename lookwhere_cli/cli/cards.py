"""What a terminal shows of one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.terminal import CellMap, ClassMap, HeatMap, Legend, label_bars, share_bars
from lookwhere_cli.text import on_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lookwhere_cli.answers import Answer, Explanation
    from lookwhere_cli.images.view import View
    from lookwhere_cli.segmenter import Segmented

SIDE = 192  # pixels that a map in the terminal is drawn from, at most
BESIDE = 90  # columns from which labels stand beside the map
BEST_CELLS = 8


def answer_card(answer: Answer, console: Console, with_map: bool) -> RenderableType:
    """A picture's labels with bars and, where asked for, the map of what was read."""
    row, view = answer
    if view is None:
        return Group(_title(row), Text(f"{row.error}", "red"), "")
    said = Group(label_bars(row.labels), _cost(row))
    if not with_map:
        return Group(_title(row), said, "")
    seen = CellMap(pixels_of(view), row.grid, row.cells, max_height=14, max_width=40)
    return Group(_title(row), _side_by_side(seen, said) if console.width >= BESIDE else Group(seen, said), "")


def segmented_card(
    segmented: Segmented, console: Console, colours: NDArray[np.uint8], with_map: bool
) -> RenderableType:
    """A picture's classes with their shares and, where asked for, the map of them; `colours` is (classes, 3)."""
    row, classes, _ = segmented
    if classes is None:
        return Group(_title(row), Text(f"{row.error}", "red"), "")
    said = Group(share_bars(row.shares, colours), _cost(row), *_written(row))
    if not with_map:
        return Group(_title(row), said, "")
    seen = Group(
        ClassMap(classes, row.shares, colours, row.grid, row.cells, max_height=16, max_width=56),
        Legend(row.k, row.grid[0] * row.grid[1], "bright", "capitals"),
    )
    return Group(_title(row), _side_by_side(seen, said) if console.width >= BESIDE else Group(seen, said), "")


def explanation_card(explanation: Explanation, console: Console) -> RenderableType:
    """The large map, the heat, the best cells, what was read, what it cost. Without a terminal: the words only."""
    row = explanation.row
    kept = _kept(explanation)
    said = [label_bars(row.labels), _cost(row), *_looks(explanation.looks), _best_cells(row), *kept]
    words = Group(*said, _stages(explanation.seconds))
    if not console.is_terminal:
        return Group(_title(row), words, "")
    pixels = pixels_of(explanation.view)
    half = console.width // 2 - 1 if console.width >= BESIDE else console.width
    read = Group(CellMap(pixels, row.grid, row.cells, max_width=half), Legend(row.k, row.grid[0] * row.grid[1]))
    heat = Group(
        HeatMap(explanation.scores, pixels, max_width=half),
        Text("the selector's map: bright is looked at first", "dim"),
    )
    maps = _side_by_side(read, heat) if console.width >= BESIDE else Group(read, heat)
    if kept:
        left = CellMap(pixels, row.grid, _cells_of(explanation), max_width=half)
        maps = Group(maps, left, Text("the cells that were kept to the end", "dim"))
    return Group(_title(row), maps, words, "")


def pixels_of(view: View, side: int = SIDE) -> NDArray[np.uint8]:
    """What was read of a picture, at its own shape, (height, width, 3), the longer side `side` pixels."""
    left, top, right, bottom = view.box
    scale = side / max(right - left, bottom - top)
    height, width = (max(1, round(length * scale)) for length in (bottom - top, right - left))
    return np.clip(view.thumbnail(height, width), 0, 255).astype(np.uint8)


def _title(row: Row) -> Text:
    title = Text(on_one_line(row.path) or "picture", "bold")
    if row.error is None:
        title.append(f"  {row.width} x {row.height}", "dim not bold")
    return title.append(f"  {row.note}", "dim not bold") if row.note else title


def _cost(row: Row) -> Text:
    cells = row.grid[0] * row.grid[1]
    return Text(
        f"{_exit(row)}{row.k} of {cells} cells read ({row.k / cells:.0%}){coarsely(row)}, {row.macs / 1e9:.2f} GMACs "
        f"of the full ViT's {row.macs_full / 1e9:.2f} ({_ratio(row)}), {1000 * row.seconds:.0f} ms",
        "dim",
    )


def _exit(row: Row) -> str:
    return "" if row.exit is None else f"exit {row.exit}: "


def _ratio(row: Row) -> str:
    fewer = row.macs_full / row.macs
    return f"{fewer:.1f}x fewer" if fewer >= 1 else f"{1 / fewer:.2f}x as many"


def coarsely(row: Row) -> str:
    """What follows in a sentence about the cells where all of the picture was read coarsely as well."""
    return "" if row.coarse is None else " and all of it as {} x {} patches".format(*row.coarse)


def _written(row: Row) -> list[Text]:
    return [] if row.mask is None else [Text(f"mask: {on_one_line(row.mask)}", "dim")]


def _looks(looks: Sequence[int]) -> list[Text]:
    """How far each look went, where there was more than a fixed number of cells."""
    return [Text(f"looks: the best {', then '.join(map(str, looks))} cells", "dim")] if looks else []


def _best_cells(row: Row) -> Text:
    best = ", ".join(f"({line}, {column})" for line, column in row.cells[:BEST_CELLS])
    return Text(f"best cells (row, column): {best}", "dim")


def _cells_of(explanation: Explanation) -> list[tuple[int, int]]:
    """The (row, column) of each cell that was never dropped, best first."""
    columns = explanation.row.grid[1]
    return [divmod(cell, columns) for cell in explanation.left or ()]


def _kept(explanation: Explanation) -> list[Text]:
    """A line about what was left of the cells, for a model that drops some."""
    if explanation.left is None:
        return []
    cells = _cells_of(explanation)
    best = ", ".join(map(str, cells[:BEST_CELLS]))
    return [Text(f"{len(cells)} of {explanation.row.k} cells kept to the end: {best}", "dim")]


def _stages(seconds: dict[str, float]) -> Text:
    return Text("time: " + ", ".join(f"{stage} {1000 * spent:.1f} ms" for stage, spent in seconds.items()), "dim")


def _side_by_side(left: RenderableType, right: RenderableType) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(left, right)
    return table
