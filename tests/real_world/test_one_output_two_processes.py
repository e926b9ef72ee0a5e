"""Two processes and one place: nothing is lost silently; names of any length, and outputs that can't be written."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookwhere_cli.output.files as files
from lookwhere_cli.cli.runs import create_run_dir, training_into
from lookwhere_cli.errors import OutputError, UsageError
from lookwhere_cli.output.files import check_free, partial_name, whole_file
from lookwhere_cli.output.masks.paths import MAX_NAME, fitting_name
from tests.cli.test_train import FAST, folders  # noqa: F401 - a fixture


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(files, "WAIT", 0.1)


@pytest.fixture
def elsewhere(tmp_path):
    """Run Python in another process until the test ends, once it has printed a line."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str) -> subprocess.Popen[str]:
        script = f"{code}\nprint('ready', flush=True)\nimport time; time.sleep(60)"
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def entering(module: str, manager: str, place: Path) -> str:
    """Code that enters a context manager for a place, and stays in it."""
    return (
        f"from pathlib import Path; from {module} import {manager}\n"
        f"held = {manager}(Path({str(place)!r})); held.__enter__()"
    )


def writing(file: Path) -> str:
    return (
        "from pathlib import Path; from lookwhere_cli.output.files import whole_file\n"
        f"held = whole_file(Path({str(file)!r})); held.__enter__().write(b'half')"
    )


def test_a_file_that_another_process_writes_is_refused_until_that_is_gone(tmp_path, elsewhere, impatient):
    file = tmp_path / "rows.jsonl"
    other = elsewhere(writing(file))
    with pytest.raises(UsageError, match=r"rows\.jsonl' is being written by another process"), whole_file(file):
        pass
    other.kill()  # as `kill -9` does: its temporary file is left, and taken up by the next run
    other.wait()
    assert [entry.name for entry in tmp_path.iterdir()] == [".rows.jsonl.partial"]
    with whole_file(file) as stream:
        stream.write(b"whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"] and file.read_bytes() == b"whole"


