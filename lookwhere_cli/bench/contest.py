"""What each entrant of a comparison costs on this machine: time one by one, and pictures a second in batches."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from PIL import Image

from lookwhere_cli.predictor import Predictor
from lookwhere_cli.segmenter import Segmenter

BATCHES = (1, 8, 32)
TURNS = 3  # rounds of batches; in each round all take their turn, so that what else the machine does meets all alike

Answer = Callable[[Sequence[Image.Image]], float]
"""Seconds from decoded pictures to all of their answers."""


def one_by_one(predictors: Sequence[Predictor], pictures: Iterable[Image.Image]) -> list[float]:
    """Median seconds of a picture that is alone; the first one warms up, and is not counted."""
    answers = [_answer(predictor, 1) for predictor in predictors]
    laps: list[list[float]] = [[] for _ in answers]
    for picture in pictures:
        for answer, taken in zip(answers, laps, strict=True):
            taken.append(answer([picture]))
    return [median(taken[1:] or taken) for taken in laps]


def in_batches(predictors: Sequence[Predictor], pictures: Sequence[Image.Image]) -> list[tuple[float, int]]:
    """Pictures a second at the batch size that is best, and that size."""
    answers = [(batch, [_answer(predictor, batch) for predictor in predictors]) for batch in BATCHES]
    best = [(0.0, 0)] * len(predictors)
    for batch, all_of_them in answers:
        laps: list[list[float]] = [[] for _ in predictors]
        for _ in range(TURNS):
            for answer, taken in zip(all_of_them, laps, strict=True):
                taken.append(answer(pictures))
        rates = [(len(pictures) / median(taken), batch) for taken in laps]
        best = [max(pair) for pair in zip(best, rates, strict=True)]
    return best


def _answer(predictor: Predictor, batch: int) -> Answer:
    one = copy.copy(predictor)
    one.batch_size = batch
    run = Segmenter(one).segment if one.config.task == "segment" else one.classify

    def answer(pictures: Sequence[Image.Image]) -> float:
        started = time.perf_counter()
        for _ in run(iter(pictures)):
            pass
        return time.perf_counter() - started

    return answer
