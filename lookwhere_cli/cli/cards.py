"""The card that a terminal shows for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lookwhere_cli.output.rows import Row, WindowCounts
from lookwhere_cli.show.box_map import BoxMap, box_table
from lookwhere_cli.show.geometry import pixels_of
from lookwhere_cli.show.phrases import Phrases
from lookwhere_cli.show.terminal import CellMap, ClassMap, HeatLegend, HeatMap, Legend, label_bars, share_bars
from lookwhere_cli.text import counted, on_one_line

if TYPE_CHECKING:
    from jaxtyping import UInt8

    from lookwhere_cli.explain import Explanation
    from lookwhere_cli.pipeline import Answer
    from lookwhere_cli.segmenter import Segmented

MAP_SIDE = 192  # pixels, at most, of the picture that a map is drawn from
WIDE = 90  # columns of text from which on words are beside the map
WIDE_FOR_MAPS = 120  # columns of text from which on the two maps of an explanation are side by side
BEST_CELLS = 8


def answer_card(answer: Answer, console: Console, with_map: bool) -> RenderableType:
    """Return the title, labels with bars and costs of a picture, and the map of the cells that were read."""
    row, view, _ = answer
    if view is None:
        return _error_card(row)
    words = Group(label_bars(row.labels), _cost(row))
    if not with_map:
        return Group(_title(row), words, "")
    cell_map = CellMap(pixels_of(view, MAP_SIDE), row.grid, row.cells, max_height=14, max_width=40)
    return Group(_title(row), _arranged(cell_map, words, console), "")


def box_card(answer: Answer, console: Console, with_map: bool) -> RenderableType:
    """Return the title, a table of the boxes and the costs of a picture, and the map with the boxes."""
    row, view, _ = answer
    if view is None:
        return _error_card(row)
    boxes = row.boxes or ()
    words = Group(box_table(boxes), "", _cost(row))
    if not with_map:
        return Group(_title(row), words, "")
    left, top, right, bottom = view.box  # of what was read, which is what the map shows
    size = (round(bottom - top), round(right - left))
    moved = [replace(found, box=_moved(found.box, -left, -top)) for found in boxes]
    box_map = BoxMap(pixels_of(view, MAP_SIDE), size, moved, row.grid, row.cells, max_height=16, max_width=56)
    return Group(_title(row), _arranged(box_map, words, console), "")


def window_card(answer: Answer, console: Console) -> RenderableType:
    """Return the title, labels or boxes, and costs of a picture that was read in windows."""
    row = answer.row
    if row.error is not None or row.windows is None:
        return _error_card(row)
    return Group(_title(row), _found(row), _window_cost(row, row.windows), "")


def window_mask_card(
    segmented: Segmented, console: Console, colours: UInt8[np.ndarray, "classes 3"], with_map: bool
) -> RenderableType:
    """Return the title, shares and costs of a picture that was segmented in windows, and the map of its classes."""
    row, classes, _ = segmented
    if row.error is not None or row.windows is None:
        return _error_card(row)
    words = Group(share_bars(row.shares, colours), _window_cost(row, row.windows), *_mask_file(row))
    if not with_map or classes is None:
        return Group(_title(row), words, "")
    black = np.zeros((256 - len(colours), 3), np.uint8)  # where nothing was read
    palette, everywhere = np.concatenate([colours, black]), ((0, 0),)
    class_map = ClassMap(classes, row.shares, palette, (1, 1), everywhere, max_height=16, max_width=56)
    return Group(_title(row), _arranged(class_map, words, console), "")


def _window_cost(row: Row, counts: WindowCounts) -> Phrases:
    read = f"{counts.read:,} of {counted(counts.total, 'window')}, {row.k:,} cells read"
    cost = [read, f"{row.macs / 1e9:.2f} GMACs", f"{row.seconds:.1f} s"]
    return Phrases(cost + ([_ratio(row)] if row.macs else []))


def segmented_card(
    segmented: Segmented, console: Console, colours: UInt8[np.ndarray, "classes 3"], with_map: bool
) -> RenderableType:
    """Return the title, shares with bars and costs of a picture, the file of its mask, and the map of its classes."""
    row, classes, _ = segmented
    if classes is None:
        return _error_card(row)
    words = Group(share_bars(row.shares, colours), _cost(row), *_mask_file(row))
    if not with_map:
        return Group(_title(row), words, "")
    class_map = Group(
        ClassMap(classes, row.shares, colours, row.grid, row.cells, max_height=16, max_width=56),
        Legend(row.k, row.grid[0] * row.grid[1], "bright", "capitals"),
    )
    return Group(_title(row), _arranged(class_map, words, console), "")


def explanation_card(explanation: Explanation, console: Console) -> RenderableType:
    """Return maps (on a terminal only), labels, costs, best cells and times of a picture."""
    row = explanation.row
    words = Group(
        *(_found(row), _cost(row), *_looks(explanation.looks)),
        *(_best_cells(row), *_kept_cells(explanation), _times(explanation.seconds)),
    )
    maps = [_explanation_maps(explanation, console)] if console.is_terminal else []
    return Group(_title(row), *maps, words, "")


def _found(row: Row) -> RenderableType:
    """Return labels with bars or, of a detection model, a table of boxes."""
    return label_bars(row.labels) if row.boxes is None else box_table(row.boxes)


def coarse_text(row: Row) -> str:
    """Return what follows the number of cells in a sentence, for a picture that was also read in coarse patches."""
    if row.coarse is None or row.coarse_k is None:
        return ""
    rows, columns = row.coarse
    some = "" if row.coarse_k == rows * columns else f"{row.coarse_k} of "
    return f" and {some}{rows} x {columns} coarse patches"


def _explanation_maps(explanation: Explanation, console: Console) -> RenderableType:
    """Return the map of the cells that were read, the selector map and, if cells were dropped, those that were kept."""
    row, pixels = explanation.row, pixels_of(explanation.view, MAP_SIDE)
    width = console.width // 2 - 1 if console.width >= WIDE_FOR_MAPS else console.width
    read = Group(CellMap(pixels, row.grid, row.cells, max_width=width), Legend(row.k, row.grid[0] * row.grid[1]))
    heat_map = HeatMap(explanation.scores, pixels, cells=row.cells, max_width=width)
    maps = _arranged(read, Group(heat_map, HeatLegend(heat_map)), console, WIDE_FOR_MAPS)
    if explanation.survivors is None:
        return maps
    kept = CellMap(pixels, row.grid, _kept_positions(explanation), max_width=width)
    return Group(maps, kept, Text("cells kept to the end", "dim"))


def _moved(box: tuple[float, float, float, float], right: float, down: float) -> tuple[float, float, float, float]:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _error_card(row: Row) -> RenderableType:
    return Group(_title(row), Text(on_one_line(row.error or ""), "red"), "")


def _title(row: Row) -> Text:
    title = Text(on_one_line(row.path) or "picture", "bold")
    if row.time is not None:
        title.append(f" at {row.time:.3f} s, frame {row.frame}")
    if row.error is None:
        title.append(f"  {row.width} x {row.height}", "dim not bold")
    return title.append(f"  {on_one_line(row.note)}", "dim not bold") if row.note else title


def _cost(row: Row) -> Phrases:
    cells = row.grid[0] * row.grid[1]
    read = f"{row.k} of {cells} cells read ({row.k / cells:.0%}){coarse_text(row)}"
    taken = "" if row.exit is None else f"exit {row.exit}: "
    return Phrases([read, f"{row.macs / 1e9:.2f} GMACs", f"{1000 * row.seconds:.0f} ms", _ratio(row)], taken)


def _ratio(row: Row) -> str:
    fewer = row.macs_full / row.macs
    if fewer >= 1:
        return f"{fewer:.1f}x fewer operations than the full ViT"
    return f"{1 / fewer:.2f}x as many operations as the full ViT"


def _mask_file(row: Row) -> list[Text]:
    return [] if row.mask is None else [Text(f"mask: {on_one_line(row.mask)}", "dim")]


def _looks(looks: Sequence[int]) -> list[Text]:
    """Return a line with the number of cells read after each look of `-k auto`; none without looks."""
    return [Text(f"looks: the best {', then '.join(map(str, looks))} cells", "dim")] if looks else []


def _best_cells(row: Row) -> Phrases:
    return Phrases([f"({line}, {column})" for line, column in row.cells[:BEST_CELLS]], "best cells (row, column): ")


def _kept_positions(explanation: Explanation) -> list[tuple[int, int]]:
    """Return the (row, column) of each cell that was never dropped, best first."""
    columns = explanation.row.grid[1]
    return [divmod(cell, columns) for cell in explanation.survivors or ()]


def _kept_cells(explanation: Explanation) -> list[Phrases]:
    """Return a line about the cells kept to the end; none for a model that drops no cells."""
    if explanation.survivors is None:
        return []
    cells = _kept_positions(explanation)
    kept = f"{len(cells)} of {explanation.row.k} cells kept to the end: "
    return [Phrases(list(map(str, cells[:BEST_CELLS])), kept)]


def _times(seconds: dict[str, float]) -> Phrases:
    return Phrases([f"{stage} {1000 * spent:.1f} ms" for stage, spent in seconds.items()], "time: ")


def _arranged(first: RenderableType, second: RenderableType, console: Console, wide: int = WIDE) -> RenderableType:
    """Put the second beside the first on a console of `wide` columns of text, below it on narrower ones."""
    if console.width < wide:
        return Group(first, second)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(first, second)
    return table
