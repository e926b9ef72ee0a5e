"""The graph of detection: what each point of the cells that remain predicts. Merging boxes is left to NumPy."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lookwhere_cli.export.graphs import HeadGraph, LastBlock
from lookwhere_cli.export.pruning import Pruned
from lookwhere_cli.models.detector import boxes_around, points_of
from lookwhere_cli.models.lookwhere import LookWhere


class PointsGraph(HeadGraph):
    """Boxes, points, class scores and, of a model that finds masks, what these are made of.

    Lengths are in cells of the picture's grid. Boxes that overlap, low scores and masks in boxes have sizes that depend
    on the answer, so nothing of that is here.
    """

    def __init__(self, model: LookWhere) -> None:
        super().__init__()
        self.last, self.detector, self.pools_cells = LastBlock(model), model.detector, model.config.pool == "max"
        masks = ("masks",) if model.config.has_masks else ()
        self.outputs = ("boxes", "points", "classes", *masks, "pooled", "tokens", "remaining")

    def forward(self, last: Pruned, given: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Return the numbers of each point, what is pooled, the cells' tokens, and which cells these are."""
        cells, grid = given["cells"], given["grid"]
        cls, tokens, places = self.last.cells(last, cells.shape[1])
        read = cells.gather(1, places) if self.last.prunes else cells
        points = points_of(read, (grid[0], grid[1]), self.detector.side)
        found = self.detector.predict(tokens)
        pooled = tokens.amax(dim=1) if self.pools_cells else cls
        return boxes_around(points, found.distances), points, *found.others, pooled, tokens, places
