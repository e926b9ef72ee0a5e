"""What a predictor asks of whatever computes a model, in NumPy arrays. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.models.chosen import Chosen, Grid, Selection
from lookwhere_cli.models.config import Config

Pixels = UInt8[ndarray, "*batch height width 3"] | Float32[ndarray, "*batch height width 3"]
"""RGB in 0..255; float32 for thumbnails without antialiasing."""


class CellTokens(NamedTuple):
    """Tokens of chosen cells after the last block, and the cells that they belong to.

    tokens: (batch, remaining, dim) float32. cells: (batch, remaining) int64; pruning may have dropped some.
    """

    tokens: Float32[ndarray, "batch remaining dim"]
    cells: Int64[ndarray, "batch remaining"]


class Runtime(Protocol):
    """Computes one model. Arrays in, arrays out; pixels are normalised inside."""

    @property
    def config(self) -> Config:
        """The model that is computed."""
        ...

    @property
    def device(self) -> str:
        """Where it is computed: "cpu", "cuda:0", ..."""
        ...

    @property
    def dtype(self) -> str:
        """The type of weights and activations: "float32", ..."""
        ...

    def select(self, thumbnails: Pixels, grid: Grid) -> Selection[NDArray[Any]]:
        """Score the cells of `grid` (rows, columns).

        thumbnails: (batch, height, width, 3), RGB in 0..255, uint8 or float32; height and width are whole patches.
        Returns the map, (batch, rows * columns) float32, row by row, where cells of high scores are to be read; and
        the prefix tokens, (batch, prefix, dim) float32. Of a model without a selector both are zero.
        """
        ...

    def answer(self, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, batch * output]:
        """Compute the output of the model's head, float32, before softmax or sigmoid.

        Logits (batch, classes); of segmentation scores on a finer grid, (batch, classes, fine rows, fine columns); of
        detection candidates, (batch, points, numbers), in cells of the grid (see `models.candidates`); of a model
        without labels what `pool` returns. chosen: uint8 patches, int64 cells, float32 prefix tokens.
        """
        ...

    def pool(self, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, "batch dim"]:
        """Compute what a classification head reads: CLS, or each channel's maximum over the cells; float32."""
        ...

    def tokens(self, chosen: Chosen[NDArray[Any]]) -> CellTokens:
        """Compute a token for each chosen cell that pruning leaves, in the order of `chosen.cells`.

        Raises ValueError for a model that drops tokens if coarse patches are among them.
        """
        ...

    def answer_with_survivors(
        self, chosen: Chosen[NDArray[Any]]
    ) -> tuple[Float32[ndarray, batch * output], Int64[ndarray, "batch survivors"] | None]:
        """Compute the same as `answer`, and the chosen cells that no pruning module drops, best first.

        The second holds cells, row * columns + column; it is None for a model without pruning modules.
        """
        ...

    def warm_up(self) -> None:
        """Compute once on blank pixels, so that later passes can be timed. Further calls do nothing."""
        ...

    def synchronise(self) -> None:
        """Wait until the device has computed all that was asked of it."""
        ...


class State(Protocol):
    """What a cascade's stages leave to the next one, for a batch of pictures."""

    def at(self, places: Int64[ndarray, " remaining"]) -> Self:
        """Keep only the pictures at these places of the batch."""
        ...


@runtime_checkable
class LookRuntime(Protocol):
    """A runtime of a model whose further looks add to what earlier looks stored."""

    def first_look(self, chosen: Chosen[NDArray[Any]]) -> tuple[Float[ndarray, "batch classes"], State]:
        """Compute the logits of the first look, and what the next look attends to."""
        ...

    def next_look(self, chosen: Chosen[NDArray[Any]], memory: Any) -> tuple[Float[ndarray, "batch classes"], State]:
        """Compute the logits of a look that adds the chosen cells to those of earlier looks."""
        ...


@runtime_checkable
class GridRuntime(Protocol):
    """A runtime of a cascade over growing grids (DVT)."""

    def begin(self, pictures: Pixels, grids: Sequence[Grid]) -> State:
        """Prepare the first exit.

        pictures: (batch, height, width, 3), RGB in 0..255; each exit resizes them. grids: (rows, columns) of each exit.
        """
        ...

    def run_exit(self, number: int, state: Any) -> tuple[Float[ndarray, "batch classes"], State]:
        """Compute the logits of an exit, (batch, classes) before softmax, and what the next exit reuses.

        number: of the exit, from 0. state: what `begin` or the exit before returned, perhaps for fewer pictures.
        """
        ...


def stack(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Stack arrays of one shape and dtype into a batch, (count, *shape); a single one is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
