"""A runtime that is neither a network nor torch: it scores cells by brightness and answers with their mean colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lookwhere_cli.models.chosen import Chosen, Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.runtimes.base import CellTokens, Pixels


@dataclass(frozen=True)
class FakeRuntime:
    """Labels are red, green and blue; a cell is read earlier the brighter it is."""

    config: Config
    device: str = "cpu"
    dtype: str = "float32"

    def select(self, thumbnails: Pixels, grid: Grid) -> Selection[NDArray[Any]]:
        """The brightness of the nearest pixel of the thumbnail."""
        rows = (np.arange(grid[0]) + 0.5) / grid[0] * thumbnails.shape[1]
        columns = (np.arange(grid[1]) + 0.5) / grid[1] * thumbnails.shape[2]
        scores = thumbnails.mean(-1, dtype=np.float32)[:, rows.astype(int)][:, :, columns.astype(int)]
        return Selection(scores.reshape(len(scores), -1), np.zeros((len(scores), 1, 3), np.float32))

    def answer(self, chosen: Chosen[NDArray[Any]]) -> NDArray[np.float32]:
        """The mean colour, or for a model that segments that of each cell, black where none was read."""
        if not self.config.decoder_channels:
            return self.pool(chosen)
        scores = np.zeros((len(chosen.cells), chosen.grid[0] * chosen.grid[1], 3), np.float32)
        np.put_along_axis(scores, chosen.cells[..., None], self._colours(chosen), axis=1)
        return np.ascontiguousarray(scores.reshape(-1, *chosen.grid, 3).transpose(0, 3, 1, 2))

    def pool(self, chosen: Chosen[NDArray[Any]]) -> NDArray[np.float32]:
        """The mean colour."""
        return self._colours(chosen).mean(1)

    def tokens(self, chosen: Chosen[NDArray[Any]]) -> CellTokens:
        """The mean colour of each cell."""
        return CellTokens(self._colours(chosen), chosen.cells)

    def answer_with_survivors(self, chosen: Chosen[NDArray[Any]]) -> tuple[NDArray[np.float32], None]:
        """Nothing is pruned."""
        return self.answer(chosen), None

    def warm_up(self) -> None:
        """Nothing to do."""

    def synchronise(self) -> None:
        """Nothing to wait for."""

    def _colours(self, chosen: Chosen[NDArray[Any]]) -> NDArray[np.float32]:
        return chosen.patches.mean((2, 3), dtype=np.float32) / 16
