"""A predictor that looks closer where it is unsure: as many cells as each picture needs, `--patches auto`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.amounts import Amount, AmountLike
from lookwhere_cli.answers import Explanation
from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.frame import Grid, Reading
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.cascade.looks import Seen, looks_of
from lookwhere_cli.models.cascade.stages import Decided, decide, every
from lookwhere_cli.models.selector import choose
from lookwhere_cli.predictor import Glimpse, Picture, Predictor
from lookwhere_cli.staged import StagedPredictor


class AdaptivePredictor(StagedPredictor):
    """A model whose config says how far each look reads, and from which confidence on it answers.

    `lookwhere_cli.load(k="auto")` makes one. Without thresholds, as `adaptive` makes them, the last look answers all.
    """

    def __init__(self, loaded: Loaded, reading: Reading, *, top: int, batch_size: int, workers: int) -> None:
        """Raises ModelError where the config has no looks."""
        self.looks = _looks(loaded)
        super().__init__(
            loaded,
            reading,
            k=self.looks[-1],
            stages=len(self.looks),
            top=top,
            batch_size=batch_size,
            workers=workers,
        )

    def features(self, pictures: Iterable[Picture], dense: bool = False) -> NoReturn:
        """Raises UsageError: pictures that are read differently far have no features in common."""
        raise UsageError("With auto pictures have no features that compare; give a number of cells or a share of them.")

    def explain(self, picture: Picture) -> Explanation:
        """As for a fixed k, but that the row is what the looks came to; predictions at other k are of fixed ones."""
        fixed = super().explain(picture)
        opened = {name: fixed.seconds[name] for name in ("open", "thumbnail")}
        view, before = fixed.view, sum(opened.values())
        row = self._answer([Glimpse(view, self.thumbnail(view), self.coarse_thumbnail(view), before)])[0].row
        return replace(
            fixed,
            row=row,
            seconds=opened | {"look": row.seconds - before},
            predictions=dict(sorted((fixed.predictions | {row.k: row.labels}).items())),
            macs=dict(sorted((fixed.macs | {row.k: row.macs}).items())),
            looks=self.ks(view.grid)[: row.exit],
            left=None,  # it was found for the fixed k
        )

    def ks(self, grid: Grid) -> tuple[int, ...]:
        """How many cells of `grid` have been read after each look."""
        return tuple(k.resolve(grid[0] * grid[1]) for k in self.looks)

    def every_stage(self, glimpses: Sequence[Glimpse]) -> Float[Tensor, "looks batch labels"]:
        """The logits of all looks for all pictures of one grid."""
        return torch.stack(every(looks_of(self.model, self.ks(glimpses[0].view.grid)), self._seen(glimpses)))

    def decide(
        self, glimpses: Sequence[Glimpse], thresholds: Sequence[float]
    ) -> tuple[Decided, Sequence[NDArray[np.int64]]]:
        """Logits of pictures of one grid, each from the first look that is sure of it; cells as they are read."""
        seen = self._seen(glimpses)
        return decide(looks_of(self.model, self.ks(seen.grid)), seen, thresholds), list(seen.order.cpu().numpy())

    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """How many cells have been read after each look."""
        return self.ks(grid)

    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds by then, all passes included, of a picture of that grid that leaves at each look."""
        coarse = self.coarse_grid(grid) or (0, 0)
        return macs.count_looks(
            self.config, grid, self.thumbnail_grid(grid), self.ks(grid), coarse=coarse[0] * coarse[1]
        )

    def _seen(self, glimpses: Sequence[Glimpse]) -> Seen:
        """Pictures of one grid, before the first look."""
        grid = glimpses[0].view.grid
        selection = self.select([glimpse.thumbnail for glimpse in glimpses], grid)
        order = choose(selection.map, self.ks(grid)[-1])
        source = _Views([glimpse.view for glimpse in glimpses], self._normalised)
        return Seen(source, grid, order, selection.prefix_tokens, self.coarse([glimpse.coarse for glimpse in glimpses]))


class _Views(NamedTuple):
    """Pictures whose cells are read as they are asked for."""

    views: Sequence[View]
    normalised: Callable[[Sequence[NDArray[Any]]], Tensor]

    def at(self, places: Int64[Tensor, " left"]) -> _Views:
        return _Views([self.views[place] for place in places.tolist()], self.normalised)

    def patches(self, cells: Int64[Tensor, "batch more"]) -> Float[Tensor, "batch more 3 patch patch"]:
        chosen = zip(self.views, cells.cpu().numpy(), strict=True)
        return self.normalised([view.patches(one) for view, one in chosen])


def adaptive(predictor: Predictor, looks: Sequence[AmountLike] = ()) -> AdaptivePredictor:
    """The predictor's model with these looks, or its config's, and without thresholds: to be calibrated.

    Raises UsageError for looks that can't be or that the model can't take, ModelError where there are none.
    """
    loaded = predictor.loaded
    try:
        chosen = tuple(map(Amount.parse, looks)) or loaded.config.looks
        config = replace(loaded.config, looks=chosen, thresholds=(), expected_macs=0)
    except ValueError as failure:
        raise UsageError(f"{failure}.") from failure
    return AdaptivePredictor(
        replace(loaded, config=config),
        predictor.reading,
        top=predictor.top,
        batch_size=predictor.batch_size,
        workers=predictor.workers,
    )


def check_calibrated(loaded: Loaded) -> None:
    """Raise ModelError for a model of which nobody knows when it is sure."""
    if not loaded.config.thresholds:
        raise ModelError(
            f"The model {loaded.name!r} was never calibrated, so nobody knows when a first look is enough; do that "
            f"first: lookwhere calibrate PICTURES --model {loaded.name} --budget 60% --out FOLDER."
        )


def _looks(loaded: Loaded) -> tuple[Amount, ...]:
    if not loaded.config.looks:
        raise ModelError(
            f"The model {loaded.name!r} has no looks to choose from; choose some: "
            f"lookwhere calibrate PICTURES --model {loaded.name} --looks 12.5%,37.5% --budget 60% --out FOLDER."
        )
    return loaded.config.looks
