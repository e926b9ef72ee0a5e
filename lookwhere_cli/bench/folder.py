"""A folder of photographs: reading, cutting and the model each alone, and how near `classify` comes to all three."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.timing import alternate
from lookwhere_cli.loading import load
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.strategies.base import Batch
from lookwhere_cli.stream import Cutter

TWICE_THE_WORKERS = Limit("at least", 1.7)  # on two CPUs or more
ONE_AFTER_THE_OTHER, SIDE_BY_SIDE = Limit("at least", 0.9), Limit("at least", 0.85)


def folder(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure reading (opening, thumbnails), cutting the chosen cells, the model, and `classify` of the folder."""
    predictor = load(settings.model, device=settings.device)
    pipeline, photographs = predictor.pipeline, settings.photographs
    batches = read(pipeline, photographs)
    cells = [chosen_cells(pipeline, batch) for batch in batches]
    workers = pipeline.options.workers
    functions: dict[str, Callable[[], object]] = {
        "reading": lambda: read(pipeline, photographs),
        "model": model_alone(pipeline, batches, cells),
        "classify": lambda: list(predictor.answers(photographs)),
    }
    functions |= {f"cutting {count}": cutting_alone(batches, cells, count) for count in {1, 2, workers}}
    seconds = alternate(functions, settings.rounds)
    rates = {name: len(photographs) / measured for name, measured in seconds.items()}
    yield Measurement("folder", f"reading alone, {_workers(workers)}", rates["reading"], "pictures/s")
    yield Measurement("folder", "cutting alone, 1 worker", rates["cutting 1"], "pictures/s")
    yield Measurement(
        "folder",
        "cutting alone, 2 workers",
        rates["cutting 2"],
        "pictures/s",
        against="1 worker",
        ratio=rates["cutting 2"] / rates["cutting 1"],
        limit=TWICE_THE_WORKERS if usable_cpus() > 1 else None,
    )
    yield Measurement("folder", "model alone", rates["model"], "pictures/s")
    shared = pipeline.runtime.device == "cpu"
    possible = possible_rate([rates["reading"], rates[f"cutting {workers}"]], rates["model"], shared)
    yield Measurement(
        "folder",
        f"classify, {len(photographs)} photographs",
        rates["classify"],
        "pictures/s",
        against=f"what its parts allow: {possible:.1f} pictures/s",
        ratio=rates["classify"] / possible,
        limit=ONE_AFTER_THE_OTHER if shared else SIDE_BY_SIDE,
    )


def possible_rate(cpu: Sequence[float], model: float, shared: bool) -> float:
    """Return the rate of the whole, from the rates of its parts on the CPU and of the model.

    Parts that share the cores run one after the other; a model on another device runs at their side.
    """
    parts = 1 / sum(1 / rate for rate in cpu)
    return 1 / (1 / parts + 1 / model) if shared else min(parts, model)


def read(pipeline: Pipeline, photographs: Sequence[Path]) -> list[Batch]:
    """Open the photographs as `classify` does; return them in batches."""
    batches: list[Batch] = []

    def collect(batch: Batch) -> Sequence[None]:
        """Keep the batch; it needs no answers."""
        batches.append(batch)
        return [None] * len(batch.pictures)

    for _ in pipeline.run(photographs, lambda batch: batch, collect, lambda _, sentence: None):
        pass
    return batches


def chosen_cells(pipeline: Pipeline, batch: Batch) -> Int64[ndarray, "batch k"]:
    """Return the cells that are read first."""
    selected = pipeline.strategy.select(pipeline.runtime, batch)
    return selected.order[:, : selected.first]


def cutting_alone(
    batches: Sequence[Batch], cells: Sequence[Int64[ndarray, "batch k"]], workers: int
) -> Callable[[], object]:
    """Return a function that cuts the chosen cells of opened photographs, for a model that takes no time."""

    def run() -> None:
        """Start cutting all batches, as `classify` does, and wait for each in turn."""
        with closing(Cutter(workers)) as cutter:
            pending = [
                cutter.start([picture.view for picture in batch.pictures], chosen)
                for batch, chosen in zip(batches, cells, strict=True)
            ]
            for wait in pending:
                wait()

    return run


def model_alone(
    pipeline: Pipeline, batches: Sequence[Batch], cells: Sequence[Int64[ndarray, "batch k"]]
) -> Callable[[], object]:
    """Return a function that computes all answers from thumbnails and patches that are in memory already."""
    runtime, strategy = pipeline.runtime, pipeline.strategy
    with closing(Cutter(pipeline.options.workers)) as cutter:
        patches = [
            cutter.cut([picture.view for picture in batch.pictures], chosen)
            for batch, chosen in zip(batches, cells, strict=True)
        ]

    def run() -> None:
        """Answer all batches from patches that are cut already; a second look cuts its own."""
        for batch, first in zip(batches, patches, strict=True):
            views = [picture.view for picture in batch.pictures]

            def cut(places: Sequence[int], more: NDArray[Any], views: list[Any] = views) -> NDArray[np.uint8]:
                """Cut more cells, (places, k), of the pictures at these places of the batch."""
                return np.stack([views[place].patches(one) for place, one in zip(places, more, strict=True)])

            strategy.answer(runtime, strategy.select(runtime, batch), first, cut)
        runtime.synchronise()

    return run


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"
