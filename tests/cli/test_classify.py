import csv
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lookwhere_cli.checkpoints.folder import save_model
from tests.models.small import ADDING, small


@pytest.fixture
def mixed(photos, tmp_path):
    """Two readable pictures among several unreadable files."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(photos / "0.png", folder / "1 good.png")
    (folder / "2 text.jpg").write_text("hello, I am no picture\n")
    Image.effect_noise((200, 200), 80).convert("RGB").save(folder / "3 cut.jpg")
    os.truncate(folder / "3 cut.jpg", 3000)
    (folder / "4 cut.png").write_bytes((photos / "0.png").read_bytes()[:2000])
    (folder / "5 empty.jpg").touch()
    (folder / "6 bomb.png").write_bytes(bomb(100_000, 100_000))
    shutil.copy(photos / "1.png", folder / "7 good.png")
    return folder


def bomb(width, height):
    """Return a tiny PNG whose header declares this size."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def test_piped_text_is_one_plain_line_per_picture_in_natural_order(lookwhere, photos):
    ran = lookwhere("classify", photos)
    assert ran.code == 0 and ran.err == ""
    lines = [line.split("\t") for line in ran.out.splitlines()]
    assert [line[0] for line in lines] == [str(photos / f"{i}.png") for i in range(12)]
    assert all(len(line) == 4 and line[1].endswith("%") for line in lines)
    assert "\x1b" not in ran.out


def test_the_same_rows_in_every_format(lookwhere, photos, tmp_path):
    rows = json.loads(lookwhere("classify", photos, "--format", "json").out)
    lines = [json.loads(line) for line in lookwhere("classify", photos, "--format", "jsonl").out.splitlines()]
    records = list(csv.DictReader(io.StringIO(lookwhere("classify", photos, "--format", "csv").out)))
    out = tmp_path / "rows.parquet"
    assert lookwhere("classify", photos, "--format", "parquet", "--out", out).code == 0
    import pyarrow.parquet

    for row, line, record, stored in zip(
        rows, lines, records, pyarrow.parquet.read_table(out).to_pylist(), strict=True
    ):
        del row["seconds"], line["seconds"], stored["seconds"]
        assert row == line == {"schema": 1} | {name: value for name, value in stored.items() if value is not None}
        assert [record[name] for name in ("path", "k")] == [row["path"], str(row["k"])]
        suffixes = ("", "_2", "_3")
        for suffix, label in zip(suffixes, row["labels"], strict=True):
            assert record[f"label{suffix}"] == label["label"]
            assert float(record[f"probability{suffix}"]) == label["probability"]


def test_rows_have_the_grid_of_coarse_patches(lookwhere, photos):
    (row,) = json.loads(lookwhere("classify", photos / "0.png", "--coarse", "16", "--format", "json").out)
    (plain,) = json.loads(lookwhere("classify", photos / "0.png", "--format", "json").out)
    assert row["coarse"] == [3, 4] and row["coarse_k"] == 12 and not {"coarse", "coarse_k"} & set(plain)
    assert row["macs"] > plain["macs"] and row["cells"] == plain["cells"]


def test_auto_reads_as_many_cells_as_each_picture_needs(lookwhere, photos, tmp_path):
    model = tmp_path / "model"
    save_model(model, small(ADDING))
    once = lookwhere("classify", photos, "-k", "12.5%", "--model", model, "--format", "json").out
    confidences = sorted(row["labels"][0]["probability"] for row in json.loads(once))
    save_model(model, small(replace(ADDING, thresholds=((confidences[5] + confidences[6]) / 2,))))
    ran = lookwhere("classify", photos, "-k", "auto", "--model", model, "--format", "json")
    rows = json.loads(ran.out)
    assert ran.code == 0 and [row["exit"] for row in rows].count(1) == 6
    assert {(row["exit"], row["k"]) for row in rows if row["grid"] == [5, 7]} <= {(1, 4), (2, 13)}
    ran = lookwhere("explain", photos / "0.png", "-k", "auto", "--model", model)
    assert "looks: the best 4" in ran.out


def test_auto_is_refused_by_other_models_and_commands(lookwhere, photos, tmp_path):
    ran = lookwhere("classify", photos, "-k", "auto")
    assert ran.code == 3 and "lookwhere calibrate" in ran.err
    ran = lookwhere("features", photos, "-k", "auto", "--out", tmp_path / "a.safetensors")
    assert ran.code == 2 and "-k auto is only for classify, explain and evaluate; use" in ran.err


