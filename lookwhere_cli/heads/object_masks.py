"""Small masks of the boxes that were kept, from the values at the places around the points that were read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.models.candidates import MASK_PLACES, MASK_SIDE, MASK_TERMS
from lookwhere_cli.probabilities import sigmoid


@dataclass(frozen=True)
class MaskValues:
    """The values that all masks of a picture are made of.

    cells: (row, column) of each cell that was read, as one number that rises, row * columns + column. columns: of the
    numbering. values: of the cells in this order, (row and column of a place, channel).
    """

    cells: Int[ndarray, " k"]
    columns: int
    values: Float32[ndarray, "k places places channels"]

    def at(
        self, rows: Int[ndarray, " height"], columns: Int[ndarray, " width"]
    ) -> Float32[ndarray, "height width channels"]:
        """Return the values at rows and columns of places, counted over the whole picture; 0 where none was read."""
        row, column = rows // MASK_PLACES, columns // MASK_PLACES
        wanted = row[:, None] * self.columns + column
        found = np.searchsorted(self.cells, wanted).clip(max=len(self.cells) - 1)
        inside = (row[:, None] >= 0) & (column >= 0) & (column < self.columns)
        values = self.values[found, (rows % MASK_PLACES)[:, None], columns % MASK_PLACES]
        return np.where(((self.cells[found] == wanted) & inside)[..., None], values, np.float32(0))


def mask_values(
    points: Float32[ndarray, "candidates 2"], numbers: Float32[ndarray, "candidates numbers"], channels: int, side: int
) -> MaskValues:
    """Sort the values of all candidates. numbers: as `split_numbers` returns them. side: points along that of a cell.

    points: of the candidates, in cells, in the model's order.
    """
    each = MASK_PLACES // side
    cells = np.floor(points[:: side**2]).astype(np.int64)
    columns = int(cells[:, 0].max(initial=0)) + 1
    numbered = cells[:, 1] * columns + cells[:, 0]
    parts = numbers[:, channels + MASK_TERMS :].reshape(len(cells), side, side, each, each, channels)
    values = parts.transpose(0, 1, 3, 2, 4, 5).reshape(len(cells), MASK_PLACES, MASK_PLACES, channels)
    order = np.argsort(numbered)
    return MaskValues(numbered[order], columns, values[order])


def mask_probabilities(
    values: MaskValues, factors: Float32[ndarray, "n numbers"], boxes: Float[ndarray, "n 4"]
) -> Float32[ndarray, "n rows columns"]:
    """Return for each of MASK_SIDE x MASK_SIDE places in each box how probable it is that its object is there.

    factors: the first numbers of each box's point. boxes: in cells.
    """
    channels = values.values.shape[-1]
    masks = np.empty((len(boxes), MASK_SIDE, MASK_SIDE), np.float32)
    terms = box_terms()
    for mask, box, own in zip(masks, boxes.tolist(), factors, strict=True):
        mask[:] = _sampled(values, box, own[:channels]) + terms @ own[channels : channels + MASK_TERMS]
    return sigmoid(masks)


def box_terms() -> Float32[ndarray, "rows columns terms"]:
    """Return the terms of each place in a box, whose x and y go from -1 to 1 between its sides."""
    along = ((np.arange(MASK_SIDE, dtype=np.float32) + 0.5) / MASK_SIDE) * 2 - 1
    y, x = np.meshgrid(along, along, indexing="ij")
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)


def _sampled(
    values: MaskValues, box: list[float], factors: Float32[ndarray, " channels"]
) -> Float32[ndarray, "rows columns"]:
    """Interpolate the weighted sum of the channels at the places of a box, bilinearly."""
    left, top, right, bottom = box
    columns, across = _neighbours(left, right)
    rows, down = _neighbours(top, bottom)
    unique_rows, row = np.unique(rows, return_inverse=True)
    unique_columns, column = np.unique(columns, return_inverse=True)
    sums = values.at(unique_rows, unique_columns) @ factors
    row, column = row.reshape(2, -1), column.reshape(2, -1)  # NumPy 2.0 returned the inverse in another shape
    lines = sums[row[0]] * (1 - down)[:, None] + sums[row[1]] * down[:, None]
    found: NDArray[np.float32] = lines[:, column[0]] * (1 - across) + lines[:, column[1]] * across
    return found


def _neighbours(start: float, stop: float) -> tuple[Int[ndarray, "2 places"], Float32[ndarray, " places"]]:
    """Return the places of values before and after each place of a mask along an axis, and the weight of the latter."""
    centres = start + (np.arange(MASK_SIDE) + 0.5) / MASK_SIDE * (stop - start)
    places = centres * MASK_PLACES - 0.5
    before = np.floor(places).astype(np.int64)
    return np.stack([before, before + 1]), (places - before).astype(np.float32)
