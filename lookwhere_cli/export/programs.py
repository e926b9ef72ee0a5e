"""Graphs that torch.export wrote, computed by torch: to compare them with the model that they were exported from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from lookwhere_cli.models.config import Config
from lookwhere_cli.runtimes.answers import HEADS
from lookwhere_cli.runtimes.graphs import GraphRuntime


class ProgramGraph:
    """A program of torch.export. inputs, outputs: their names, in order."""

    def __init__(self, file: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        self._module = torch.export.load(str(file)).module()
        self._order, self._outputs = tuple(inputs), tuple(outputs)
        self.inputs = frozenset(inputs)

    @torch.inference_mode()
    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Compute the outputs."""
        found = self._module({name: torch.from_numpy(feeds[name]) for name in self._order})
        named = dict(zip(self._outputs, found, strict=True))
        return [named[name].numpy() for name in outputs]


def open_programs(config: Config, graphs: Mapping[str, ProgramGraph]) -> GraphRuntime:
    """Put a model's programs together, by the names of the graphs."""
    return GraphRuntime(config, graphs, HEADS[config.task])
