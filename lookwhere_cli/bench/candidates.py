"""What each candidate of a comparison costs on this machine: time one by one, throughput in batches, memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import median

from PIL import Image

from lookwhere_cli.bench.process import measure_memory
from lookwhere_cli.evaluation.compare.comparison import Candidate
from lookwhere_cli.evaluation.compare.report import MachineCosts
from lookwhere_cli.images.decode import decode_file
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.scoring.timing import sample_evenly

BATCHES = (1, 8, 32)
ALONE, TOGETHER = 16, 64  # pictures that are timed one by one, and in batches
ROUNDS = 3  # of batches; in each all candidates take turns, so that other load on the machine slows all of them alike

Lap = Callable[[Sequence[Image.Image]], float]
"""Returns the seconds from decoded pictures to all of their answers."""


def measure_costs(candidates: Sequence[Candidate], paths: Sequence[str]) -> list[MachineCosts]:
    """Measure each candidate on some of the pictures; one with a predictor for each half with the first of them.

    Memory is measured only if a process of its own can load the same predictor.
    """
    predictors = [candidate.predictor for candidate in candidates]
    sample = sample_evenly(paths, TOGETHER)
    pictures = [decode_file(path, predictors[0].pipeline.reader.reading).image() for path in sample]
    seconds = one_by_one(predictors, pictures[:ALONE])
    throughputs = in_batches(predictors, pictures)
    return [
        MachineCosts(lap, *throughput, _memory(candidate, sample))
        for lap, throughput, candidate in zip(seconds, throughputs, candidates, strict=True)
    ]


def one_by_one(predictors: Sequence[Predictor], pictures: Iterable[Image.Image]) -> list[float]:
    """Return each predictor's median seconds for a single picture; the first picture warms up and is not counted."""
    laps = [_lap(predictor, 1) for predictor in predictors]
    seconds: list[list[float]] = [[] for _ in laps]
    for picture in pictures:
        for lap, measured in zip(laps, seconds, strict=True):
            measured.append(lap([picture]))
    return [median(measured[1:] or measured) for measured in seconds]


def in_batches(predictors: Sequence[Predictor], pictures: Sequence[Image.Image]) -> list[tuple[float, int]]:
    """Return each predictor's pictures per second at its best batch size, and that size."""
    best = [(0.0, 0)] * len(predictors)
    for batch_size in BATCHES:
        laps = [_lap(predictor, batch_size) for predictor in predictors]
        seconds: list[list[float]] = [[] for _ in predictors]
        for _ in range(ROUNDS):
            for lap, measured in zip(laps, seconds, strict=True):
                measured.append(lap(pictures))
        rates = [(len(pictures) / median(measured), batch_size) for measured in seconds]
        best = [max(pair) for pair in zip(best, rates, strict=True)]
    return best


def _memory(candidate: Candidate, paths: Sequence[str]) -> float | None:
    if candidate.options is None:
        return None
    memory = measure_memory(str(candidate.predictor.info.folder), candidate.options, paths, len(paths))
    return memory.peak - memory.rest


def _lap(predictor: Predictor, batch_size: int) -> Lap:
    pipeline = predictor.pipeline
    batching = Predictor(replace(pipeline, options=replace(pipeline.options, batch_size=batch_size)))

    def lap(pictures: Sequence[Image.Image]) -> float:
        """Answer all pictures, and return the wall time in seconds."""
        started = time.perf_counter()
        for _ in batching.answers(iter(pictures)):
            pass
        return time.perf_counter() - started

    return lap
