"""Tracing of a graph by torch: with example inputs of odd sizes, all of whose sizes but the model's own stay free."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from lookwhere_cli.export.graphs import TracedGraph
from lookwhere_cli.models.config import Config

BATCH, GRID, K, COARSE_GRID = 2, (9, 13), 97, (5, 7)
"""Sizes of the examples: torch takes sizes for constants that are 0 or 1, or equal to one of the model's."""
LAST = 131  # tokens of cells and coarse patches that reach the last block: not k, or both would be one size
DROPPED = 2  # tokens that each pruning module drops in the example


class ExampleInput(NamedTuple):
    """An input: a value, and the names or dimensions of its free sizes by axis."""

    value: Tensor
    free: dict[int, Any]


def example_inputs(graph: TracedGraph, config: Config) -> dict[str, ExampleInput]:
    """Return an example of each input of a graph, by name, in order."""
    every = _examples(config) | _pruning_examples(graph, config)
    return {name: every[name] for name in graph.inputs}


def _examples(config: Config) -> dict[str, ExampleInput]:
    batch, rows, columns, k, coarse = (Dim(name) for name in ("batch", "rows", "columns", "k", "coarse"))
    remaining = Dim("remaining")
    patch, dim, prefix = config.patch, config.dim, config.prefix_tokens
    side = (patch, patch, 3)
    coarse_cells = COARSE_GRID[0] * COARSE_GRID[1]
    pieces = len(config.labels) * config.decoder_scale**2
    channels = config.decoder_channels or pieces
    cells = torch.stack([torch.randperm(GRID[0] * GRID[1])[:K] for _ in range(BATCH)])
    return {
        "thumbnails": ExampleInput(
            torch.rand(BATCH, patch * GRID[0], patch * GRID[1], 3), {0: batch, 1: patch * rows, 2: patch * columns}
        ),
        "patches": ExampleInput(torch.zeros(BATCH, K, *side, dtype=torch.uint8), {0: batch, 1: k}),
        "cells": ExampleInput(cells, {0: batch, 1: k}),
        "grid": ExampleInput(torch.tensor(GRID), {}),
        "prefix": ExampleInput(torch.rand(BATCH, prefix, dim), {0: batch}),
        "coarse": ExampleInput(torch.rand(BATCH, coarse_cells, *side), {0: batch, 1: coarse}),
        "coarse_grid": ExampleInput(torch.tensor(COARSE_GRID), {}),
        "coarse_cells": ExampleInput(torch.arange(coarse_cells).repeat(BATCH, 1), {0: batch, 1: coarse}),
        "hidden": ExampleInput(torch.rand(BATCH, prefix + LAST, dim), {0: batch, 1: prefix + remaining}),
        "places": ExampleInput(torch.arange(LAST).repeat(BATCH, 1), {0: batch, 1: remaining}),
        "spread": ExampleInput(torch.rand(BATCH, *GRID, channels), {0: batch, 1: rows, 2: columns}),
        "detail": ExampleInput(torch.rand(BATCH, *GRID, pieces), {0: batch, 1: rows, 2: columns}),
    }


def _pruning_examples(graph: TracedGraph, config: Config) -> dict[str, ExampleInput]:
    """Return the inputs that say how many tokens remain: each module of the example drops some."""
    examples: dict[str, ExampleInput] = {}
    last = config.prefix_tokens + K + (COARSE_GRID[0] * COARSE_GRID[1] if "coarse" in graph.inputs else 0)
    for number in range(1, config.extractor_depth):
        remaining = last - DROPPED
        examples[f"keep_{number}"] = ExampleInput(torch.arange(remaining), {0: Dim(f"kept_{number}")})
        examples[f"drop_{number}"] = ExampleInput(torch.arange(remaining, last), {0: Dim(f"dropped_{number}")})
        last = remaining
    return examples


def trace(graph: TracedGraph, config: Config) -> ExportedProgram:
    """Return the graph as a program of torch."""
    values, shapes = traced_arguments(graph, config)
    with quiet():
        return torch.export.export(graph, values, dynamic_shapes=shapes, strict=False)


def traced_arguments(graph: TracedGraph, config: Config) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Return what the graph is called with, and the free sizes of that."""
    examples = example_inputs(graph, config)
    values = {name: example.value for name, example in examples.items()}
    return (values,), ({name: example.free for name, example in examples.items()},)


@contextmanager
def quiet() -> Iterator[None]:
    """Compute no gradients, and keep the exporters' notes to themselves: they are about their own internals."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