def test_failed_pictures_are_listed_and_the_others_processed(lookwhere, mixed):
    ran = lookwhere("classify", mixed, "--format", "jsonl")
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 1
    assert [row["path"][len(str(mixed)) + 1] for row in rows if "labels" in row] == ["1", "7"]
    failed = [row for row in rows if "error" in row]
    assert len(failed) == 5 and all(set(row) == {"schema", "path", "error"} for row in failed)
    assert ran.err.count("Error: ") == 5 and "5 of 7 pictures failed." in ran.err
    assert "10,000,000,000 pixels" in ran.err and "--max-pixels" in ran.err
    assert "Traceback" not in ran.err


def test_quiet_hides_notes_but_not_errors(lookwhere, mixed, tmp_path):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    assert "first of 2 frames" in lookwhere("classify", tmp_path / "two.gif").err
    assert lookwhere("classify", tmp_path / "two.gif", "--quiet").err == ""
    assert "Error: " in lookwhere("classify", mixed, "--quiet").err


def test_what_was_written_is_said_in_one_line(lookwhere, mixed, tmp_path):
    ran = lookwhere("classify", mixed, "--out", tmp_path / "rows.csv")
    assert ran.code == 1 and ran.err.splitlines()[-1] == f"Wrote 7 rows to {tmp_path / 'rows.csv'} (5 failed)."
    ran = lookwhere("classify", mixed, "--out", tmp_path / "rows.csv", "--overwrite", "--quiet")
    assert ran.err.splitlines()[-1] == "5 of 7 pictures failed."


def test_fail_fast_stops_at_the_first_failure_and_keeps_finished_rows(lookwhere, mixed, tmp_path):
    out = tmp_path / "rows.json"
    ran = lookwhere("classify", mixed, "--fail-fast", "--format", "json", "--out", out)
    assert ran.code == 1 and ran.err.count("Error") == 1
    assert [("error" in row) for row in json.loads(out.read_text())] == [False, True]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-k", "0"], 2, "-k 0 is not an amount"),
        (["-k", "-3"], 2, "-k -3 is not an amount"),
        (["-k", "37"], 2, "more than the 36 cells"),
        (["-k", "abc"], 2, "-k abc is not an amount"),
        (["-k", "1.5"], 2, "-k 1.5 is not an amount"),
        (["--size", "30"], 2, "use 28 or 32"),
        (["--coarse", "18"], 2, "coarse size is 18 pixels, which is not a multiple"),
        (["--batch-size", "0"], 2, "--batch-size is 0; it must be at least 1."),
        (["--workers", "-1"], 2, "--workers is -1"),
        (["--top", "0"], 2, "--top is 0"),
        (["--device", "gpu"], 2, "no device 'gpu'"),
        (["--dtype", "fp16"], 2, "choose one of these: (float32, bfloat16, float16)"),
        (["--format", "xml"], 2, "--format xml is not known"),
        (["--background", "wite"], 2, "--background wite"),
        (["--crop", "--stretch"], 2, "exclude each other"),
        (["--out", "/nowhere/rows.json"], 2, "can't be written: No such file or directory"),
        (["--out", "rows.xlsx"], 2, "--out 'rows.xlsx' must end in .txt, .json, .jsonl, .csv, .parquet"),
        (["--out", "rows"], 2, "--out 'rows' must end in"),
        (["--out", "/proc/rows.json"], 2, "can't be written"),
        (["--model", "lookwhere-tinny-in1k"], 3, "no model 'lookwhere-tinny-in1k'"),
    ],
)
def test_wrong_usage_is_an_error_before_any_picture_is_opened(
    lookwhere, photos, monkeypatch, arguments, code, sentence
):
    monkeypatch.setattr("lookwhere_cli.reader.open_view", lambda *_: pytest.fail("a picture was opened"))
    ran = lookwhere("classify", photos, *arguments)
    assert ran.code == code and ran.out == ""
    assert sentence in ran.err and "Traceback" not in ran.err


def test_missing_and_empty_inputs_are_errors(lookwhere, tmp_path):
    ran = lookwhere("classify", tmp_path / "nowhere.jpg")
    assert ran.code == 2 and "nowhere.jpg' is not there" in ran.err
    ran = lookwhere("classify", tmp_path)
    assert ran.code == 2 and "Error: " in ran.err


