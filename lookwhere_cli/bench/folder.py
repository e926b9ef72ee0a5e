"""A folder of photographs: how near the whole comes to what its two stages allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from lookwhere_cli.bench.record import Limit, Record
from lookwhere_cli.bench.settings import Settings
from lookwhere_cli.bench.timing import alternate
from lookwhere_cli.images.ahead import read_ahead
from lookwhere_cli.images.frame import Grid
from lookwhere_cli.loading import load
from lookwhere_cli.models.selector import choose
from lookwhere_cli.predictor import Predictor

Pixels: TypeAlias = tuple[NDArray[Any], NDArray[Any] | None, NDArray[np.uint8]]
"""Of a picture: its thumbnail, the coarse one, the chosen patches."""
SHARED_CORES, ACCELERATOR = Limit("at least", 0.9), Limit("at least", 0.85)


def folder(settings: Settings) -> Iterator[Record]:
    """Decoding alone (open, thumbnail, chosen patches), the model alone, and `classify` of the folder."""
    predictor = load(settings.model, device=settings.device)
    photographs = settings.photographs
    cells = {
        path: _cells(row.cells, row.grid)
        for path, row in zip(photographs, predictor.classify(photographs), strict=True)
    }
    runs: dict[str, Callable[[], object]] = {
        "decode": lambda: _decode(predictor, cells),
        "model": model_alone(predictor, cells),
        "classify": lambda: list(predictor.classify(photographs)),
    }
    rates = {name: len(photographs) / seconds for name, seconds in alternate(runs, settings.rounds).items()}
    yield Record("folder", f"decode alone, {predictor.workers} workers", rates["decode"], "pictures/s")
    yield Record("folder", "model alone", rates["model"], "pictures/s")
    shared = predictor.loaded.device.type == "cpu"
    possible = allowed(rates["decode"], rates["model"], shared)
    yield Record(
        "folder",
        f"classify, {len(photographs)} photographs",
        rates["classify"],
        "pictures/s",
        against=f"what the stages allow: {possible:.1f} pictures/s",
        ratio=rates["classify"] / possible,
        limit=SHARED_CORES if shared else ACCELERATOR,
    )


def allowed(decode: float, model: float, shared: bool) -> float:
    """The rate that two stages allow: in turn where they share the cores, else side by side."""
    return 1 / (1 / decode + 1 / model) if shared else min(decode, model)


def model_alone(predictor: Predictor, cells: dict[Path, NDArray[np.intp]]) -> Callable[[], None]:
    """All that the model does for the folder, batch by batch, from pixels that are in memory already."""
    by_grid: dict[Grid, list[Pixels]] = defaultdict(list)
    for path, chosen in cells.items():
        glimpse = predictor.glimpse(path)
        by_grid[glimpse.view.grid].append((glimpse.thumbnail, glimpse.coarse, glimpse.view.patches(chosen)))

    @torch.inference_mode()
    def run() -> None:
        for grid, pictures in by_grid.items():
            for start in range(0, len(pictures), predictor.batch_size):
                _answer(predictor, grid, pictures[start : start + predictor.batch_size])

    return run


def _answer(predictor: Predictor, grid: Grid, pictures: Sequence[Pixels]) -> None:
    thumbnails, coarse, patches = zip(*pictures, strict=True)
    selection, beside = predictor.select(thumbnails, grid), predictor.coarse(coarse)
    predictor.extract(patches, choose(selection.map, len(patches[0])), grid, selection.prefix_tokens, beside)


def _decode(predictor: Predictor, cells: dict[Path, NDArray[np.intp]]) -> None:
    def read(path: Path) -> None:
        predictor.glimpse(path).view.patches(cells[path])

    with closing(read_ahead(cells, read, predictor.workers, predictor.batch_size)) as done:
        for _ in done:
            pass


def _cells(cells: Sequence[tuple[int, int]], grid: Grid) -> NDArray[np.intp]:
    rows, columns = np.array(cells, np.intp).T
    return np.ravel_multi_index((rows, columns), grid)
