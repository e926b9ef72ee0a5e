"""The subject "export" at a tiny setting: that it runs, and that its figures fit together."""

import pytest

from lookwhere_cli.bench.subjects import check_subjects, default_subjects
from lookwhere_cli.errors import UsageError


@pytest.mark.slow
def test_an_exported_model_is_compared_with_torch(model_folder, files):
    pytest.importorskip("onnxscript")
    from pathlib import Path

    from lookwhere_cli.bench.export import export
    from lookwhere_cli.bench.settings import BenchSettings

    settings = BenchSettings(str(model_folder), tuple(map(Path, files)), "cpu", rounds=1)
    measured = list(export(settings))
    assert [one.unit for one in measured] == ["s", "s", "MiB at peak", "pictures/s", "pictures/s"]
    assert all(one.value > 0 for one in measured)
    assert measured[0].value == measured[1].value and measured[1].ratio > 0
    assert [one.limit.bound for one in measured] == [0.7, 0.5, 0.5, 0.9, 1.2]


def test_it_is_left_out_where_its_libraries_are_missing(monkeypatch):
    from lookwhere_cli import extras

    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnxscript" else True)
    assert "export" not in default_subjects() and "start" in default_subjects()
    with pytest.raises(UsageError, match=r"lookwhere\[export\]"):
        check_subjects(["export"])
