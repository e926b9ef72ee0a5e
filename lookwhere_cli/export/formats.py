"""Files of graphs: ONNX, or programs of torch.export."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lookwhere_cli.export.graphs import TracedGraph
from lookwhere_cli.export.trace import quiet, trace, traced_arguments
from lookwhere_cli.models.config import Config

OPSET = 20
OPSETS = (18, 23)
"""First and last version of ONNX's operators that can be asked for."""
LEAST_HALVED = 1024
"""Numbers in a tensor from which it is stored as float16: smaller ones are not worth the loss."""

Write = Callable[[TracedGraph, Config, Path, int], None]
"""Writes a graph of a config's model to a file, with an opset."""


class FileFormat(NamedTuple):
    """ending: of the files' names. write: writes one."""

    ending: str
    write: Write


def write_onnx(graph: TracedGraph, config: Config, file: Path, opset: int) -> None:
    """Write a graph as an ONNX file with all its weights."""
    values, shapes = traced_arguments(graph, config)
    with quiet(), silent():
        program: Any = torch.onnx.export(
            graph,
            (*values, {}),  # a dictionary at the end would be taken for keywords
            dynamo=True,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            dynamic_shapes=shapes,
            opset_version=opset,
            verbose=False,
        )
    for node in program.model.graph:
        node.metadata_props.clear()  # where in our source each node came from, with this machine's paths
    _sort_weights(program.model.graph)
    program.save(str(file))


def _sort_weights(graph: Any) -> None:
    """Put the smallest weights first in the file.

    onnxruntime copies each weight into a form of its own, one after the other, and frees it. If weights of one size
    follow each other, a copy fits where the last one lay: 22 MiB of weights then take 30 MiB, and 44 layer by layer.
    """
    weights = sorted(graph.initializers.values(), key=lambda weight: weight.const_value.nbytes)
    graph.initializers.clear()
    graph.initializers.update({weight.name: weight for weight in weights})


def write_program(graph: TracedGraph, config: Config, file: Path, opset: int) -> None:
    """Write a graph as a program that torch.export.load reads."""
    torch.export.save(trace(graph, config), str(file))


FORMATS = {"onnx": FileFormat(".onnx", write_onnx), "torch": FileFormat(".pt2", write_program)}
"""By the name that `--format` has."""


def halved(graph: TracedGraph) -> TracedGraph:
    """Return a copy that stores its large weights as float16, and computes in float32 all the same."""
    copied = copy.deepcopy(graph)
    large = [
        (module, name)
        for module in copied.modules()
        for name, weight in module.named_parameters(recurse=False)
        if weight.numel() >= LEAST_HALVED
    ]
    for module, name in large:
        parametrize.register_parametrization(module, name, _AsFloat(), unsafe=True)
        parametrizations: Any = module.parametrizations
        stored = parametrizations[name]
        stored.original = nn.Parameter(stored.original.half(), requires_grad=False)
    return copied


class _AsFloat(nn.Module):
    """A parametrization: float32 outside, whatever is stored."""

    def forward(self, stored: Tensor) -> Tensor:
        """Return the stored tensor as float32."""
        return stored.float()


@contextmanager
def silent() -> Iterator[None]:
    """Keep the exporter from printing and logging: its progress belongs to nobody's output."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
