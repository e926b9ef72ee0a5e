"""From an exported extractor's outputs to the output of each task's head, in NumPy. Imports no torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.resize import resize_bilinear
from lookwhere_cli.models.spread import spread
from lookwhere_cli.runtimes.graphs import GraphHead, GraphRuntime, cells_at


def answer_whole(runtime: GraphRuntime, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, "batch classes"]:
    """Return the logits, before softmax or sigmoid; of a model without a head what a head would read, (batch, dim)."""
    return runtime.extract(chosen, "logits" if runtime.config.labels else "pooled")[0]


def answer_pixels(
    runtime: GraphRuntime, chosen: Chosen[NDArray[Any]]
) -> Float32[ndarray, "batch classes fine_rows fine_columns"]:
    """Return class scores before softmax on the fine grid.

    Cells that were not read take their vectors from the nearest ones that were or, in a model that reads a coarse
    thumbnail, from its patches, before the decoder runs.
    """
    names = ["pieces"] + ["remaining"] * runtime.prunes + ["detail"] * runtime.sees_detail
    found = dict(zip(names, runtime.extract(chosen, *names), strict=True))
    pieces = found["pieces"]
    if chosen.coarse is None:
        cells = cells_at(chosen.cells, found.get("remaining"))
        filled = spread(pieces, cells, chosen.grid).reshape(len(pieces), *chosen.grid, -1)
    else:
        filled = _over_coarse(pieces, chosen)
    feeds = {"spread": np.ascontiguousarray(filled)}
    if runtime.sees_detail:
        feeds["detail"] = _at_cells(found["detail"], chosen)
    return runtime.graphs["decoder"].run(feeds, ["scores"])[0]


def _at_cells(
    values: Float32[ndarray, "batch k channels"], chosen: Chosen[NDArray[Any]]
) -> Float32[ndarray, "batch rows columns channels"]:
    """Put each cell's values in its place, and 0 where no cell was read."""
    batch, _, channels = values.shape
    placed = np.zeros((batch, math.prod(chosen.grid), channels), values.dtype)
    np.put_along_axis(placed, chosen.cells[..., None], values, axis=1)
    return placed.reshape(batch, *chosen.grid, channels)


def _over_coarse(
    pieces: Float32[ndarray, "batch tokens channels"], chosen: Chosen[NDArray[Any]]
) -> Float32[ndarray, "batch rows columns channels"]:
    """Put the cells' vectors over those of the coarse patches, resized to the grid."""
    assert chosen.coarse is not None
    batch, _, channels = pieces.shape
    k = chosen.cells.shape[1]
    ground = resize_bilinear(pieces[:, k:].reshape(batch, *chosen.coarse.grid, channels), chosen.grid)
    flat = ground.reshape(batch, -1, channels)
    np.put_along_axis(flat, chosen.cells[..., None], pieces[:, :k], axis=1)
    return flat.reshape(ground.shape)


def answer_points(runtime: GraphRuntime, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, "batch candidates numbers"]:
    """Return the candidates at the cells that remain, in their order; see `models.candidates` for their numbers.

    Lengths are in cells of the picture's grid, class scores before the sigmoid.
    """
    masks = ("masks",) if runtime.config.has_masks else ()
    return np.concatenate(runtime.extract(chosen, "boxes", "points", "classes", *masks), axis=-1)


HEADS: dict[str, GraphHead] = {
    "classify": answer_whole,
    "features": answer_whole,
    "segment": answer_pixels,
    "detect": answer_points,
}
"""By task."""
