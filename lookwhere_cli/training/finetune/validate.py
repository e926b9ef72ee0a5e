"""The scores of a model in training on the validation pictures: those that `lookwhere evaluate` gives at its own k."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.metrics.scores import Scores
from lookwhere_cli.models.build import Model
from lookwhere_cli.pipeline import ModelInfo, Pipeline
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.runtimes.torch import runtime_of
from lookwhere_cli.scoring.eval_set import EvalSet, ScoringTask
from lookwhere_cli.scoring.passes import CellPolicy, StagePass
from lookwhere_cli.strategies.base import StagedStrategy
from lookwhere_cli.strategies.registry import default_strategy, looks_strategy
from lookwhere_cli.stream import StreamOptions
from lookwhere_cli.training.skipped import Skipped

BATCH, WORKERS = 16, 2
T = TypeVar("T")


def validate(model: Model, labelled: LabelledSet, failed: list[str] | None = None) -> dict[str, float]:
    """Return the task's scores on the set's validation pictures, by name; the one that counts comes first.

    Those of a model with stages (exits or looks) are of the last stage; the main score of each stage follows, as
    "exit 1", "exit 2", ...
    failed: becomes a sentence for each picture that can't be read. Raises DataError if those are more than a tenth.
    """
    eval_set = EvalSet(replace(labelled, examples=labelled.of("val")), _no_progress)
    values = _scores(pipeline_of(model), model, eval_set)
    skipped = Skipped(len(eval_set.labelled.examples), "validation picture")
    sentences = skipped.new((sentence, sentence) for sentence in eval_set.failed)
    skipped.check()
    if failed is not None:
        failed[:] = sentences
    return values


def _scores(pipeline: Pipeline, model: Model, eval_set: EvalSet) -> dict[str, float]:
    if not isinstance(pipeline.strategy, StagedStrategy):
        (scores,) = eval_set.score_policies(pipeline, [CellPolicy("selector", model.config.k)], "")
        return _values(scores)
    task, stage_pass = ScoringTask(pipeline, eval_set.labelled), StagePass(pipeline)
    scores_by_stage = eval_set.score(task, stage_pass.stages + 1, partial(stage_pass.measure, task.measure), "")
    stages = [_values(scores) for scores in scores_by_stage[:-1]]
    return stages[-1] | {f"exit {number}": next(iter(one.values())) for number, one in enumerate(stages, start=1)}


def pipeline_of(model: Model) -> Pipeline:
    """Return the pipeline of a model in training; a model with looks takes all of them."""
    config, parameter = model.config, next(model.parameters())
    strategy = looks_strategy(config) if config.looks else default_strategy(config)
    reading = Reading(
        config.patch, config.size, "whole", config.crop_share, config.thumbnail_filter, coarse_size=config.coarse_size
    )
    return Pipeline(
        runtime_of(model, parameter.device, torch.float32),
        strategy,
        head_of(config),
        PictureReader(reading, strategy.thumbnail_grid),
        ModelInfo("this run's model", "", Path()),
        StreamOptions(BATCH, WORKERS),
    )


def _values(scores: Scores) -> dict[str, float]:
    return {name: float(score.value) for name, score in scores.metrics.items()}


def _no_progress(items: Iterable[T], total: int, title: str) -> Iterable[T]:
    return items
