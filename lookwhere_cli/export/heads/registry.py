"""The graphs that a model is exported as, by name."""

from __future__ import annotations

from collections.abc import Callable

from lookwhere_cli.export.graphs import DenseGraph, ExtractorGraph, HeadGraph, SelectorGraph, TracedGraph
from lookwhere_cli.export.heads.detect import PointsGraph
from lookwhere_cli.export.heads.segment import DecoderGraph, pieces_graph
from lookwhere_cli.export.heads.whole import whole_graph
from lookwhere_cli.models.lookwhere import LookWhere

HEADS: dict[str, Callable[[LookWhere], HeadGraph]] = {
    "classify": whole_graph,
    "features": whole_graph,
    "segment": pieces_graph,
    "detect": PointsGraph,
}
"""A task's part of the extractor's graph."""
FURTHER: dict[str, dict[str, Callable[[LookWhere], TracedGraph]]] = {"segment": {"decoder": DecoderGraph}}
"""Further graphs of a task, by name."""


def graphs_of(model: LookWhere) -> dict[str, TracedGraph]:
    """Return the modules to trace, by name, each with the names of its inputs and outputs."""
    task = model.config.task
    extractor = ExtractorGraph(model, HEADS[task](model))
    graphs: dict[str, TracedGraph] = {"selector": SelectorGraph(model)} if model.config.has_selector else {}
    graphs["extractor"] = extractor
    if "hidden" in extractor.outputs:
        graphs["dense"] = DenseGraph(model)
    return graphs | {name: make(model) for name, make in FURTHER.get(task, {}).items()}
