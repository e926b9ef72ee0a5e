"""One self-contained HTML page: an overview with the windows that were read, and the surest windows of each class."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from lookwhere_cli.images.view import View
from lookwhere_cli.output.rows import Row
from lookwhere_cli.show.colours import colour_of_class
from lookwhere_cli.show.geometry import pixels_of
from lookwhere_cli.show.html import picture_uri, render
from lookwhere_cli.show.page import QUALITY, script_json
from lookwhere_cli.text import on_one_line

MOST_WINDOWS = 20_000  # that the page draws
MOST_BOXES = 2_000
PER_CLASS, CLASSES = 6, 12  # windows shown of a class; classes whose windows are shown
TOP = 3  # labels of a window
WINDOW_SIDE = 144  # pixels of a window that is shown
_MARK = "@pictures@"


@dataclass
class PageWindows:
    """The windows of a picture, as a page shows them. Memory is bounded, whatever their number."""

    windows: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    total: int = 0
    grid: tuple[int, int] = (1, 1)
    names: dict[int, str] = field(default_factory=dict)
    _best: dict[int, list[tuple[float, int, str]]] = field(default_factory=dict)

    def add(self, row: Row, view: View | None) -> None:
        """Add a window that was read. view: of the window, for its pixels."""
        answer = [(label.index, label.label, label.probability) for label in row.labels]
        answer = answer or [(found.index, found.label, found.score) for found in row.boxes or ()]
        self.total += 1
        self.counts.update((index, name) for index, name, _ in answer[:1])
        if len(self.windows) == MOST_WINDOWS:
            return
        self.grid = row.grid
        number = len(self.windows)
        labels = [[index, round(probability, 4)] for index, _, probability in answer[:TOP]]
        self.windows.append({"box": row.window, "labels": labels, "k": row.k, "cells": _bits(row)})
        self.names |= {index: name for index, name, _ in answer[:TOP]}
        if view is not None and answer:
            self._offer(answer[0][0], answer[0][2], number, view)

    def finish(self, name: str, overview: Image.Image, row: Row) -> dict[str, Any]:
        """Return what the page's script reads. row: of the whole picture."""
        common = [index for (index, _), _ in self.counts.most_common(CLASSES)]
        best = [[number, uri] for index in common for _, number, uri in sorted(self._best.get(index, []), reverse=True)]
        return {
            "name": on_one_line(name),
            "size": [row.height, row.width],
            "source": picture_uri(overview, "JPEG", QUALITY),
            "grid": list(self.grid),
            "windows": self.windows,
            "total": self.total,
            "classes": {
                index: [on_one_line(label), "#{:02x}{:02x}{:02x}".format(*colour_of_class(index))]
                for index, label in self.names.items()
            },
            "counts": [[index, count] for (index, _), count in self.counts.most_common()],
            "labels": [[on_one_line(label.label), round(label.probability, 6)] for label in row.labels],
            "boxes": [
                [[round(edge, 1) for edge in one.box], one.index, round(one.score, 4)]
                for one in (row.boxes or ())[:MOST_BOXES]
            ],
            "read": {} if row.windows is None else row.windows.to_dict(),
            "k": row.k,
            "macs": row.macs,
            "macs_full": row.macs_full,
            "best": best,
        }

    def _offer(self, index: int, score: float, number: int, view: View) -> None:
        """Keep the pixels of a window if it is among the most certain ones of its class."""
        best = self._best.setdefault(index, [])
        if len(best) == PER_CLASS and score <= best[0][0]:
            return
        uri = picture_uri(Image.fromarray(pixels_of(view, WINDOW_SIDE)), "JPEG", QUALITY)
        (heapq.heappush if len(best) < PER_CLASS else heapq.heapreplace)(best, (score, number, uri))


class WindowPageWriter:
    """Writes the page picture by picture."""

    def __init__(self, stream: BinaryIO, title: str) -> None:
        self._stream, self._separator = stream, ""
        title = on_one_line(title)
        head, self._tail = render("windows.html.j2", title=title, data=_MARK).split(_MARK)
        self._write(head + '{"pictures": [')

    def write(self, picture: dict[str, Any]) -> None:
        """Add a picture, as `PageWindows.finish` returns it."""
        self._write(self._separator + script_json(picture))
        self._separator = ", "

    def close(self) -> None:
        """Write the end; the stream stays open."""
        self._write("]}" + self._tail)

    def _write(self, text: str) -> None:
        self._stream.write(text.encode())


def _bits(row: Row) -> str:
    """Return the cells that were read as hexadecimal digits, four cells to each, row by row."""
    chosen = np.zeros(row.grid, np.uint8)
    for line, column in row.cells:
        chosen[line, column] = 1
    return np.packbits(chosen.ravel()).tobytes().hex()
