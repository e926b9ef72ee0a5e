"""Predictors of staged models, with thresholds of one's own, and their confidence in each picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.probabilities import confidence
from lookwhere_cli.strategies.base import Batch, StagedStrategy, Strategy
from lookwhere_cli.stream import Cutter


def with_strategy(predictor: Predictor, strategy: Strategy) -> Predictor:
    """The same predictor, but for how far pictures are read."""
    return Predictor(replace(predictor.pipeline, strategy=strategy))


def with_thresholds(predictor: Predictor, thresholds: Sequence[float]) -> Predictor:
    return with_strategy(predictor, staged(predictor).with_thresholds(thresholds))


def staged(predictor: Predictor) -> StagedStrategy:
    strategy = predictor.pipeline.strategy
    assert isinstance(strategy, StagedStrategy)
    return strategy


def loaded(folder: Path | str, **options: object) -> Predictor:
    return load(str(folder), device="cpu", **options)  # type: ignore[arg-type]


def confidences(predictor: Predictor, files: Iterable[str]) -> Float[ndarray, "stages pictures"]:
    """Each picture's confidence at every stage, one picture after another."""
    return np.concatenate([confidence(_logits(predictor, file)) for file in files], axis=1)


def middling(predictor: Predictor, files: Iterable[str]) -> tuple[float, float]:
    """Thresholds by which some pictures leave at each of three stages, none being just so."""
    sure = confidences(predictor, files)
    first = np.sort(sure[0])[7:9].mean()
    return float(first), float(np.sort(sure[1, sure[0] < first])[3:5].mean())


def _logits(predictor: Predictor, file: str) -> Float[ndarray, "stages 1 classes"]:
    pipeline = predictor.pipeline
    opened = pipeline.reader.prepare(file)
    selected = pipeline.strategy.select(pipeline.runtime, Batch([opened], opened.view.grid))
    return staged(predictor).run_all(
        pipeline.runtime, selected, lambda places, cells: Cutter(1).cut([opened.view for _ in places], cells)
    )