def test_a_folder_named_like_a_picture_is_searched(lookwhere, photos, tmp_path):
    folder = tmp_path / "a.jpg"
    folder.mkdir()
    shutil.copy(photos / "0.png", folder)
    assert lookwhere("classify", folder).out.count("\n") == 1


def test_a_picture_without_read_permission_is_an_error(lookwhere, photos, monkeypatch):
    opened = Path.open

    def refuse(path, *how, **more):
        if path.suffix == ".png":
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **more)

    monkeypatch.setattr(Path, "open", refuse)
    ran = lookwhere("classify", photos / "0.png")
    assert ran.code == 1 and "permission denied" in ran.err


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_damaged_model_folders_are_refused(lookwhere, model_folder, photos, tmp_path, file):
    model = shutil.copytree(model_folder, tmp_path / "model")
    os.truncate(model / file, 50)
    ran = lookwhere("classify", photos, "--model", model)
    assert ran.code == 3 and file in ran.err and ran.err.count("\n") == 1
    (model / file).unlink()
    ran = lookwhere("classify", photos, "--model", model)
    assert ran.code == 3 and f"has no {file}" in ran.err


def test_an_existing_file_is_replaced_only_with_overwrite(lookwhere, photos, tmp_path):
    out = tmp_path / "rows.jsonl"
    out.write_text("mine")
    ran = lookwhere("classify", photos, "--format", "jsonl", "--out", out)
    assert ran.code == 2 and "--overwrite" in ran.err and out.read_text() == "mine"
    ran = lookwhere("classify", photos, "--format", "jsonl", "--out", out, "--overwrite")
    assert ran.code == 0 and ran.out == "" and len(out.read_text().splitlines()) == 12
    assert ran.err == f"Wrote 12 rows to {out}.\n"
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("format", ["text", "json", "jsonl", "csv", "parquet"])
def test_a_full_disk_is_reported_in_a_sentence(lookwhere, photos, format):
    ran = lookwhere("classify", photos, "--format", format, "--out", "/dev/full")
    assert ran.code == 1 and "Writing '/dev/full' failed: No space left on device" in ran.err
    assert ran.err.count("\n") == 1


def test_no_file_remains_if_the_disk_fills_up(lookwhere, photos, tmp_path, monkeypatch):
    from lookwhere_cli.output import writers

    class Filling(writers.JsonLinesWriter):
        def write(self, row):
            if row.path.endswith("/3.png"):
                raise OSError(28, "No space left on device")
            super().write(row)

    monkeypatch.setitem(writers.WRITERS, "jsonl", Filling)
    ran = lookwhere("classify", photos, "--format", "jsonl", "--out", tmp_path / "rows.jsonl")
    assert ran.code == 1 and "No space left" in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.JSON", "rows.parquet", "rows.txt"])
def test_the_ending_of_the_file_sets_the_format(lookwhere, photos, tmp_path, name):
    formats = {"csv": b"path,", "jsonl": b'{"schema"', "json": b"[", "parquet": b"PAR1", "txt": b"/"}
    assert lookwhere("classify", photos / "0.png", "--out", tmp_path / name).code == 0
    assert (tmp_path / name).read_bytes().startswith(formats[name.lower().rpartition(".")[2]])
    ran = lookwhere("classify", photos / "0.png", "--out", tmp_path / name, "--format", "csv", "--overwrite")
    assert ran.code == 0 and (tmp_path / name).read_bytes().startswith(b"path,")


def test_standard_output_by_its_name_gets_text_and_keeps_what_a_log_holds(photos, model_folder, tmp_path):
    command = [sys.executable, "-m", "lookwhere_cli", "classify", photos / "0.png", "--out", "/dev/stdout", "-q"]
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("ab") as stream:
        subprocess.run([*command, "--model", model_folder], stdout=stream, check=True)
    before, row = log.read_text().splitlines()
    assert before == "before" and row.startswith(str(photos / "0.png"))


def test_unusual_shapes_and_names_work(lookwhere, tmp_path):
    sizes = {"-dash.png": (1, 1), "quo\"te's.png": (5, 5), "new\nline.png": (2000, 10), "é ü.png": (10, 300)}
    for name, size in sizes.items():
        Image.new("RGB", size, "teal").save(tmp_path / name)
    Image.new("RGB", (8, 8)).save(os.fsencode(tmp_path) + b"/caf\xe9.png", format="PNG")
    rows = json.loads(lookwhere("classify", tmp_path, "--format", "json").out)
    assert all("labels" in row for row in rows) and len(rows) == 5
    assert {tuple(row[side] for side in ("width", "height")) for row in rows} == {*sizes.values(), (8, 8)}
    assert lookwhere("classify", tmp_path).out.count("\n") == 5


