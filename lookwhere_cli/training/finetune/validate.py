"""The scores of a model in training on the validation pictures: those that `lookwhere evaluate` gives at its own k."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.masks import IGNORED, load_mask
from lookwhere_cli.data.matching import match_classes
from lookwhere_cli.heads.registry import head_of
from lookwhere_cli.heads.segment import classes_at
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.metrics.scores import Masks, Scorer, SeveralLabels, SingleLabel, counted
from lookwhere_cli.models.build import Model
from lookwhere_cli.pipeline import ModelInfo, Pipeline
from lookwhere_cli.probabilities import sigmoid, softmax
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.runtimes.torch import runtime_of
from lookwhere_cli.strategies.base import Batch, StagedStrategy
from lookwhere_cli.strategies.registry import default_strategy, looks_strategy
from lookwhere_cli.stream import Cutter, StreamOptions

BATCH, WORKERS = 16, 2


def validate(model: Model, labelled: LabelledSet) -> dict[str, float]:
    """Return the task's scores on the set's validation pictures, by name; the one that counts comes first.

    Those of a model with stages (exits or looks) are of the last stage; the main score of each stage follows, as
    "exit 1", "exit 2", ...
    """
    examples = labelled.of("val")
    with closing(_stage_outputs(pipeline_of(model), [example.path for example in examples])) as outputs:
        answered = [(example, one) for example, one in zip(examples, outputs, strict=True) if one is not None]
    classes = match_classes(labelled.classes, model.config.labels)
    score = {"single": _single, "multi": _multi, "masks": _masks}[labelled.kind]
    stages = [
        score([example for example, _ in answered], [one[stage] for _, one in answered], classes)
        for stage in range(len(answered[0][1]))
    ]
    if len(stages) == 1:
        return stages[0]
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


def _stage_outputs(pipeline: Pipeline, paths: Sequence[str]) -> Generator[list[NDArray[Any]] | None, None, None]:
    """Yield the output of each stage for each picture, in order; None for one that can't be read."""
    strategy, runtime = pipeline.strategy, pipeline.runtime
    with closing(Cutter(WORKERS)) as cutter:

        def answer(batch: Batch) -> list[list[NDArray[Any]] | None]:
            views = [picture.view for picture in batch.pictures]

            def cut(places: Sequence[int], cells: NDArray[Any]) -> NDArray[Any]:
                return cutter.cut([views[place] for place in places], cells)

            selected = strategy.select(runtime, batch)
            if isinstance(strategy, StagedStrategy):
                return [list(one) for one in strategy.run_all(runtime, selected, cut).swapaxes(0, 1)]
            patches = cutter.cut(views, selected.order[:, : selected.first])
            return [[one] for one in strategy.answer(runtime, selected, patches, cut).output]

        with closing(pipeline.run(paths, lambda batch: batch, answer, lambda _, __: None)) as outputs:
            yield from outputs


def _single(
    examples: Sequence[Example], outputs: Sequence[NDArray[Any]], classes: Int[ndarray, " classes"]
) -> dict[str, float]:
    truth = classes[[example.classes[0] for example in examples]]
    return _figures(SingleLabel(classes, truth, len(outputs[0])), [torch.from_numpy(softmax(one)) for one in outputs])


def _multi(
    examples: Sequence[Example], outputs: Sequence[NDArray[Any]], classes: Int[ndarray, " classes"]
) -> dict[str, float]:
    truth = np.zeros((len(examples), len(classes)), dtype=np.bool_)
    for place, example in enumerate(examples):
        truth[place, list(example.classes)] = True
    return _figures(SeveralLabels(classes, truth), [torch.from_numpy(sigmoid(one)) for one in outputs])


def _masks(
    examples: Sequence[Example], outputs: Sequence[NDArray[Any]], classes: Int[ndarray, " classes"]
) -> dict[str, float]:
    label_of = np.full(IGNORED + 1, IGNORED, dtype=np.int64)
    label_of[: len(classes)] = classes
    counts = []
    for example, output in zip(examples, outputs, strict=True):
        assert example.mask is not None
        truth = label_of[load_mask(example.mask)]
        answer = classes_at(output, *truth.shape).classes
        counts.append(counted(torch.from_numpy(answer), torch.from_numpy(truth), len(output)))
    return _figures(Masks(classes), counts)


def _figures(scorer: Scorer, outcomes: Sequence[Tensor]) -> dict[str, float]:
    scorer.add(list(range(len(outcomes))), torch.stack(list(outcomes)))
    return {name: float(figure.value) for name, figure in scorer.scores().figures.items()}
