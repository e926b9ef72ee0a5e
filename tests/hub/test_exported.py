"""Exported folders on the Hub: pushed as a whole, pulled as a whole, refused if a file is missing or damaged."""

from dataclasses import replace

import pytest

from lookwhere_cli.checkpoints.configs import write_config
from lookwhere_cli.checkpoints.exported import VERSION, ExportRecord, open_exported, write_record
from lookwhere_cli.checkpoints.resolve import find
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.errors import ModelError
from tests.models.small import LABELLED

NAME = "someone/birds-onnx"
GRAPHS = {"selector": "selector.onnx", "extractor": "extractor.onnx"}


@pytest.fixture
def folder(tmp_path):
    """What an export writes; the graphs' bytes are not read here."""
    out = tmp_path / "birds"
    out.mkdir()
    write_config(out, replace(LABELLED, license="mit"))
    for name in GRAPHS.values():
        (out / name).write_bytes(name.encode() * 100)
    write_sums(out, ("config.json", *GRAPHS.values()))
    write_record(out, ExportRecord(VERSION, "onnx", GRAPHS, "float32", 18, "birds", "abc", {}, None))
    return out


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")


def test_an_exported_folder_can_be_pushed_and_pulled(hub, home, lookwhere, folder, token):
    ran = lookwhere("models", "push", folder, NAME)
    assert ran.code == 0, ran.err
    repository = hub.repositories[NAME]
    files = repository.commits[repository.refs["main"]]
    assert set(files) == {"README.md", "config.json", "export.json", "SHA256SUMS", *GRAPHS.values()}
    card = files["README.md"].decode()
    assert "## Files" in card and "`extractor.onnx`" in card and "`birds`" in card
    exported = open_exported(find(NAME))
    assert exported.record.graphs == GRAPHS and exported.revision == repository.refs["main"]
    shown = lookwhere("models", "show", NAME)
    assert shown.code == 0 and "exported from" in shown.out and "selector.onnx" in shown.out
    assert lookwhere("models", "verify", NAME).code == 0
    assert NAME in lookwhere("models", "list").out


def test_a_damaged_one_is_not_pushed(hub, home, lookwhere, folder, token):
    (folder / "selector.onnx").write_bytes(b"other")
    ran = lookwhere("models", "push", folder, NAME)
    assert ran.code == 3 and "selector.onnx" in ran.err and NAME not in hub.repositories
    (folder / "extractor.onnx").unlink()
    ran = lookwhere("models", "push", folder, NAME)
    assert ran.code == 3 and "lacks extractor.onnx" in ran.err


def test_a_repository_that_lacks_a_graph_is_not_used(hub, home, lookwhere, folder, token):
    lookwhere("models", "push", folder, NAME)
    repository = hub.repositories[NAME]
    del repository.commits[repository.refs["main"]]["selector.onnx"]
    with pytest.raises(ModelError, match="without some of its files"):
        find(NAME)


def test_a_file_that_is_gone_from_the_cache_is_fetched_again(hub, home, lookwhere, folder, token):
    lookwhere("models", "push", folder, NAME)
    place = find(NAME).folder
    (place / "extractor.onnx").unlink()
    assert open_exported(find(NAME)).record.graphs == GRAPHS