def test_debug_shows_the_traceback_before_the_sentence(lookwhere):
    ran = lookwhere("classify", "nowhere.jpg", "--debug")
    assert ran.code == 2 and "Traceback" in ran.err and ran.err.splitlines()[-1].startswith("Error: 'nowhere.jpg'")


def test_an_unexpected_exception_is_reported_in_a_sentence(lookwhere, photos, monkeypatch):
    monkeypatch.setattr("lookwhere_cli.strategies.base.choose_cells", lambda *_: 1 / 0)
    ran = lookwhere("classify", photos)
    assert ran.code == 1 and "ZeroDivisionError" in ran.err and ran.err.count("\n") == 1


@pytest.fixture
def piped(lookwhere, monkeypatch):
    """Run the command in this process, with these bytes on standard input."""

    def run(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        ran = lookwhere("classify", "-", "--format", "jsonl")
        return ran.code, [json.loads(line) for line in ran.out.splitlines()], ran.err

    return run


def piped_into_process(content, model_folder):
    """Do the same in a new process."""
    command = [
        sys.executable,
        "-m",
        "lookwhere_cli",
        "classify",
        "-",
        "--model",
        model_folder,
        "--format",
        "jsonl",
    ]
    ran = subprocess.run(command, input=content, capture_output=True, check=False)
    return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr.decode()


def test_standard_input_is_a_picture_or_a_list_of_paths(piped, photos, model_folder):
    code, (row,), _ = piped_into_process((photos / "0.png").read_bytes(), model_folder)
    assert code == 0 and (row["path"], row["width"], row["height"]) == ("-", 60, 40)
    _, of_lines, _ = piped(f"{photos / '0.png'}\n{photos / '1.png'}\n".encode())
    _, of_zeros, _ = piped(f"{photos / '0.png'}\0{photos / '1.png'}\0".encode())
    assert (
        [one["path"] for one in of_lines]
        == [one["path"] for one in of_zeros]
        == [str(photos / f"{i}.png") for i in (0, 1)]
    )
    assert (of_lines[0]["cells"], of_lines[0]["labels"]) == (row["cells"], row["labels"])
    code, (bad,), error = piped((photos / "0.png").read_bytes()[:200])
    assert code == 1 and bad["path"] == "-" and "is damaged" in bad["error"] and "Traceback" not in error


def test_memory_accepts_any_size_and_refuses_other_text(lookwhere, photos):
    plain = lookwhere("classify", photos)
    assert lookwhere("classify", photos, "--memory", "1k") == plain and plain.code == 0
    ran = lookwhere("classify", photos, "--memory", "plenty")
    assert ran.code == 2 and "--memory plenty is not an amount of memory" in ran.err


@pytest.mark.parametrize(("top", "labels"), [(1, 1), (2, 2), (5, 3)])
def test_the_columns_of_csv_follow_from_top_and_the_classes(lookwhere, photos, tmp_path, top, labels):
    (tmp_path / "broken.png").write_text("no")
    ran = lookwhere("classify", tmp_path, photos / "0.png", "--top", top, "--format", "csv")
    broken, good = csv.DictReader(io.StringIO(ran.out))
    names = [f"label_{number}" for number in range(2, labels + 1)]
    assert list(good)[: 1 + 2 * labels : 2] == ["path", *[f"probability{name[5:]}" for name in ("label", *names)]]
    assert [name for name in good if name.startswith("label")] == ["label", *names]
    assert not set(good) & {"cells", "grid", "labels", "shares", "coarse"} and list(broken) == list(good)
    assert broken["error"] and not broken["label"] and good["label"]


def test_full_rows_adds_the_lists_to_csv_only(lookwhere, photos):
    ran = lookwhere("classify", photos / "0.png", "--format", "csv", "--full-rows")
    (record,) = csv.DictReader(io.StringIO(ran.out))
    row = json.loads(lookwhere("classify", photos / "0.png", "--format", "jsonl").out)
    assert all(json.loads(record[name]) == row[name] for name in ("grid", "cells", "labels"))
    ran = lookwhere("classify", photos / "0.png", "--format", "json", "--full-rows")
    assert ran.code == 2 and "--full-rows" in ran.err
