"""Position embeddings at cells of any grid, by bicubic interpolation of the stored table.

Only the cells that are read are computed: a table for a whole picture of gigapixels would take gigabytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from lookwhere_cli.models.chosen import Grid

SHARPNESS = -0.75
"""The free parameter of the cubic kernel, as F.interpolate has it."""
LONGEST_CACHED = 1024
"""Cells along an axis of which the taps of all cells are cached; longer axes are those of few, large pictures."""


class Taps(NamedTuple):
    """The four stored positions along one axis that a position between them is interpolated from."""

    indices: Int64[Tensor, "*cells 4"]
    weights: Float32[Tensor, "*cells 4"]


def positions_at(
    table: Float[Tensor, "stored dim"], stored: Grid, cells: Int[Tensor, "*cells"], grid: Grid
) -> Float[Tensor, "*cells dim"]:
    """Return the positions of `cells` (row * columns + column) of `grid`, in the dtype of `table`.

    table: the positions of the grid `stored`, row by row. If `grid` equals `stored` they are copied as they are.
    Otherwise the values are those of F.interpolate(mode="bicubic", align_corners=False, antialias=False).
    """
    if grid == stored:
        return F.embedding(cells, table)  # several times faster than indexing
    rows, columns = _taps(cells // grid[1], stored[0], grid[0]), _taps(cells % grid[1], stored[1], grid[1])
    indices = rows.indices[..., :, None] * stored[1] + columns.indices[..., None, :]
    weights = rows.weights[..., :, None] * columns.weights[..., None, :]
    summed = F.embedding_bag(
        indices.reshape(-1, 16), table.float(), per_sample_weights=weights.reshape(-1, 16), mode="sum"
    )
    return summed.reshape(*cells.shape, table.shape[1]).to(table.dtype)


def _taps(places: Int[Tensor, "*cells"], stored: int, count: int) -> Taps:
    if torch.compiler.is_compiling():  # a traced pass computes its taps, so that sizes stay free and nothing is cached
        return taps_at(places, stored, count)
    if count > LONGEST_CACHED:
        taps = taps_at(places.cpu(), stored, count)
        return Taps(taps.indices.to(places.device), taps.weights.to(places.device))
    axis = axis_taps(stored, count, places.device)
    return Taps(axis.indices[places], axis.weights[places])


@lru_cache(maxsize=256)
def axis_taps(stored: int, count: int, device: torch.device) -> Taps:
    """Return the taps of each of `count` cells along an axis on which `stored` positions are stored."""
    # Tensors that were created under inference_mode could not serve a later pass with gradients.
    with torch.inference_mode(False):
        taps = taps_at(torch.arange(count), stored, count)
        return Taps(taps.indices.to(device), taps.weights.to(device))


def taps_at(places: Int[Tensor, "*cells"], stored: int, count: int) -> Taps:
    """Return the taps at `places` (0..count - 1). They are computed in double precision, on the device of `places`."""
    centre = (places.double() + 0.5) * stored / count - 0.5
    before = centre.floor()
    indices = before.long()[..., None] + torch.arange(-1, 3, device=places.device)
    return Taps(indices.clamp(0, stored - 1), cubic_weights(centre - before).float())


def cubic_weights(fraction: Float[Tensor, "*cells"]) -> Float[Tensor, "*cells 4"]:
    """Return the kernel's weights (Keys' cubic convolution) for a place 0..1 between the second and third tap."""
    near, far = torch.stack([fraction, 1 - fraction], -1), torch.stack([1 + fraction, 2 - fraction], -1)
    inner = ((SHARPNESS + 2) * near - (SHARPNESS + 3)) * near**2 + 1
    outer = ((far - 5) * far + 8) * far * SHARPNESS - 4 * SHARPNESS
    return torch.stack([outer[..., 0], inner[..., 0], inner[..., 1], outer[..., 1]], -1)
