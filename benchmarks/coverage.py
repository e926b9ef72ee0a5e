"""Measure how much of labelled boxes the cells that models read cover, next to the same number of central cells.

    python benchmarks/coverage.py MODEL [MODEL ...] --boxes boxes.csv [--split val] [-k 10%] [--size 768]

boxes.csv has the columns file, left, top, right, bottom (pixels) and, for --split, split; files are relative to it.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accuracy import exit_if_unreadable
from numpy.typing import NDArray

from lookwhere_cli.loading import load
from lookwhere_cli.output.rows import Row
from lookwhere_cli.scoring.choosers import from_centre

Boxes = dict[str, list[tuple[float, float, float, float]]]


def read_boxes(file: Path, split: str | None) -> Boxes:
    """Return the boxes of each picture, by its path."""
    boxes: Boxes = defaultdict(list)
    with file.open(newline="") as lines:
        table = csv.DictReader(lines)
        if split is not None and "split" not in (table.fieldnames or ()):
            raise SystemExit(f"{file} has no column split; leave out --split, or give a CSV of that part only.")
        for line in table:
            if line["left"] and (split is None or line["split"] == split):
                left, top, right, bottom = (float(line[side]) for side in ("left", "top", "right", "bottom"))
                boxes[str(file.parent / line["file"])].append((left, top, right, bottom))
    return dict(boxes)


def covered(row: Row, cells: Sequence[tuple[int, int]], boxes: Sequence[tuple[float, ...]]) -> list[float]:
    """Return the share of each box's area that lies in the cells."""
    mask = np.zeros(row.grid, np.float64)
    mask[tuple(np.array(cells).T)] = 1
    shares = []
    for left, top, right, bottom in boxes:
        down = _overlaps(top, bottom, row.grid[0], row.height)
        across = _overlaps(left, right, row.grid[1], row.width)
        area = float(down.sum() * across.sum())
        if not area:
            raise SystemExit(f"{row.path}: a box has no area in the picture: {left:g}, {top:g}, {right:g}, {bottom:g}.")
        shares.append(float(down @ mask @ across) / area)
    return shares


def _overlaps(low: float, high: float, count: int, pixels: int) -> NDArray[np.float64]:
    """Return how many pixels of an interval each of `count` equal parts of an axis holds."""
    edges = np.linspace(0, pixels, count + 1)
    return np.clip(np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1]), 0, None)


def central(row: Row) -> list[tuple[int, int]]:
    """Return as many cells as were read, the nearest to the centre in units of the picture's sides."""
    nearest = from_centre(np.arange(row.grid[0] * row.grid[1])[None], row.grid, [0])[0, : row.k]
    return [(int(row_), int(column)) for row_, column in zip(*np.unravel_index(nearest, row.grid), strict=True)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--boxes", type=Path, required=True, metavar="CSV")
    parser.add_argument("--split", default=None)
    parser.add_argument("-k", default=None, help="cells to read, as for classify; by default the model's own")
    parser.add_argument("--size", type=int, default=None, help="pixels; by default the model's own")
    parser.add_argument("--limit", type=int, default=None, help="pictures to read at most")
    arguments = parser.parse_args()
    boxes = read_boxes(arguments.boxes, arguments.split)
    paths = list(boxes)[: arguments.limit]
    print("| model | boxes | share read, selector | share read, centre |\n|---|---:|---:|---:|")
    for model in arguments.models:
        rows = [answer.row for answer in load(model, k=arguments.k, size=arguments.size).answers(paths)]
        exit_if_unreadable([row.error for row in rows if row.error])
        chosen = [share for row in rows for share in covered(row, row.cells, boxes[row.path])]
        centre = [share for row in rows for share in covered(row, central(row), boxes[row.path])]
        print(f"| {model} | {len(chosen)} | {np.mean(chosen):.1%} | {np.mean(centre):.1%} |", flush=True)


if __name__ == "__main__":
    main()