def test_small_files_wait_for_each_other(tmp_path):
    file = tmp_path / "labelmap.txt"

    def write(number: int) -> None:
        with whole_file(file) as stream:
            stream.write(b"%d" % number * 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert len(set(file.read_text())) <= 2 and [entry.name for entry in tmp_path.iterdir()] == ["labelmap.txt"]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    file = tmp_path / "rows.csv"
    check_free(file, overwrite=False)
    file.write_text("another process's")
    with pytest.raises(UsageError, match="written by another process meanwhile"), whole_file(file):
        pass
    assert file.read_text() == "another process's"
    check_free(file, overwrite=True)
    with whole_file(file) as stream:
        stream.write(b"mine")
    assert file.read_text() == "mine"


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("x")
    partial_name(tmp_path / "a.csv").symlink_to(tmp_path / "precious")
    with whole_file(tmp_path / "a.csv") as stream:
        stream.write(b"y")
    assert (tmp_path / "precious").read_text() == "x" and (tmp_path / "a.csv").read_text() == "y"


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_annotations_gather_what_other_processes_wrote_since(lookwhere, segmenting_folder, pictures, monkeypatch):
    pytest.importorskip("pycocotools")
    from lookwhere_cli.cli import mask_output

    out, first = pictures / "out", [pictures / "a.png", pictures / "b.png"]
    arguments = ("--model", segmenting_folder, "--out", out, "--format", "rle", "-q")
    request = mask_output.MaskRequest.pending

    def slow(self, paths, labels, *more):
        pending = request(self, paths, labels, *more)
        monkeypatch.setattr(mask_output.MaskRequest, "pending", request)
        assert lookwhere("segment", *first, *arguments).code == 0  # another run, from start to end
        return pending

    monkeypatch.setattr(mask_output.MaskRequest, "pending", slow)
    assert lookwhere("segment", pictures / "b.png", pictures / "c.png", *arguments).code == 0
    content = json.loads((out / "annotations.json").read_text())
    assert sorted(image["file_name"] for image in content["images"]) == ["a.png", "b.png", "c.png"]
    assert len({one["id"] for one in content["annotations"]}) == len(content["annotations"])


def test_annotations_that_another_process_writes_are_refused(
    lookwhere, segmenting_folder, pictures, elsewhere, impatient
):
    pytest.importorskip("pycocotools")
    out = pictures / "out"
    out.mkdir()
    elsewhere(writing(out / "annotations.json"))
    ran = lookwhere("segment", pictures / "a.png", "--model", segmenting_folder, "--out", out, "--format", "rle")
    assert ran.code == 2 and "annotations.json' is being written by another process" in ran.err


def test_the_second_training_into_a_folder_is_refused(tmp_path, elsewhere):
    out = tmp_path / "out"
    out.mkdir()
    other = elsewhere(entering("lookwhere_cli.cli.runs", "training_into", out))
    with pytest.raises(UsageError, match=r"Another run writes to .*out'; wait until it ends, or choose another folder"):
        training_into(out).__enter__()
    other.kill()
    other.wait()
    with training_into(out):
        pass


def test_a_folder_is_kept_from_the_moment_that_it_is_made(tmp_path):
    out = tmp_path / "out"
    code = entering("lookwhere_cli.cli.runs", "training_into", out)
    with training_into(out):
        create_run_dir(out)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
        assert "Another run writes to" in ran.stderr
    assert subprocess.run([sys.executable, "-c", code], env=os.environ, check=False).returncode == 0


def test_train_itself_refuses(lookwhere, folders, tmp_path, elsewhere):  # noqa: F811
    out = tmp_path / "out"
    out.mkdir()
    elsewhere(entering("lookwhere_cli.output.locks", "locked_folder", out))
    ran = lookwhere("train", folders, "--out", out, *FAST)
    assert ran.code == 2 and "Another run writes to" in ran.err and list(out.iterdir()) == []


LONG = ["日" * 83 + ".png", "m" * 251 + ".png", "é" * 125 + ".png", os.fsdecode(b"\xff" * 251 + b".png"), "x.y" * 83]


@pytest.mark.parametrize("name", LONG)
def test_a_name_that_the_disk_takes_has_a_temporary_one(tmp_path, name):
    with whole_file(tmp_path / name) as stream:
        stream.write(b"1")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", LONG)
@pytest.mark.parametrize("ending", [".png", ".overlay.png", ".geojson"])
def test_derived_names_fit_and_stay_distinct(name, ending):
    fitted = {fitting_name(name[:length], ending) for length in range(len(name) - 3, len(name) + 1)}
    assert len(fitted) == 4
    assert all(len(os.fsencode(one)) <= MAX_NAME and one.endswith(ending) for one in fitted)
    assert fitting_name("a", ending) == f"a{ending}"


@pytest.mark.parametrize("options", [("--overlay",), ("--format", "geojson"), ()])
def test_pictures_of_long_names_are_segmented(lookwhere, segmenting_folder, pictures, options):
    if "geojson" in options:
        pytest.importorskip("shapely")
    source = pictures / "in"
    source.mkdir()
    for name in (*LONG[:3], "m" * 250 + "n.png", "z.png"):
        (source / name).write_bytes((pictures / "a.png").read_bytes())
    out = pictures / "out"
    ran = lookwhere("segment", source, "--model", segmenting_folder, "--out", out, "--rows-format", "jsonl", *options)
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 0 and len({row["mask"] for row in rows}) == 5 and all(Path(row["mask"]).exists() for row in rows)
    assert len([file for file in out.iterdir() if file.name != "labelmap.txt"]) == (10 if "--overlay" in options else 5)
    again = lookwhere("segment", source, "--model", segmenting_folder, "--out", out, *options)
    assert "Skipped 5 of 5 pictures" in again.err
    assert not [file for file in out.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("command", ["segment", "explain"])
def test_an_output_that_cannot_be_written_is_an_error_row(
    lookwhere, segmenting_folder, model_folder, pictures, command
):
    model = segmenting_folder if command == "segment" else model_folder
    (pictures / "sub").mkdir()
    (pictures / "a.png").rename(pictures / "sub" / "a.png")
    out = pictures / "out"
    out.mkdir()
    (out / "sub").write_text("a file where the folder of the first picture's output belongs")
    rows = ("--rows-format", "jsonl") if command == "segment" else ("--format", "jsonl")
    ran = lookwhere(command, pictures, "--model", model, "--out", out, *rows)
    errors = ["error" in json.loads(line) for line in ran.out.splitlines()]
    assert ran.code == 1 and sum(errors) == 1 and len(errors) == 4
    assert len(list(out.glob("*.png"))) == 3


@pytest.mark.parametrize("command", ["segment", "explain"])
def test_a_full_disk_ends_the_run(lookwhere, segmenting_folder, model_folder, pictures, command, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    model = segmenting_folder if command == "segment" else model_folder
    out = pictures / "out"
    out.mkdir()
    monkeypatch.setattr(os, "fsync", full)
    ran = lookwhere(command, pictures, "--model", model, "--out", out)
    assert ran.code == 1 and "No space left on device; make room" in ran.err and list(out.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, OutputError), (errno.EACCES, UsageError)])
def test_a_disk_that_is_full_at_opening_is_no_wrong_use(tmp_path, monkeypatch, number, kind):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(kind, match="can't be written"), whole_file(tmp_path / "a"):
        pass
