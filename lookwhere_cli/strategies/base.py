"""What a strategy is: it decides which cells of a batch of pictures are read, and when an answer is certain enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Int64, UInt8
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.amounts import Amount
from lookwhere_cli.models.chosen import Chosen, Coarse, Grid, Selection
from lookwhere_cli.models.coarse import count_unread, least_covered
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.spacing import chessboard
from lookwhere_cli.reader import OpenedPicture
from lookwhere_cli.runtimes.base import Runtime, stack

Cut: TypeAlias = Callable[[Sequence[int], Int64[ndarray, "pictures k"]], UInt8[ndarray, "pictures k patch patch 3"]]
"""Cuts the patches at `cells`, RGB 0..255, out of the pictures at these places of a batch."""


REUSED = "selector map of an earlier frame"
"""The note of a frame for which the selector did not run."""


class Batch(NamedTuple):
    """Opened pictures of one grid (rows, columns)."""

    pictures: Sequence[OpenedPicture]
    grid: Grid

    def at(self, places: Sequence[int]) -> Batch:
        """Keep only the pictures at these places."""
        return Batch([self.pictures[place] for place in places], self.grid)


class Selected(NamedTuple):
    """A batch whose cells were chosen.

    selection: the selector's map and prefix tokens. order: (batch, cells) int64, cells by score, best first.
    first: how many of them are read to begin with. reused: whether each picture's map is that of an earlier frame, for
    which the selector did not run again; empty: none is.
    """

    batch: Batch
    selection: Selection[NDArray[Any]]
    order: Int64[ndarray, "batch cells"]
    first: int
    reused: Sequence[bool] = ()

    def at(self, places: Sequence[int]) -> Selected:
        """Keep only the pictures at these places."""
        selection = Selection(self.selection.map[places], self.selection.prefix_tokens[places])
        reused = [self.reused[place] for place in places] if self.reused else ()
        return Selected(self.batch.at(places), selection, self.order[places], self.first, reused)

    def choose(self, patches: NDArray[Any], config: Config, k: int | None = None) -> Chosen[NDArray[Any]]:
        """Put together what the extractor is given: the best k cells (default: `first`) and their patches.

        patches: (batch, k, patch, patch, 3), RGB 0..255, in the order of the cells.
        """
        cells, grid = self.order[:, : self.first if k is None else k], self.batch.grid
        coarse = coarse_of(self.batch, config.patch)
        if coarse is not None and config.coarse_patches == "unread":
            coarse = unread_of(coarse, cells, grid)
        return Chosen(patches, cells, grid, self.selection.prefix_tokens, coarse)

    @property
    def maps(self) -> Float32[ndarray, "batch rows columns"]:
        """The selector maps on the pictures' grid."""
        return self.selection.map.reshape(-1, *self.batch.grid)


class Outcome(NamedTuple):
    """What came of a batch of pictures.

    output: (batch, ...), the output of the model's head. cells: for each picture the cells that its answer is from,
    best first. grids: the grid of these cells. macs: multiply-adds, all passes included.
    exits: the exit or look that answered, from 1; None where there is only one. reused: as in `Selected`.
    """

    output: Float32[ndarray, batch * output]
    cells: Sequence[Int64[ndarray, " k"]]
    grids: Sequence[Grid]
    macs: Sequence[int]
    exits: Sequence[int | None]
    reused: Sequence[bool] = ()

    def notes_of(self, place: int) -> tuple[str, ...]:
        """Return what the row of the picture at this place should say about how it was answered."""
        return (REUSED,) if self.reused and self.reused[place] else ()


