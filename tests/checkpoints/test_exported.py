"""export.json and the files that it lists."""

import json

import pytest

from lookwhere_cli.checkpoints.configs import write_config
from lookwhere_cli.checkpoints.exported import VERSION, ExportRecord, holds_exported, open_exported, write_record
from lookwhere_cli.checkpoints.names import ModelLocation
from lookwhere_cli.checkpoints.sums import write_sums
from lookwhere_cli.errors import ModelError
from tests.models.small import LABELLED

RECORD = ExportRecord(VERSION, "onnx", {"extractor": "extractor.onnx"}, "float32", 18, "birds", "abc", {"torch": "2"})


@pytest.fixture
def folder(tmp_path):
    write_config(tmp_path, LABELLED)
    (tmp_path / "extractor.onnx").write_bytes(b"graph")
    write_sums(tmp_path, ("config.json", "extractor.onnx"))
    write_record(tmp_path, RECORD)
    return tmp_path


def test_it_is_read_as_it_was_written(folder):
    found = open_exported(ModelLocation("birds", folder))
    assert (found.record, found.config, found.name) == (RECORD, LABELLED, "birds")
    assert len(found.revision) == 12 and holds_exported(folder)
    assert open_exported(ModelLocation("birds", folder, "a" * 40)).revision == "a" * 40


def test_another_graph_has_another_revision(folder):
    before = open_exported(ModelLocation("birds", folder)).revision
    (folder / "extractor.onnx").write_bytes(b"another")
    write_sums(folder, ("config.json", "extractor.onnx"))
    assert open_exported(ModelLocation("birds", folder)).revision != before


@pytest.mark.parametrize("text", ["", "[]", "{", '{"version": 1}', '{"version": "1"}', "null", '{"version": 2}'])
def test_a_damaged_record_is_a_sentence(folder, text):
    (folder / "export.json").write_text(text)
    with pytest.raises(ModelError, match=r"export\.json"):
        open_exported(ModelLocation("birds", folder))
    assert not holds_exported(folder)


def test_names_that_lead_out_of_the_folder_are_refused(folder):
    record = json.loads((folder / "export.json").read_text())
    for name in ("../extractor.onnx", "/etc/passwd", "sub/extractor.onnx", ""):
        (folder / "export.json").write_text(json.dumps(record | {"graphs": {"extractor": name}}))
        with pytest.raises(ModelError, match="beside it"):
            open_exported(ModelLocation("birds", folder))


def test_a_folder_without_graphs_is_refused(folder):
    record = json.loads((folder / "export.json").read_text())
    (folder / "export.json").write_text(json.dumps(record | {"graphs": {}}))
    with pytest.raises(ModelError, match="extractor"):
        open_exported(ModelLocation("birds", folder))
