"""Pipelines derived from another one: the same model, used differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.strategies.base import AmountStrategy, StagedStrategy
from lookwhere_cli.strategies.registry import check_amount, fixed_strategy, looks_strategy


def with_k(pipeline: Pipeline, k: Amount) -> Pipeline:
    """Return the pipeline with another amount of cells. Raises ModelError if its strategy reads no fixed amount."""
    return replace(pipeline, strategy=amount_strategy(pipeline).with_k(k))


def amount_strategy(pipeline: Pipeline) -> AmountStrategy:
    """Return the strategy of a pipeline that reads a fixed amount of cells. Raises ModelError for any other."""
    if not isinstance(pipeline.strategy, AmountStrategy):
        raise pipeline.refusal("an answer at a fixed number of cells")
    return pipeline.strategy


def default_amount(pipeline: Pipeline) -> Amount:
    """Return the amount of cells that a pipeline reads: a count, if a share of so large a picture is limited.

    Raises ModelError if its strategy reads no fixed amount.
    """
    strategy, reading = amount_strategy(pipeline), pipeline.reader.reading
    side = reading.size // reading.patch
    count = strategy.stage_cells((side, side))[-1]
    return strategy.k if strategy.k.resolve(side**2) == count else Amount.cells(count)


def with_looks(pipeline: Pipeline, looks: Sequence[Amount]) -> Pipeline:
    """Return the pipeline with looks, not calibrated: the last one answers. Raises UsageError for impossible looks.

    looks: the cells that have been read after each look.
    """
    reading = pipeline.reader.reading
    try:
        config = replace(pipeline.config, looks=tuple(looks), thresholds=(), expected_macs=0)
    except ValueError as error:
        raise UsageError(f"{error}.") from error
    check_amount(config.looks[-1], reading.size, reading.patch)
    return replace(pipeline, strategy=looks_strategy(config, reading.coarse_size))


def with_thresholds(pipeline: Pipeline, thresholds: Sequence[float]) -> Pipeline:
    """Return the pipeline with other thresholds. Raises ModelError if its strategy has a single stage."""
    return replace(pipeline, strategy=staged_strategy(pipeline).with_thresholds(thresholds))


def staged_strategy(pipeline: Pipeline) -> StagedStrategy:
    """Return the strategy of a pipeline that answers in stages. Raises ModelError for any other."""
    if not isinstance(pipeline.strategy, StagedStrategy):
        raise ModelError(
            f"The model {pipeline.info.name!r} answers in one stage, so there is nothing to calibrate; choose --looks "
            "(12.5%,37.5%), or train a model with several stages: lookwhere train --method dvt."
        )
    return pipeline.strategy


def at_size(pipeline: Pipeline, size: int) -> Pipeline:
    """Return the pipeline reading all cells of a grid of about size x size pixels, without a coarse thumbnail."""
    reading = replace(pipeline.reader.reading, size=size, coarse_size=0)
    strategy = fixed_strategy(pipeline.config, ALL_CELLS, coarse_size=0)
    return replace(pipeline, strategy=strategy, reader=PictureReader(reading, strategy.thumbnail_grid))
