from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookwhere_cli.bench import folder
from lookwhere_cli.bench.measurement import Limit, Measurement
from lookwhere_cli.bench.settings import BenchSettings


def test_the_command_prints_a_table_and_writes_json(lookwhere, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    ran = lookwhere("bench", "folder", "--photos", photos, "--rounds", "1", "--device", "cpu", "--json", out)
    assert ran.code == 0
    figures = json.loads(out.read_text())
    assert figures["machine"]["cores"] >= 1
    assert figures["machine"]["threads"] >= 1
    assert [record["subject"] for record in figures["records"]] == ["folder"] * 5
    assert "classify, 12 photographs" in ran.out
    assert "at least 0.9" in ran.out


def test_interruption_keeps_what_was_measured(lookwhere, photos: Path, tmp_path: Path, monkeypatch) -> None:
    def interrupted(settings: BenchSettings) -> Iterator[Measurement]:
        yield Measurement("folder", "the first value", 1.0, "s", limit=Limit("at most", 0.5))
        raise KeyboardInterrupt

    interrupted.__name__ = "folder"
    monkeypatch.setattr(folder, "folder", interrupted)
    out = tmp_path / "speed.json"
    ran = lookwhere("bench", "folder", "--photos", photos, "--json", out)
    assert ran.code == 130
    assert "the first value" in ran.out
    assert "missed" in ran.out
    assert len(json.loads(out.read_text())["records"]) == 1


@pytest.mark.parametrize("arguments", [["speed"], ["folder", "--photos", "nowhere"], ["start", "--rounds", "0"]])
def test_wrong_use_is_refused(lookwhere, arguments: list[str]) -> None:
    ran = lookwhere("bench", *arguments)
    assert ran.code == 2
    assert ran.err


def test_json_is_not_overwritten(lookwhere, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text("mine")
    ran = lookwhere("bench", "model", "--json", tmp_path / "speed.json")
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert (tmp_path / "speed.json").read_text() == "mine"
