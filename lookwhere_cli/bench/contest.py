"""What each entrant of a comparison costs on this machine: time one by one, pictures a second in batches, memory."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

from PIL import Image

from lookwhere_cli.bench.memory import peak_of
from lookwhere_cli.evaluation.compare.comparison import Entrant
from lookwhere_cli.evaluation.compare.report import Cost
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.metrics.passes import evenly
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.segmenter import Segmenter

BATCHES = (1, 8, 32)
ALONE, TOGETHER = 16, 64  # pictures whose time is taken one by one, and in batches
TURNS = 3  # rounds of batches; in each round all take their turn, so that what else the machine does meets all alike

Answer = Callable[[Sequence[Image.Image]], float]
"""Seconds from decoded pictures to all of their answers."""


def costs_of(entrants: Sequence[Entrant], paths: Sequence[str]) -> list[Cost]:
    """What each takes for some of the pictures; of one that is calibrated in halves, with the first half's thresholds.

    Memory only of those that can be made anew in a process of their own.
    """
    reading = entrants[0].predictors[0].reading
    chosen = evenly(paths, TOGETHER)
    pictures = [decode_file(path, reading).image() for path in chosen]
    predictors = [entrant.predictors[0] for entrant in entrants]
    seconds = one_by_one(predictors, pictures[:ALONE])
    rates = in_batches(predictors, pictures)
    return [
        Cost(lap, *rate, _memory(entrant, chosen)) for lap, rate, entrant in zip(seconds, rates, entrants, strict=True)
    ]


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


def _memory(entrant: Entrant, paths: Sequence[str]) -> float | None:
    if entrant.options is None:
        return None
    loaded = entrant.predictors[0].loaded
    rest, peak = peak_of(str(loaded.folder), entrant.options, paths, len(paths))
    return peak - rest


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
