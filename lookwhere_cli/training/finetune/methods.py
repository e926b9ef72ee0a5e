"""The methods that a model can be trained with, and what differs between them.

What needs torch is imported when it is used, so that options can be checked before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from lookwhere_cli.amounts import ALL_CELLS, MacsShare, PruneAmount
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.frame import grid_for
from lookwhere_cli.models.cascade.shapes import check_growth
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.config import Config
from lookwhere_cli.sizes import check_multiple_of_patch
from lookwhere_cli.training.finetune.shape import Method, Shape

if TYPE_CHECKING:
    from lookwhere_cli.heads.training.base import TrainingHead
    from lookwhere_cli.models.build import Model
    from lookwhere_cli.models.lookwhere import LookWhere
    from lookwhere_cli.training.finetune.criterion import Criterion
    from lookwhere_cli.training.finetune.objective import FineTuningObjective
    from lookwhere_cli.training.finetune.steering import Steering

CASCADE_SIDES = (0.5, 10 / 14, 1.0)
"""Sides of a cascade's grids, as shares of the last one's: those of the published 7, 10 and 14."""


class TrainingMethod(Protocol):
    """A method of --method."""

    @property
    def has_selector(self) -> bool:
        """True if a selector chooses the cells; all others read all cells."""
        ...

    @property
    def can_prune(self) -> bool:
        """True if the model may drop tokens between blocks."""
        ...

    @property
    def default_prune(self) -> PruneAmount | None:
        """What the model drops unless that is chosen; None is nothing."""
        ...

    @property
    def has_exits(self) -> bool:
        """True if the model is a cascade, whose grids can be chosen."""
        ...

    def configure(self, config: Config, base: Config, shape: Shape, head: TrainingHead) -> Config:
        """Complete the new model's config, whose task and grid are set. Raises UsageError, ModelError."""
        ...

    def start(self, base: LookWhere, config: Config) -> Model:
        """Return a model with this config and the weights of `base`, float32, trainable."""
        ...

    def objective(self, model: Model, criterion: Criterion, steering: Steering) -> FineTuningObjective:
        """Return what is minimised."""
        ...


class _LookWhereMethod:
    """What methods that train a LookWhere model have in common, with or without a selector."""

    has_exits = False

    def start(self, base: LookWhere, config: Config) -> Model:
        """Resize and extend the weights of `base`."""
        from lookwhere_cli.training.finetune.start import start_of

        return start_of(base, config)

    def objective(self, model: Model, criterion: Criterion, steering: Steering) -> FineTuningObjective:
        """Minimise the task's loss on the cells that are read, and what trains selector and pruning modules."""
        from lookwhere_cli.training.finetune.objective import objective_of

        return objective_of(model, criterion, steering)


@dataclass(frozen=True)
class SelectorMethod(_LookWhereMethod):
    """LookWhere: a selector chooses the cells that the extractor reads."""

    has_selector = True
    can_prune = True
    default_prune = None

    def configure(self, config: Config, base: Config, shape: Shape, head: TrainingHead) -> Config:
        """Set the coarse thumbnail, and the selector's depth and thumbnail."""
        if not base.has_selector:
            raise ModelError("The model to start from has no selector; choose another one, or use --method full.")
        depth = shape.selector_depth or base.selector_depth
        if depth > base.extractor_depth:
            raise UsageError(
                f"The selector can have at most the extractor's {base.extractor_depth} blocks, not {depth}."
            )
        size = check_multiple_of_patch("thumbnail size", shape.thumbnail_size or base.thumbnail_size, base.patch)
        thumbnail_grid = grid_for(*config.grid, size, base.patch)
        return replace(
            config,
            coarse_size=shape.coarse and check_multiple_of_patch("coarse size", shape.coarse, base.patch),
            thumbnail_grid=thumbnail_grid,
            selector_depth=depth,
            map_scale=-(-config.grid[0] // thumbnail_grid[0]),
        )


@dataclass(frozen=True)
class WholeMethod(_LookWhereMethod):
    """A ViT without a selector, which reads all cells. With `default_prune`, Cropr: it drops some between blocks."""

    can_prune: bool = False
    default_prune: PruneAmount | None = None

    has_selector = False

    def configure(self, config: Config, base: Config, shape: Shape, head: TrainingHead) -> Config:
        """Remove the selector."""
        return replace(config, selector_depth=0, prefix="own", k=ALL_CELLS)


@dataclass(frozen=True)
class CascadeMethod:
    """DVT: a cascade of ViTs over growing grids."""

    has_selector = False
    can_prune = False
    default_prune = None
    has_exits = True

    def configure(self, config: Config, base: Config, shape: Shape, head: TrainingHead) -> Config:
        """Remove the selector, and set the grids of the exits; the last one reads the model's own grid."""
        if not head.has_one_label or config.pool != "cls":
            raise UsageError(
                "--method dvt stops at the exit that is confident of one class; it needs one label per picture, and "
                "--pool cls."
            )
        side = (shape.size or base.size) // config.patch
        grids = exit_grids(shape.exits, config.grid, side)
        if grids[-1] != config.grid:
            raise UsageError(
                f"--exits ends with {grids[-1][0]} x {grids[-1][1]} cells, but the model reads {config.grid[0]} x "
                f"{config.grid[1]}; end with {side}, or choose another --size."
            )
        try:
            check_growth(grids)
        except ValueError as failure:
            raise UsageError(f"--exits: {failure}.") from failure
        exits = tuple((*grid, config.patch, 0) for grid in grids)
        return replace(config, selector_depth=0, prefix="own", k=ALL_CELLS, exits=exits)

    def start(self, base: LookWhere, config: Config) -> Model:
        """Give each exit the extractor's weights."""
        from lookwhere_cli.training.finetune.cascade import start_cascade

        return start_cascade(base, config)

    def objective(self, model: Model, criterion: Criterion, steering: Steering) -> FineTuningObjective:
        """Minimise the sum of the exits' losses."""
        from lookwhere_cli.training.finetune.cascade import cascade_objective

        return cascade_objective(model, criterion)


METHODS: dict[Method, TrainingMethod] = {
    "lookwhere": SelectorMethod(),
    "cropr": WholeMethod(can_prune=True, default_prune=MacsShare(0.5)),
    "dvt": CascadeMethod(),
    "full": WholeMethod(),
}


def exit_grids(exits: tuple[int | Grid, ...], own: Grid, side: int) -> list[Grid]:
    """Return a cascade's grids; see `Shape.exits`. own: the model's grid. side: of a square with as many cells."""
    chosen = exits or tuple(round(share * side) for share in CASCADE_SIDES)
    return [_exit_grid(one, own, side) for one in chosen]


def _exit_grid(chosen: int | Grid, own: Grid, side: int) -> Grid:
    if not isinstance(chosen, int):
        return chosen
    return own if chosen == side else grid_for(*own, chosen, 1)
