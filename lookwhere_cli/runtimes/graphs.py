"""Models computed by graphs that were exported, and NumPy between them. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from jaxtyping import Float32, Int64
from numpy import ndarray
from numpy.typing import NDArray

from lookwhere_cli.models.chosen import Chosen, Coarse, Grid, Selection
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.pruning.schedule import pruning_of, remaining_counts
from lookwhere_cli.models.resize import resize_bilinear
from lookwhere_cli.runtimes.base import CellTokens, Pixels

PASS_TOKENS = 1024
"""Tokens of a pass through the extractor, about: more at a time take longer each, as they leave the CPU's cache."""


class Graph(Protocol):
    """One exported graph."""

    @property
    def inputs(self) -> frozenset[str]:
        """Names of its inputs."""
        ...

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """Compute the outputs of these names, in their order, from an array of the right dtype for each input."""
        ...


class GraphRuntime:
    """A model with a selector and an extractor, or a full ViT.

    graphs: by name: selector (none for a full ViT), extractor, and those that the model's task needs. head: computes
    the output of the model's head by them. device: where they compute.
    """

    dtype = "float32"

    def __init__(self, config: Config, graphs: Mapping[str, Graph], head: GraphHead, device: str = "cpu") -> None:
        self.config, self.graphs, self.device = config, graphs, device
        self._head = head
        self._is_warm = False

    def select(self, thumbnails: Pixels, grid: Grid) -> Selection[NDArray[Any]]:
        """Score the cells of `grid`; the graph's finer map is resized bilinearly (half-pixel centres)."""
        batch = len(thumbnails)
        if "selector" not in self.graphs:
            prefix = np.zeros((batch, self.config.prefix_tokens, self.config.dim), np.float32)
            return Selection(np.zeros((batch, grid[0] * grid[1]), np.float32), prefix)
        feeds = {"thumbnails": thumbnails.astype(np.float32)}
        fine, prefix = self.graphs["selector"].run(feeds, ["map", "prefix"])
        return Selection(resize_bilinear(fine[..., None], grid).reshape(batch, -1), prefix)

    def answer(self, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, batch * output]:
        """Compute the output of the model's head."""
        return self._head(self, chosen)

    def pool(self, chosen: Chosen[NDArray[Any]]) -> Float32[ndarray, "batch dim"]:
        """Compute what a classification head reads."""
        return self.extract(chosen, "pooled")[0]

    def tokens(self, chosen: Chosen[NDArray[Any]]) -> CellTokens:
        """Compute a token for each chosen cell that pruning leaves."""
        if "dense" in self.graphs:
            names = ["hidden", "places"] if self.prunes else ["hidden"]
            feeds = dict(zip(names, self.extract(chosen, *names), strict=True)) | {"cells": _cells(chosen)}
            tokens, *remaining = self.graphs["dense"].run(feeds, self._with_remaining("tokens"))
        else:
            tokens, *remaining = self.extract(chosen, *self._with_remaining("tokens"))
        places = remaining[0][:, : tokens.shape[1]] if remaining else None
        return CellTokens(tokens, cells_at(chosen.cells, places))

    def answer_with_survivors(
        self, chosen: Chosen[NDArray[Any]]
    ) -> tuple[Float32[ndarray, batch * output], Int64[ndarray, "batch survivors"] | None]:
        """Compute the output, and the chosen cells that no pruning module drops, best first."""
        if not self.prunes:
            return self.answer(chosen), None
        (places,) = self.extract(chosen, "survivors")
        of_cells = [row[row < chosen.cells.shape[1]] for row in places]  # the others are coarse patches
        survivors = [np.take(cells, row) for cells, row in zip(chosen.cells, of_cells, strict=True)]
        return self.answer(chosen), np.stack(survivors)

    def warm_up(self) -> None:
        """Compute once on blank pixels, with the model's own grid and k."""
        if self._is_warm:
            return
        config, k = self.config, self.config.k.resolve(self.config.cells)
        height, width = (side * config.patch for side in config.thumbnail_grid)
        selection = self.select(np.zeros((1, height, width, 3), np.uint8), config.grid)
        patches = np.zeros((1, k, config.patch, config.patch, 3), np.uint8)
        self.answer(Chosen(patches, np.arange(k)[None], config.grid, selection.prefix_tokens))
        self._is_warm = True

    def synchronise(self) -> None:
        """Nothing to wait for: a graph returns when it has computed."""

    @property
    def prunes(self) -> bool:
        """True if the extractor drops tokens."""
        return "keep_1" in self.graphs["extractor"].inputs

    @property
    def sees_detail(self) -> bool:
        """True if the decoder of masks sees pixels, too."""
        return "decoder" in self.graphs and "detail" in self.graphs["decoder"].inputs

    @property
    def reads_coarse(self) -> bool:
        """True if the extractor takes a coarse thumbnail."""
        return "coarse" in self.graphs["extractor"].inputs

    def extract(self, chosen: Chosen[NDArray[Any]], *outputs: str) -> list[NDArray[Any]]:
        """Run the extractor's graph and return these outputs, each (batch, ...), in their order.

        A large batch goes through in several passes of about PASS_TOKENS tokens.
        """
        batch, tokens = len(chosen.cells), chosen.cells.shape[1] + self.config.prefix_tokens
        step = max(1, PASS_TOKENS // tokens)
        if batch <= step:
            return self._extract(chosen, outputs)
        parts = [self._extract(chosen.at(slice(start, start + step)), outputs) for start in range(0, batch, step)]
        return [np.concatenate(one) for one in zip(*parts, strict=True)]

    def _extract(self, chosen: Chosen[NDArray[Any]], outputs: Sequence[str]) -> list[NDArray[Any]]:
        graph, config = self.graphs["extractor"], self.config
        patches = np.ascontiguousarray(chosen.patches)
        feeds = {"patches": patches, "cells": _cells(chosen), "grid": np.array(chosen.grid, np.int64)}
        feeds |= {"prefix": chosen.prefix_tokens} if "prefix" in graph.inputs else {}
        coarse = 0
        if self.reads_coarse:
            feeds |= _coarse_feeds(chosen)
            coarse = feeds["coarse"].shape[1]
        if self.prunes:
            feeds |= _pruning_feeds(config, config.prefix_tokens + patches.shape[1] + coarse)
        return graph.run({name: feeds[name] for name in graph.inputs}, outputs)

    def _with_remaining(self, output: str) -> list[str]:
        return [output, "remaining"] if self.prunes else [output]


GraphHead: TypeAlias = Callable[[GraphRuntime, Chosen[NDArray[Any]]], NDArray[Any]]
"""Computes the output of a task's head."""


def cells_at(
    cells: Int64[ndarray, "batch k"], places: Int64[ndarray, "batch remaining"] | None
) -> Int64[ndarray, "batch remaining"]:
    """Return the cells at these places of each picture, counted from 0 in `cells`; all of them without places."""
    return cells if places is None else np.take_along_axis(cells, places, axis=1)


def _cells(chosen: Chosen[NDArray[Any]]) -> Int64[ndarray, "batch k"]:
    return np.ascontiguousarray(chosen.cells)


def _coarse_feeds(chosen: Chosen[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return the coarse patches, their places and their grid; no patches if the picture is read without any."""
    batch, _, *side = chosen.patches.shape
    patches, grid, cells = chosen.coarse or Coarse(np.zeros((batch, 0, *side)), (1, 1))
    if cells is None:
        cells = np.tile(np.arange(patches.shape[1]), (batch, 1))
    return {"coarse": patches.astype(np.float32), "coarse_grid": np.array(grid, np.int64), "coarse_cells": cells}


def _pruning_feeds(config: Config, tokens: int) -> dict[str, NDArray[Any]]:
    """Return how many of `tokens` tokens remain after each pruning module, in the form that the graph reads."""
    pruning = pruning_of(config)
    assert pruning is not None
    counts = (tokens, *remaining_counts(pruning, config, tokens))
    feeds: dict[str, NDArray[Any]] = {}
    for number, (before, after) in enumerate(pairwise(counts), 1):
        feeds |= {f"keep_{number}": np.arange(after), f"drop_{number}": np.arange(after, before)}
    return feeds
