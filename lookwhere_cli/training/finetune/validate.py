"""The score of a model in training on the pictures held back: what `evaluate` says of it at its own k."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from lookwhere_cli.adaptive import AdaptivePredictor
from lookwhere_cli.checkpoints.folder import Loaded, Model
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.dvt_predictor import DVTPredictor
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.metrics.eval_set import Field, task_for
from lookwhere_cli.metrics.exits import Exits
from lookwhere_cli.metrics.passes import Look
from lookwhere_cli.metrics.scores import Scores
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.staged import StagedPredictor

BATCH, WORKERS = 16, 2
T = TypeVar("T")


def validate(model: Model, labelled: LabelledSet) -> dict[str, float]:
    """The figures of the task by name, the one that counts first; see `metrics`.

    A cascade's are those of its last exit or look, and then "exit 1", "exit 2", ...: what counts, of each.
    """
    predictor = _predictor(model)
    held_back = replace(labelled, examples=labelled.of("val"))
    task, field = task_for(held_back, model.config, "this run's model"), Field(held_back, _untold)
    if not isinstance(predictor, StagedPredictor):
        return _figures(field.scores(predictor, [Look("selector", model.config.k)], task, "")[0])
    exits = Exits(predictor)
    each = [_figures(scores) for scores in field.scored(exits, exits.outcomes, task, "")[:-1]]
    return each[-1] | {f"exit {number}": next(iter(one.values())) for number, one in enumerate(each, start=1)}


def _figures(scores: Scores) -> dict[str, float]:
    return {name: float(figure.value) for name, figure in scores.figures.items()}


def _predictor(model: Model) -> Predictor:
    config = model.config
    device = next(model.parameters()).device
    loaded = Loaded(model, config, "this run's model", "", Path(), device, torch.float32)
    reading = Reading(
        config.patch,
        config.size,
        "whole",
        config.crop_share,
        config.thumbnail_filter,
        coarse_size=config.coarse_size,
    )
    if config.exits:
        return DVTPredictor(loaded, reading, top=1, batch_size=BATCH, workers=WORKERS)
    if config.looks:
        return AdaptivePredictor(loaded, reading, top=1, batch_size=BATCH, workers=WORKERS)
    return Predictor(loaded, reading, k=config.k, top=1, batch_size=BATCH, workers=WORKERS)


def _untold(items: Iterable[T], total: int, title: str) -> Iterable[T]:
    return items
