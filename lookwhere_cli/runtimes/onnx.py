"""Exported models computed by onnxruntime. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from numpy.typing import NDArray

from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.extras import require
from lookwhere_cli.machine import usable_cpus
from lookwhere_cli.models.config import Config
from lookwhere_cli.runtimes.answers import HEADS
from lookwhere_cli.runtimes.graphs import GraphRuntime
from lookwhere_cli.text import near_names

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "directml": "DmlExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "qnn": "QNNExecutionProvider",
}
"""onnxruntime's execution providers, by what `--device` calls them."""
AUTOMATIC = ("cuda", "cpu")
"""What "auto" takes the first of that is there; the others are faster or slower by the model, so they are asked for."""
Provider: TypeAlias = tuple[str, dict[str, str]]
"""An execution provider and its options."""
ERRORS_ONLY = 3
WHEN_NEEDED = {"dense"}
"""Graphs that are opened when they are first used: most commands do without them."""


class OnnxGraph:
    """A graph in a session of onnxruntime, which a process opens when it first uses the graph.

    The threads of a session do not survive a fork, so a forked process opens one of its own, and so does a process that
    the graph is sent to.
    """

    def __init__(self, file: Path, provider: Provider, weights: str) -> None:
        self._source = (file, provider, weights)
        self._sessions: dict[int, Any] = {}  # by process: to close a parent's session would wait for its threads

    def __getstate__(self) -> dict[str, Any]:
        """Leave out sessions: the process that a copy is sent to opens its own."""
        return {"_source": self._source, "_sessions": {}}

    @cached_property
    def inputs(self) -> frozenset[str]:
        """Names of its inputs. Raises as `open` does."""
        return frozenset(one.name for one in self.open().get_inputs())

    def open(self) -> Any:
        """Return the session of this process.

        Raises ModelError for a file that onnxruntime can't read, UsageError for a provider that does not start here.
        """
        process = os.getpid()
        if process not in self._sessions:
            self._sessions[process] = _session(*self._source)
        return self._sessions[process]

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Compute the outputs of these names, from an array for each input. Raises as `open` does."""
        found: list[NDArray[Any]] = self.open().run(list(outputs), dict(feeds))
        return found


def open_onnx(
    config: Config, files: Mapping[str, Path], device: str = "auto", weights: str = "float32"
) -> GraphRuntime:
    """Open a model's graphs, but for those of WHEN_NEEDED.

    files: by the graph's name. device: "auto", "cpu", "cuda", "cuda:1", ..., see `PROVIDERS`. weights: how they are
    stored: "float32", "float16" or "int8"; arrays are float32 in each case.
    Raises UsageError without onnxruntime or for a device that it can't use here, ModelError for a file that it can't
    read.
    """
    library = require("onnxruntime", "onnx", "An exported model")
    name, provider = _provider(library, device)
    graphs = {graph: OnnxGraph(file, provider, weights) for graph, file in files.items()}
    # The largest first: what reading it leaves free in memory is then enough for the others.
    for graph in sorted(graphs.keys() - WHEN_NEEDED, key=lambda graph: -files[graph].stat().st_size):
        graphs[graph].open()
    return GraphRuntime(config, graphs, HEADS[config.task], name)


def threads() -> int:
    """Return the number of threads to compute with: OMP_NUM_THREADS, as torch has it, or one for each usable CPU."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else usable_cpus()


def _provider(library: ModuleType, device: str) -> tuple[str, Provider]:
    """Return a device's name, and the provider that computes on it with its options."""
    available = library.get_available_providers()
    here = [name for name, provider in PROVIDERS.items() if provider in available]
    if device == "auto":
        device = next(name for name in AUTOMATIC if name in here)
    name, _, index = device.partition(":")
    if name not in here or (index and not index.isdecimal()):
        known = ["auto", *here]
        near = near_names(name, here, 1)
        hint = f"did you mean {near[0]!r}?" if near else "choose one of these, or install an onnxruntime that has it:"
        raise UsageError(f"onnxruntime has no device {device!r} here; {hint} ({', '.join(known)})")
    return device, (PROVIDERS[name], {"device_id": index} if index and name != "cpu" else {})


def _session(file: Path, provider: Provider, weights: str) -> Any:
    library = import_module("onnxruntime")
    library.set_default_logger_severity(ERRORS_ONLY)
    options = library.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    if weights == "float32" and provider[0] == PROVIDERS["cpu"]:
        # The exporter has simplified the graphs; what onnxruntime would fuse saves no time, and takes 0.1 s to find.
        options.graph_optimization_level = library.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads()
    # Threads that wait for work in a loop would take the CPU from those that open and cut the next pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = library.InferenceSession(str(file), options, providers=_with_cpu(provider))
    except Exception as failure:  # onnxruntime's errors have no public base
        raise ModelError(
            f"{str(file)!r} can't be opened by onnxruntime {library.__version__} ({_first_line(failure)}); export the "
            "model again, or install a newer onnxruntime."
        ) from failure
    if provider[0] not in session.get_providers():
        raise UsageError(f"{provider[0]} is installed, but does not start here; leave --device out to use the CPU.")
    return session


def _with_cpu(provider: Provider) -> list[Any]:
    """Add the CPU, for operators that the provider does not have."""
    return [provider] if provider[0] == PROVIDERS["cpu"] else [provider, PROVIDERS["cpu"]]


def _first_line(failure: Exception) -> str:
    return (str(failure).strip().splitlines() or [type(failure).__name__])[0]
