"""What selector and extractor exchange, as arrays of any kind: NumPy's outside of a runtime, torch's inside.

Imports no torch.
"""

from __future__ import annotations

from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

A = TypeVar("A")
Grid: TypeAlias = tuple[int, int]
"""(rows, columns) of cells."""


class Selection(NamedTuple, Generic[A]):
    """What the selector says of a batch of thumbnails.

    map: (batch, cells) float32, the selector map, row by row; a cell with a higher score is read earlier, but
    for `Config.map_spacing`.
    prefix_tokens: (batch, prefix, dim), the selector's CLS and registers, which summarise the picture.
    """

    map: A
    prefix_tokens: A


class Coarse(NamedTuple, Generic[A]):
    """A thumbnail of the whole picture that the extractor reads beside the chosen cells.

    patches: (batch, coarse, ...), those of its patches that are read, row by row, in the same form as `Chosen.patches`.
    grid: (rows, columns) of all its patches.
    cells: (batch, coarse) int64, the place of each patch on `grid`, row * columns + column; None if all are read.
    """

    patches: A
    grid: Grid
    cells: A | None = None

    def at(self, places: Any) -> Coarse[A]:
        """Index the batch, as `Chosen.at` does."""
        cells = None if self.cells is None else _at(self.cells, places)
        return Coarse(_at(self.patches, places), self.grid, cells)


class Chosen(NamedTuple, Generic[A]):
    """All that the extractor is given of a batch of pictures with one grid.

    patches: NumPy: (batch, k, patch, patch, 3) uint8, RGB; torch: (batch, k, 3, patch, patch), normalised.
    cells: (batch, k) int64, the patches' cells, each row * columns + column, in the order of the patches.
    grid: (rows, columns) of the whole picture.
    prefix_tokens: (batch, prefix, dim), from the selector.
    coarse: the whole picture at low resolution, or None.
    """

    patches: A
    cells: A
    grid: Grid
    prefix_tokens: A
    coarse: Coarse[A] | None = None

    def at(self, places: Any) -> Chosen[A]:
        """Index the batch: only the pictures at these places, in their order (an index array, a list or a slice)."""
        coarse = self.coarse and self.coarse.at(places)
        return Chosen(
            _at(self.patches, places), _at(self.cells, places), self.grid, _at(self.prefix_tokens, places), coarse
        )


def _at(array: Any, places: Any) -> Any:
    return array[places]
