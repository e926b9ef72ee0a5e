"""Run as a module: a large picture that one process answers once, and what that takes.

    python -m lookwhere_cli.bench.large_once COMMAND MODEL OPTIONS PICTURE [WINDOW]

COMMAND is classify, explain or windows. OPTIONS is a JSON object: fields of `Options`. WINDOW is the side of windows.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lookwhere_cli.bench.peak import current_memory, peak_memory
from lookwhere_cli.errors import LookWhereError
from lookwhere_cli.images.frame import Box
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.large.pyramid import PyramidSource, Tiles
from lookwhere_cli.images.view import View, open_view
from lookwhere_cli.output.rows import Row
from lookwhere_cli.predictor import Predictor


def main(arguments: Sequence[str]) -> None:
    """Print {"seconds", "rest" and "peak" in MiB, "read" and "needed" tiles, "windows", "tiles"} as JSON."""
    from lookwhere_cli.loading import load

    command, model, options, picture, *window = arguments
    predictor = load(model, **json.loads(options))
    rest = current_memory()
    started = time.perf_counter()
    found = COMMANDS[command](predictor, picture, *map(int, window))
    measured = {"seconds": time.perf_counter() - started, "rest": rest, "peak": peak_memory(), **found}
    print(json.dumps({name: value() if callable(value) else value for name, value in measured.items()}))


def _classify(predictor: Predictor, picture: str) -> dict[str, Any]:
    source = _opened(predictor, picture)
    return _tiles(source, _checked(predictor.classify(source)), predictor)


def _explain(predictor: Predictor, picture: str) -> dict[str, Any]:
    source = _opened(predictor, picture)
    return _tiles(source, _checked(predictor.explain(source).row), predictor)


def _windows(predictor: Predictor, picture: str, side: int) -> dict[str, Any]:
    count = sum(not row.error for row in predictor.windows(picture, window=side)) - 1
    return {"windows": count}


COMMANDS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "classify": _classify,
    "explain": _explain,
    "windows": _windows,
}


def _opened(predictor: Predictor, picture: str) -> PyramidSource:
    source: object = open_large(picture, predictor.pipeline.reader.reading)
    if not isinstance(source, PyramidSource):
        raise LookWhereError(f"{picture!r} is neither a slide nor a raster.")
    source.tiles_read = set()
    return source


def _checked(row: Row) -> Row:
    if row.error:
        raise LookWhereError(row.error)
    return row


def _tiles(source: PyramidSource, row: Row, predictor: Predictor) -> dict[str, Any]:
    """Return how many tiles were read, and how many of these the thumbnail and the cells need; all are counted later.

    The numbers are computed after the clock is stopped.
    """
    return {
        "read": lambda: len(source.tiles_read or ()),
        "needed": lambda: len(needed_tiles(source, row, predictor)),
        "spare": lambda: len((source.tiles_read or set()) - needed_tiles(source, row, predictor)),
        "tiles": lambda: len(source.tiles_of(*_finest(source))),
    }


def needed_tiles(source: PyramidSource, row: Row, predictor: Predictor) -> Tiles:
    """Return the tiles that the thumbnail and the cells of a row touch."""
    pipeline = predictor.pipeline
    view = open_view(source, pipeline.reader.reading)
    patch = pipeline.config.patch
    rows, columns = pipeline.reader.thumbnail_grid(view.grid)
    tiles = source.tiles_of(view.box, rows * patch, columns * patch)
    for cell in row.cells:
        tiles |= source.tiles_of(_cell_box(view, cell), patch, patch)
    return tiles


def _cell_box(view: View, cell: tuple[int, int]) -> Box:
    row, column = cell
    left, top, right, bottom = view.box
    height, width = (bottom - top) / view.grid[0], (right - left) / view.grid[1]
    return left + column * width, top + row * height, left + (column + 1) * width, top + (row + 1) * height


def _finest(source: PyramidSource) -> tuple[Box, int, int]:
    height, width = source.size
    return (0.0, 0.0, float(width), float(height)), height, width


if __name__ == "__main__":
    main(sys.argv[1:])
