"""A large model from the cache: how long loading it takes, and how much memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from torch import Tensor

from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.process import measure_memory
from lookwhere_cli.bench.settings import BenchSettings
from lookwhere_cli.bench.timing import alternate
from lookwhere_cli.checkpoints.cache import find_cached
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.layout import WEIGHTS
from lookwhere_cli.checkpoints.names import HubName
from lookwhere_cli.checkpoints.published.lookwhere import LAYOUTS
from lookwhere_cli.checkpoints.resolve import load_model, resolve
from lookwhere_cli.models.lookwhere import LookWhere

NAME = "imagenet-base"
PAGE = 4096  # bytes


def weights(settings: BenchSettings) -> Iterator[Measurement]:
    """Measure loading against safetensors' load_file with every page touched, and the peak memory of `classify`."""
    with _model() as (name, folder):
        file = folder / WEIGHTS
        seconds = alternate(
            {
                "ready": lambda: load_model(name, "cpu"),
                "touched": lambda: _touch(load_model(name, "cpu").model.state_dict()),
                "load_file": lambda: _touch(load_file(file)),
            },
            settings.rounds,
        )
        yield Measurement("weights", f"{NAME}, load_file, every page touched", 1000 * seconds["load_file"], "ms")
        yield Measurement(
            "weights",
            f"{NAME}, ready",
            1000 * seconds["ready"],
            "ms",
            against="load_file",
            ratio=seconds["ready"] / seconds["load_file"],
            limit=Limit("at most", 1.3),
        )
        yield Measurement("weights", f"{NAME}, ready, every page touched", 1000 * seconds["touched"], "ms")
        yield _peak(name, settings.photographs[0], file.stat().st_size / 2**20)


def _peak(name: str, photograph: Path, size: float) -> Measurement:
    """Compare what loading and classifying adds to a process with the size of the weights in MiB."""
    memory = measure_memory(name, {"device": "cpu"}, [photograph], 1)
    above = memory.peak - memory.before
    return Measurement(
        "weights",
        f"{NAME}, classify, one photograph",
        above,
        "MiB above a process without a model",
        against=f"weights: {size:.0f} MiB",
        ratio=above / size,
        limit=Limit("at most", 1.15),
    )


@contextmanager
def _model() -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of the published model if it is cached; else of one with random weights."""
    resolved = resolve(NAME)
    location = find_cached(resolved) if isinstance(resolved, HubName) else resolved
    if location is not None:
        yield NAME, location.folder
        return
    with TemporaryDirectory() as folder:
        save_model(Path(folder), LookWhere(LAYOUTS[NAME]))
        yield folder, Path(folder)


def _touch(tensors: Mapping[str, Tensor]) -> int:
    """Read a byte of every page."""
    return sum(int(tensor.reshape(-1).view(torch.uint8)[::PAGE].sum()) for tensor in tensors.values())
