"""The exported graphs, run by onnxruntime, equal the model: at several batches, numbers of cells, grids."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lookwhere_cli.checkpoints.exported import open_exported
from lookwhere_cli.checkpoints.names import ModelLocation
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.export.heads.registry import graphs_of
from lookwhere_cli.export.write import exported_config
from lookwhere_cli.models.chosen import Chosen, Coarse
from lookwhere_cli.runtimes.answers import HEADS
from lookwhere_cli.runtimes.graphs import GraphRuntime
from lookwhere_cli.runtimes.onnx import open_onnx
from lookwhere_cli.runtimes.torch import runtime_of
from tests.models.small import ADDING, DETECTING, GATED, LABELLED, PRUNING, PUBLISHED, SEGMENTING, small

pytestmark = pytest.mark.timeout(1800)  # the first of them exports a model

FULL = replace(LABELLED, selector_depth=0, prefix="own", k=1.0)
COARSE = replace(SEGMENTING, coarse_size=12)
CONFIGS = {
    "labels": LABELLED,
    "registers, layer scale, no labels": PUBLISHED,
    "packed SwiGLU": GATED,
    "maximum over the cells": replace(LABELLED, pool="max"),
    "labels with a coarse thumbnail": replace(LABELLED, coarse_size=12),
    "labels with what cells leave unread": replace(LABELLED, coarse_size=12, coarse_patches="unread"),
    "full ViT": FULL,
    "looks": ADDING,
    "masks over a coarse thumbnail": COARSE,
    "masks by a linear layer": replace(SEGMENTING, decoder_channels=0),
    "masks with detail": replace(SEGMENTING, decoder_detail=5),
    "masks with detail over a coarse thumbnail": replace(COARSE, decoder_detail=5),
    "masks with detail of tokens that return": replace(
        SEGMENTING, extractor_depth=5, prune=3, prune_fusion=True, decoder_detail=5
    ),
    "pruning": PRUNING,
    "pruning with fusion": replace(PRUNING, prune_fusion=True, prune_norm=True),
    "masks of pruned tokens": replace(SEGMENTING, extractor_depth=5, prune=3),
    "boxes": DETECTING,
    "boxes of one point in a cell": replace(DETECTING, detect_points=1, pool="max"),
    "boxes beside a coarse thumbnail": replace(DETECTING, coarse_size=12),
    "boxes and masks of objects": replace(DETECTING, detect_mask_channels=4),
    "boxes of pruned tokens": replace(DETECTING, extractor_depth=5, prune=3),
}
SHAPES = [(1, (6, 6), (3, 3), 18), (3, (5, 11), (2, 5), 40), (2, (9, 4), (4, 2), 17)]
"""Batch, grid, grid of the thumbnail, number of cells."""
# An export takes many seconds: only one is checked each time.
QUICK = {"labels"}


class EagerGraph:
    """A graph before it is exported."""

    def __init__(self, graph):
        self.graph, self.inputs = graph.eval(), frozenset(graph.inputs)

    @torch.no_grad()
    def run(self, feeds, outputs):
        found = self.graph({name: torch.from_numpy(feeds[name]) for name in self.graph.inputs})
        named = dict(zip(self.graph.outputs, found, strict=True))
        return [named[name].numpy() for name in outputs]


def both_eager(config):
    model = small(config)
    graphs = {name: EagerGraph(graph) for name, graph in graphs_of(model).items()}
    runtime = GraphRuntime(exported_config(config), graphs, HEADS[config.task])
    return runtime_of(model, torch.device("cpu"), torch.float32), runtime


def both(exported, config):
    source, folder = exported(config)
    loaded = load_model(str(source), "cpu")
    found = open_exported(ModelLocation("exported", folder))
    files = {name: folder / file for name, file in found.record.graphs.items()}
    return runtime_of(loaded.model, loaded.device, loaded.dtype), open_onnx(found.config, files, "cpu")


def close(ours, theirs):
    np.testing.assert_allclose(theirs, ours, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CONFIGS]
)
def test_exported_graphs_equal_the_model(exported, name):
    check(CONFIGS[name], *both(exported, CONFIGS[name]))


@pytest.mark.parametrize("name", CONFIGS)
def test_graphs_and_what_numpy_does_between_them_equal_the_model(name):
    check(CONFIGS[name], *both_eager(CONFIGS[name]))


def check(config, torch_runtime, onnx_runtime):
    for batch, grid, thumbnail_grid, k in SHAPES:
        rng = np.random.default_rng(batch)
        pixels = rng.integers(0, 256, (batch, *(side * config.patch for side in thumbnail_grid), 3), dtype=np.uint8)
        ours, theirs = (runtime.select(pixels, grid) for runtime in (torch_runtime, onnx_runtime))
        close(ours.map, theirs.map)
        close(ours.prefix_tokens, theirs.prefix_tokens)
        cells = np.stack([rng.permutation(grid[0] * grid[1])[:k] for _ in range(batch)])
        patches = rng.integers(0, 256, (batch, k, config.patch, config.patch, 3), dtype=np.uint8)
        chosen = Chosen(patches, cells, grid, ours.prefix_tokens, coarse_of(config, batch, rng))
        close(torch_runtime.answer(chosen), onnx_runtime.answer(chosen))
        close(torch_runtime.pool(chosen), onnx_runtime.pool(chosen))
        expected, found = torch_runtime.tokens(chosen), onnx_runtime.tokens(chosen)
        close(expected.tokens, found.tokens)
        assert np.array_equal(expected.cells, found.cells)
        survivors = [runtime.answer_with_survivors(chosen)[1] for runtime in (torch_runtime, onnx_runtime)]
        assert np.array_equal(*survivors) if config.prune else survivors == [None, None]


def coarse_of(config, batch, rng):
    if not config.coarse_size:
        return None
    patches = rng.integers(0, 256, (batch, 6, config.patch, config.patch, 3), dtype=np.uint8)
    if config.coarse_patches == "all":
        return Coarse(patches, (2, 3))
    return Coarse(patches[:, :4], (2, 3), np.stack([np.sort(rng.permutation(6)[:4]) for _ in range(batch)]))


def test_only_what_reads_coarse_patches_keeps_a_default_k_beside_them():
    without = replace(LABELLED, coarse_patches="unread", coarse_k=0.75)
    assert exported_config(without).coarse_k is None
    assert exported_config(replace(without, coarse_size=12)).coarse_k == without.coarse_k


def test_a_batch_may_be_larger_than_one_pass(exported):
    torch_runtime, onnx_runtime = both(exported, LABELLED)
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (70, 30, 4, 4, 3), dtype=np.uint8)
    cells = np.stack([rng.permutation(36)[:30] for _ in range(70)])
    chosen = Chosen(patches, cells, (6, 6), rng.normal(size=(70, 1, 24)).astype(np.float32))
    close(torch_runtime.answer(chosen), onnx_runtime.answer(chosen))


@pytest.mark.slow
def test_a_coarse_thumbnail_may_be_left_out(exported):
    torch_runtime, onnx_runtime = both(exported, COARSE)
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 256, (2, 9, 4, 4, 3), dtype=np.uint8)
    chosen = Chosen(patches, np.arange(18).reshape(2, 9), (6, 6), rng.normal(size=(2, 1, 24)).astype(np.float32))
    close(torch_runtime.answer(chosen), onnx_runtime.answer(chosen))


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 23])
def test_other_versions_of_the_operators_answer_the_same(exported, opset):
    source, folder = exported(LABELLED, opset=opset)
    from lookwhere_cli import load

    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    ours, theirs = (load(str(one)).classify(picture) for one in (source, folder))
    assert [label.label for label in ours.labels] == [label.label for label in theirs.labels]
    import onnx

    assert onnx.load(folder / "selector.onnx").opset_import[0].version == opset


OPERATIONS_OF_A_BLOCK = 26
OTHER_OPERATIONS = 110


def test_graphs_hold_few_operations_and_only_those_of_the_standard(exported):
    """onnxruntime takes a few microseconds for each, of which a picture on its own pays all."""
    import onnx

    _, folder = exported(LABELLED)
    for file, depth in (("selector.onnx", LABELLED.selector_depth), ("extractor.onnx", LABELLED.extractor_depth)):
        graph = onnx.load(folder / file).graph
        assert len(graph.node) <= OTHER_OPERATIONS + OPERATIONS_OF_A_BLOCK * depth
        assert {node.domain for node in graph.node} == {""}
        weights = {one.name for one in graph.initializer if len(one.dims) > 1}
        first = [node.input[0] for node in graph.node if node.op_type in ("Transpose", "Slice")]
        assert weights.isdisjoint(first), "weights are moved whenever the graph runs"
