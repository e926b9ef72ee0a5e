"""Graphs in sessions of onnxruntime: when they are opened, in which process, and what can't be opened."""

import multiprocessing
import pickle

import numpy as np
import pytest

from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.runtimes.onnx import PROVIDERS, OnnxGraph, open_onnx
from tests.models.small import LABELLED

pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")

CPU = (PROVIDERS["cpu"], {})
VALUES = np.arange(6, dtype=np.float32)


@pytest.fixture
def file(tmp_path):
    """A graph that doubles what it is given."""
    from onnx import TensorProto, helper

    given, returned = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("given", "returned"))
    graph = helper.make_graph(
        [helper.make_node("Add", ["given", "given"], ["returned"])], "double", [given], [returned]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, tmp_path / "double.onnx")
    return tmp_path / "double.onnx"


def doubled(graph):
    return graph.run({"given": VALUES}, ["returned"])[0]


def send_doubled(graph, connection):
    connection.send(doubled(graph))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_each_process_opens_its_own_session(file, method, monkeypatch):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # threads do not survive a fork
    graph = OnnxGraph(file, CPU, "float32")
    expected = doubled(graph)
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=send_doubled, args=(graph, sender))
    process.start()
    try:
        assert receiver.poll(60), "the process waits"
        assert np.array_equal(receiver.recv(), expected)
    finally:
        process.kill()


def test_a_copy_has_no_session_until_it_computes(file):
    graph = OnnxGraph(file, CPU, "float32")
    copy = pickle.loads(pickle.dumps(graph))
    assert copy.inputs == graph.inputs == {"given"}
    assert np.array_equal(doubled(copy), 2 * VALUES)


def test_what_most_commands_do_without_is_opened_later(file, tmp_path):
    files = {"extractor": file, "dense": tmp_path / "missing.onnx"}
    runtime = open_onnx(LABELLED, files, "cpu")
    assert np.array_equal(doubled(runtime.graphs["extractor"]), 2 * VALUES)
    with pytest.raises(ModelError, match=r"missing\.onnx"):
        doubled(runtime.graphs["dense"])


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x00" * 1000])
def test_bytes_that_are_no_graph(file, content):
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"double\.onnx.*export the model again"):
        open_onnx(LABELLED, {"extractor": file}, "cpu")


def test_a_provider_that_does_not_start(file, monkeypatch):
    import onnxruntime

    available = [PROVIDERS["coreml"], PROVIDERS["cpu"]]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    opened = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda name, options, providers: opened(name, options))
    with pytest.raises(UsageError, match="does not start here; leave --device out"):
        open_onnx(LABELLED, {"extractor": file}, "coreml")


@pytest.mark.parametrize(
    ("device", "words"), [("openvin", "did you mean 'openvino'"), ("cuda:x", "no device 'cuda:x'")]
)
def test_a_device_that_is_not_there(file, monkeypatch, device, words):
    import onnxruntime

    available = [PROVIDERS[name] for name in ("cuda", "openvino", "cpu")]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    with pytest.raises(UsageError, match=words):
        open_onnx(LABELLED, {"extractor": file}, device)