class Strategy(Protocol):
    """Decides how far pictures are read. Stages are exits or looks; a strategy with one number of cells has one."""

    @property
    def summary(self) -> str:
        """How pictures are read, as the end of a sentence that begins with the model: "reads ..."."""
        ...

    def thumbnail_grid(self, grid: Grid) -> Grid:
        """Return the thumbnail's grid of patches for a picture of `grid`."""
        ...

    def select(self, runtime: Runtime, batch: Batch) -> Selected:
        """Decide which cells are read first."""
        ...

    def answer(self, runtime: Runtime, selected: Selected, patches: NDArray[np.uint8], cut: Cut) -> Outcome:
        """Answer, from the patches of the first cells; `cut` brings further ones.

        patches: (batch, first, patch, patch, 3), RGB 0..255, in the order of `selected.order`.
        """
        ...

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds of a picture of `grid` that ends at each stage, all earlier passes included."""
        ...

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """Number of cells that the answer of each stage is from."""
        ...

    def notes(self, grid: Grid) -> tuple[str, ...]:
        """Return what the row of a picture of `grid` should say about how many cells are read."""
        ...

    def tokens(self, grid: Grid) -> int:
        """Largest number of tokens that a picture of `grid` has in a block: what activations need memory for."""
        ...


@runtime_checkable
class ChoosingStrategy(Strategy, Protocol):
    """A strategy that chooses cells by the selector map, so that there is a choice to explain."""

    def order(self, runtime: Runtime, batch: Batch) -> Selected:
        """Order all cells of the pictures, best first, with `first` as `select` has it."""
        ...


@runtime_checkable
class AmountStrategy(ChoosingStrategy, Protocol):
    """A strategy that reads one amount of the cells of every picture."""

    @property
    def k(self) -> Amount:
        """The amount."""
        ...

    def with_k(self, k: Amount) -> AmountStrategy:
        """Return the same strategy for another amount."""
        ...


@runtime_checkable
class FeatureStrategy(Strategy, Protocol):
    """A strategy that reads all pictures equally far, so that their features can be compared."""

    def features_macs(self, grid: Grid, dense: bool) -> int:
        """Multiply-adds of a picture's features: of its pooled token or, dense, of a token for every cell."""
        ...


@runtime_checkable
class SparingStrategy(Strategy, Protocol):
    """A strategy that spares some pictures a part of the computation."""

    def spare(self, selected: Selected, outcome: Outcome) -> Outcome:
        """Return what came of a batch, less the multiply-adds that were spared."""
        ...


@runtime_checkable
class StagedStrategy(Strategy, Protocol):
    """A strategy with several stages, each with a threshold but the last."""

    @property
    def config(self) -> Config:
        """The model's config, with the stages of this strategy."""
        ...

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Confidence from which each stage but the last answers."""
        ...

    def with_thresholds(self, thresholds: Sequence[float]) -> StagedStrategy:
        """Return the same strategy with other thresholds."""
        ...

    def run_all(self, runtime: Runtime, selected: Selected, cut: Cut) -> Float[ndarray, "stages batch classes"]:
        """Compute the logits of every stage for every picture."""
        ...


def spaced_scores(map: Float32[ndarray, "batch cells"], grid: Grid, spacing: float) -> Float32[ndarray, "batch cells"]:
    """Return the scores that decide which cells are read: the map's, and `spacing` more for every other cell."""
    return map.astype(np.float32, copy=False) + np.float32(spacing) * chessboard(grid)


def choose_cells(scores: Float32[ndarray, "batch cells"], k: int) -> Int64[ndarray, "batch {k}"]:
    """Return the k cells with the highest scores, best first; of equal scores the lower cell first."""
    return np.argsort(-scores.astype(np.float32, copy=False), axis=1, kind="stable")[:, :k].astype(np.int64, copy=False)


def select_cells(runtime: Runtime, batch: Batch, total: int, first: int, spacing: float) -> Selected:
    """Run the selector and order the best `total` cells of each picture, of which `first` are read to begin with.

    spacing: see `Config.map_spacing`.
    """
    selection = runtime.select(stack([picture.thumbnail for picture in batch.pictures]), batch.grid)
    return Selected(batch, selection, choose_cells(spaced_scores(selection.map, batch.grid, spacing), total), first)


def unread_of(
    coarse: Coarse[NDArray[Any]], cells: Int64[ndarray, "batch k"], grid: Grid
) -> Coarse[NDArray[Any]] | None:
    """Keep the coarse patches that cells of `grid` leave unread; None if they leave none."""
    count = count_unread(coarse.patches.shape[1], cells.shape[1], grid[0] * grid[1])
    if not count:
        return None
    places = least_covered(cells, grid, coarse.grid, count)
    return Coarse(np.take_along_axis(coarse.patches, places[..., None, None, None], axis=1), coarse.grid, places)


def coarse_of(batch: Batch, patch: int) -> Coarse[NDArray[Any]] | None:
    """Cut the coarse thumbnails of a batch into patches (batch, coarse, patch, patch, 3); None if there are none."""
    thumbnails = [picture.coarse for picture in batch.pictures if picture.coarse is not None]
    if not thumbnails:
        return None
    pixels = stack(thumbnails)
    rows, columns = pixels.shape[1] // patch, pixels.shape[2] // patch
    patches = pixels.reshape(-1, rows, patch, columns, patch, 3).swapaxes(2, 3)
    return Coarse(patches.reshape(-1, rows * columns, patch, patch, 3), (rows, columns))
