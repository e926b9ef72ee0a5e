"""The score of a model in training on the pictures held back: what `evaluate` says of it at its own k."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.training.examples import Labelled
from lookwhere_cli.training.field import Field, task_for
from lookwhere_cli.training.passes import Look

BATCH, WORKERS = 16, 2
T = TypeVar("T")


def validate(model: LookWhere, labelled: Labelled) -> dict[str, float]:
    """The figures of the task by name, the one that counts first; see `metrics`."""
    predictor = _predictor(model)
    held_back = replace(labelled, examples=labelled.of("val"))
    task = task_for(held_back, model.config, "this run's model")
    scores = Field(held_back, _untold).scores(predictor, [Look("selector", model.config.k)], task, "")[0]
    return {name: float(figure.value) for name, figure in scores.figures.items()}


def _predictor(model: LookWhere) -> Predictor:
    config = model.config
    device = model.extractor.cls_token.device
    loaded = Loaded(model, config, "this run's model", "", Path(), device, torch.float32)
    reading = Reading(
        config.patch,
        config.size,
        "whole",
        config.crop_share,
        config.thumbnail_filter,
        coarse_size=config.coarse_size,
    )
    return Predictor(loaded, reading, k=config.k, top=1, batch_size=BATCH, workers=WORKERS)


def _untold(items: Iterable[T], total: int, title: str) -> Iterable[T]:
    return items
