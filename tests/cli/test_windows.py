"""`classify` and `detect` in windows: rows, resuming, and wrong use to a sentence."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.windows import picture as picture_module


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of 2 x 4 windows of 24 pixels."""
    file = tmp_path_factory.mktemp("photos") / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8)).save(file)
    return file


@pytest.fixture
def detect(lookwhere: Any, detecting_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("LOOKWHERE_MODEL", str(detecting_folder))
    return lambda *arguments: lookwhere("detect", *arguments)


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_row_for_the_whole_and_with_window_rows_one_for_each_window(lookwhere: Any, photo: Path) -> None:
    ran = lookwhere("classify", photo, "--window", 24, "--format", "jsonl")
    assert ran.code == 0, ran.err
    (whole,) = rows_of(ran.out)
    assert whole["windows"] == {"total": 8, "read": 8, "blank": 0, "outside": 0, "ranked_out": 0, "failed": 0}
    assert whole["cells"] == [] and "window" not in whole and len(whole["labels"]) == 3
    every = rows_of(lookwhere("classify", photo, "--window", 24, "--format", "jsonl", "--window-rows").out)
    assert [row.get("window") for row in every[:2]] == [[0, 0, 24, 24], [24, 0, 48, 24]] and len(every) == 9
    assert every[-1]["labels"] == whole["labels"] and every[-1]["k"] == sum(row["k"] for row in every[:-1])
    text = lookwhere("classify", photo, "--window", 24, "--window-rows", "--top", 1).out.splitlines()
    assert text[1].split("\t")[:2] == [str(photo), "24 0 48 24"]


def test_csv_has_edges_and_counts(lookwhere: Any, photo: Path) -> None:
    ran = lookwhere("classify", photo, "--window", "auto", "--format", "csv", "--window-rows", "--top", 1)
    rows = list(csv.DictReader(io.StringIO(ran.out)))
    assert [rows[1][name] for name in ("left", "top", "right", "bottom")] == ["24", "0", "48", "24"]
    assert rows[1]["total_windows"] == "" and rows[-1]["left"] == "" and rows[-1]["read_windows"] == "8"


def test_parquet_has_windows(lookwhere: Any, photo: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as parquet

    out = tmp_path / "rows.parquet"
    assert lookwhere("classify", photo, "--window", 24, "--window-rows", "--out", out).code == 0
    rows = parquet.read_table(out).to_pylist()
    assert rows[0]["window"] == [0, 0, 24, 24] and rows[0]["windows"] is None
    assert rows[-1]["windows"]["read"] == 8 and not list(tmp_path.glob("*.windows.jsonl"))


def test_boxes_of_the_whole_in_every_format_of_one_file(detect: Any, photo: Path, tmp_path: Path) -> None:
    ran = detect(photo, "--window", 24, "--format", "jsonl", "--conf", 0.1, "-k", "all")
    (row,) = rows_of(ran.out)
    assert row["boxes"] and row["windows"]["total"] == 15  # overlapping
    assert max(box["box"][2] for box in row["boxes"]) > 48
    for name in ("boxes.csv", "boxes.geojson"):
        out = tmp_path / name
        ran = detect(photo, "--window", 24, "--conf", 0.1, "-k", "all", "--out", out)
        assert ran.code == 0 and "Read 15 of 15 windows." in ran.err and out.stat().st_size > 100


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--window", "0"), "--window is '0'"),
        (("--window", "x"), "--window is 'x'"),
        (("--mpp", "1"), "--mpp is for reading in windows"),
        (("--window-rows",), "--window-rows is for reading in windows"),
        (("--window", "24", "--window-overlap", "x"), "--window-overlap is 'x'"),
        (("--window", "24", "--window-overlap", "100%"), "window overlap is 1"),
        (("--window", "24", "--best-windows", "0"), "best windows: 0"),
        (("--window", "24", "--roi", "none.geojson"), "'none.geojson' can't be read"),
        (("--window", "24", "--crop"), "--crop reads the centre"),
        (("--window", "24", "--out", "folder/"), "A job reads each picture as a whole"),
    ],
)
def test_wrong_use(lookwhere: Any, photo: Path, arguments: tuple[str, ...], sentence: str) -> None:
    ran = lookwhere("classify", photo, *arguments)
    assert ran.code == 2 and sentence in ran.err and ran.err.count("\n") == 1


def test_what_windows_do_not_have(detect: Any, photo: Path, tmp_path: Path) -> None:
    ran = detect(photo, "--window", 24, "--format", "yolo", "--out", tmp_path / "out")
    assert ran.code == 2 and "is for pictures that are read as a whole" in ran.err
    assert "would have every box twice" in detect(photo, "--window", 24, "--window-rows", "--format", "csv").err


def test_an_unknown_resolution_is_a_failed_picture(lookwhere: Any, photo: Path) -> None:
    ran = lookwhere("classify", photo, "--window", 24, "--mpp", 0.5, "--format", "jsonl")
    (row,) = rows_of(ran.out)
    assert ran.code == 1 and "does not tell how large its pixels are" in row["error"]


@pytest.mark.parametrize("window_rows", [False, True])
def test_a_stopped_run_goes_on(
    lookwhere: Any, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_rows: bool
) -> None:
    arguments = ["classify", photo, "--window", 24, "--batch-size", 1, *["--window-rows"] * window_rows]
    expected = rows_of(lookwhere(*arguments, "--format", "jsonl").out)
    out = tmp_path / "rows.jsonl"
    journal = tmp_path / "rows.jsonl.windows.jsonl"
    original, computed = picture_module.answer_windows, []

    def stopping(predictor, source, plan):
        for answered in original(predictor, source, plan):
            if len(computed) == 5:
                raise KeyboardInterrupt
            computed.append(answered.window.number)
            yield answered

    monkeypatch.setattr(picture_module, "answer_windows", stopping)
    ran = lookwhere(*arguments, "--out", out)
    assert ran.code == 130 and "The windows that are finished are in" in ran.err and journal.exists()
    assert len(rows_of(out.read_text())) == (5 if window_rows else 0)

    monkeypatch.setattr(picture_module, "answer_windows", original)
    counting: list[int] = []
    monkeypatch.setattr(
        picture_module,
        "answer_windows",
        lambda predictor, source, plan: (counting.append(len(plan.windows)), original(predictor, source, plan))[1],
    )
    ran = lookwhere(*arguments, "--out", out)
    assert ran.code == 0 and "5 windows are finished" in ran.err and counting == [3] and not journal.exists()
    found = rows_of(out.read_text())
    for row in (*expected, *found):
        row.pop("seconds")
    assert found == expected


def test_what_another_command_left_is_not_used(lookwhere: Any, photo: Path, tmp_path: Path, monkeypatch: Any) -> None:
    out, original = tmp_path / "rows.jsonl", picture_module.answer_windows

    def stopping(predictor, source, plan):
        yield next(original(predictor, source, plan))
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_module, "answer_windows", stopping)
    assert lookwhere("classify", photo, "--window", 24, "--out", out).code == 130
    monkeypatch.setattr(picture_module, "answer_windows", original)
    ran = lookwhere("classify", photo, "--window", 48, "--out", out)
    assert ran.code == 2 and "exists already" in ran.err
    ran = lookwhere("classify", photo, "--window", 48, "--out", out, "--overwrite")
    assert ran.code == 0 and "other pictures, models or options is not used" in ran.err
    assert rows_of(out.read_text())[0]["windows"]["total"] == 2
