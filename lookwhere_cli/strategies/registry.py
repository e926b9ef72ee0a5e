"""The strategy that a model's config asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.images.frame import Reading, grid_for
from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.coarse import count_coarse
from lookwhere_cli.models.config import Config
from lookwhere_cli.options import AUTO
from lookwhere_cli.strategies.base import Strategy
from lookwhere_cli.strategies.fixed import MOST, FixedStrategy
from lookwhere_cli.strategies.grids import GridsStrategy
from lookwhere_cli.strategies.looks import LooksStrategy
from lookwhere_cli.strategies.stages import DISABLED


def strategy_for(model: str, config: Config, k: Amount | Literal["auto"] | None, reading: Reading) -> Strategy:
    """Make the strategy that a user asks for.

    model: its name, for errors. k: cells to read, "auto" for looks, None for the model's own.
    Raises UsageError for an amount or a reading that the model can't be used with, ModelError for "auto" without
    calibrated looks.
    """
    if config.exits:
        _check_whole(model, config, k, reading)
        return grids_strategy(config)
    if k == AUTO:
        _check_calibrated(model, config)
        check_amount(config.looks[-1], reading.size, reading.patch)
        return looks_strategy(config, reading.coarse_size)
    check_amount(_own_k(config, reading.coarse_size) if k is None else k, reading.size, reading.patch)
    return fixed_strategy(config, k, reading.coarse_size)


def check_amount(k: Amount, size: int, patch: int) -> Amount:
    """Return k. Raises UsageError for a count that is larger than any grid of this size."""
    cells = (size // patch) ** 2
    if not k.is_share and k.value > cells:
        raise UsageError(f"k = {k} is more than the {cells} cells of {size} x {size} pixels; give at most {cells}.")
    return k


def default_strategy(config: Config) -> FixedStrategy | GridsStrategy:
    """Make the strategy of a model as it is used by default."""
    return grids_strategy(config) if config.exits else fixed_strategy(config)


def fixed_strategy(config: Config, k: Amount | None = None, coarse_size: int | None = None) -> FixedStrategy:
    """Make a strategy that reads k cells; k and the coarse thumbnail's size in pixels are the model's own if None.

    The model's own share comes to `MOST` cells at most, or as many as it was trained with if those are more.
    """
    size = config.coarse_size if coarse_size is None else coarse_size
    counts = _coarse_counter(config, size), head_of(config).count_macs
    if k is not None:
        return FixedStrategy(config, k, *counts)
    own = _own_k(config, size)
    limited = config.has_selector and not own.is_all
    most = max(MOST, own.resolve(config.cells)) if limited else None
    return FixedStrategy(config, own, *counts, most)


def _own_k(config: Config, coarse_size: int) -> Amount:
    """Return the amount of cells that the model reads by default, with or without a coarse thumbnail."""
    return config.coarse_k if coarse_size and config.coarse_k is not None else config.k


def looks_strategy(config: Config, coarse_size: int | None = None) -> LooksStrategy:
    """Make the strategy of `-k auto`. Without thresholds in the config the last look answers all."""
    thresholds = config.thresholds or (DISABLED,) * (len(config.looks) - 1)
    size = config.coarse_size if coarse_size is None else coarse_size
    return LooksStrategy(config, thresholds, _coarse_counter(config, size))


def grids_strategy(config: Config) -> GridsStrategy:
    """Make the strategy of a cascade over grids. Without thresholds in the config the last exit answers all."""
    return GridsStrategy(config, config.thresholds or (DISABLED,) * (len(config.exits) - 1))


def _coarse_counter(config: Config, size: int) -> Callable[[Grid, int], int]:
    return partial(_count_coarse, config=config, size=size)  # which can be pickled, as a predictor must be


def _count_coarse(grid: Grid, k: int, config: Config, size: int) -> int:
    """Return how many coarse patches are read beside k cells."""
    coarse = math.prod(grid_for(*grid, size, config.patch)) if size else 0
    return count_coarse(config, coarse, k, math.prod(grid))


def _check_calibrated(model: str, config: Config) -> None:
    if config.task != "classify" or config.multi_label:
        raise ModelError(
            f"The model {model!r} {head_of(config).verb}; -k auto stops when a model is confident of one label for the "
            "picture, so give a number of cells (94), a share of them (25%), or all."
        )
    if not config.looks:
        raise ModelError(
            f"The model {model!r} has no looks to choose from; choose some: "
            f"lookwhere calibrate PICTURES --model {model} --looks 12.5%,37.5% --budget 60% --out FOLDER."
        )
    if not config.thresholds:
        raise ModelError(
            f"The model {model!r} was never calibrated, so it is not known when a first look is enough; calibrate it: "
            f"lookwhere calibrate PICTURES --model {model} --budget 60% --out FOLDER."
        )


def _check_whole(model: str, config: Config, k: Amount | Literal["auto"] | None, reading: Reading) -> None:
    """Raise UsageError for what a cascade over grids can't do: read a part, or grids without room to grow."""
    if reading.coarse_size or not (k in (None, AUTO) or (isinstance(k, Amount) and k.is_all)):
        raise UsageError(
            f"The model {model!r} is a cascade that reads all cells of each grid; leave -k and --coarse out."
        )
    least = config.patch * len(config.exits)
    if reading.size < least:
        raise UsageError(
            f"A size of {reading.size} leaves no room for {len(config.exits)} grids that grow; take at least {least}."
        )
