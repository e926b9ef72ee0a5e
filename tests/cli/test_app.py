import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import pyarrow.parquet
import pytest
import typer

from lookwhere_cli.checkpoints import resolve
from lookwhere_cli.cli.app import app, main
from lookwhere_cli.text import near_names

LOOKWHERE = [sys.executable, "-m", "lookwhere_cli"]


COMMANDS = [
    [name]
    for name in (
        *("classify", "segment", "explain", "features", "pretrain", "train", "calibrate", "evaluate", "compare"),
        "bench",
    )
]
JOBS = (["jobs", "status"], ["jobs", "merge"])
MODELS = ("list", "show", "pull", "verify", "convert", "push", "remove")


@pytest.mark.parametrize(
    "command",
    [[], *COMMANDS, *JOBS, *(["models", verb] for verb in MODELS)],
    ids=" ".join,
)
def test_help_fits_a_screen_and_shows_two_examples(lookwhere, command):
    ran = lookwhere(*command, "--help")
    lines = ran.out.splitlines()
    assert ran.code == 0 and len(lines) <= 50 and max(map(len, lines)) <= 80
    assert sum(line.strip().startswith("lookwhere ") for line in lines) == 2


@pytest.mark.parametrize("command", ["pretrain", "train", "calibrate", "evaluate", "compare"])
def test_help_all_shows_the_options_that_help_leaves_out(lookwhere, command):
    some, every = (
        set(re.findall(r"--[a-z][a-z-]+", lookwhere(command, f"--{name}").out)) for name in ("help", "help-all")
    )
    assert some < every and {"--debug", "--help-all", "--out"} <= every and "--debug" not in some


@pytest.mark.parametrize("command", ["pretrain", "train", "calibrate", "evaluate", "compare"])
def test_every_option_that_help_names_exists(command):
    long = typer.main.get_command(app).commands[command]
    assert long.shown and long.shown <= {param.name for param in long.params}


def test_full_rows_are_for_csv_only_and_refused_before_any_work(lookwhere, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    for command in (["classify"], ["segment", "--out", tmp_path / "masks"]):
        ran = lookwhere(command[0], tmp_path / "photo.jpg", *command[1:], "--full-rows", "--model", "none-such")
        assert ran.code == 2 and "--full-rows adds columns to CSV, and the format is text; leave it out." in ran.err
    assert not (tmp_path / "masks").exists()


def test_version(lookwhere):
    ran = lookwhere("--version")
    assert ran.code == 0 and ran.out.startswith("lookwhere ")

    assert lookwhere("-V").out == ran.out


@pytest.mark.parametrize("command", [*COMMANDS, [], ["models"], *(["models", verb] for verb in MODELS)], ids=" ".join)
def test_help_names_no_types_of_python(lookwhere, command):
    ran = lookwhere(*command, "-h")
    assert ran.code == 0 and ran.out == lookwhere(*command, "--help").out
    assert not re.search(r"<\w+|\{[A-Z]|\[\[|\]\.\.\.\]", ran.out), ran.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["clasify", "x"], "There is no command 'clasify'; did you mean classify?"),
        (
            ["qqq"],
            "There is no command 'qqq'; choose from classify, segment, detect, explain, features, pretrain, ",
        ),
        (["models", "pul"], "There is no command 'pul'; did you mean pull?"),
        (["classify", "x", "--formt", "json"], "There is no option --formt; did you mean --format?"),
        (["classify", "x", "--zzz"], "There is no option --zzz; see lookwhere classify --help."),
        (["classify"], "PATH is missing; see lookwhere classify --help."),
        (["segment", "x"], "--out is missing; see lookwhere segment --help."),
        (["segment", "x", "--out"], "--out needs a value; see --help."),
        (["classify", "x", "--quiet=1"], "--quiet takes no value; see --help."),
        (["models", "pull", "a", "b"], "There are more arguments than expected: b; see lookwhere models pull --help."),
        (["classify", "x", "--top", "many"], "--top many is not a whole number."),
        (["classify", "x", "--max-pixels", "0"], "--max-pixels 0 is too small; it must be at least 1."),
        (["train", "x", "--out", "y", "--val-share", "2"], "--val-share 2 is too large; it must be at most 1."),
        (["train", "x", "--out", "y", "--lr", "fast"], "--lr fast is not a number."),
        (["train", "x", "--out", "y", "--area", "1"], "--area needs 2 values; see --help."),
        (["classify", "x", "--format", "jsn"], "--format jsn is not known; did you mean json?"),
        (["classify", "x", "--format", "xml"], "--format xml is not known; choose from text, json, jsonl, csv, parq"),
        (["classify", "x", "-k", "some"], "-k some is not an amount to read; "),
        (["classify", "x", "--patches", "some"], "--patches some is not an amount to read; "),
        (["evaluate", "x", "--patches=some"], "--patches some is not an amount to read; "),
        (["train", "x", "--out", "y", "-k", "5%-1%"], "-k 5%-1% is not a range; "),
    ],
)
def test_every_usage_error_is_one_sentence_that_names_what_was_typed(lookwhere, arguments, sentence):
    ran = lookwhere(*arguments)
    assert ran.code == 2 and ran.out == "" and ran.err.startswith(f"Error: {sentence}"), ran.err
    assert ran.err.count("\n") == 1


def test_names_are_offered_only_if_they_are_near():
    assert near_names("formt", ["out", "format"]) == ["format"] and near_names("gpu", ["cpu", "auto"]) == []
    models = ["lookwhere-tiny-streets", "lookwhere-tiny-signs", "lookwhere-tiny-in1k"]
    assert near_names("lookwhere-tiny-inlk", models) == models[2:] and near_names("a", []) == []


def test_shell_completion_works(lookwhere, monkeypatch):
    monkeypatch.setenv("_LOOKWHERE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "lookwhere cl")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert lookwhere().out.split() == ["classify"]


def test_models_list_shows_size_labels_and_results(lookwhere, model_folder, tmp_path, monkeypatch):
    shelf = tmp_path / "weights"
    shutil.copytree(model_folder, shelf / "small-birds")
    (shelf / "small-birds" / "results.json").write_text(json.dumps({"accuracy": {"birds": 0.875}}))
    monkeypatch.setattr(resolve, "_BUNDLES", (shelf,))
    ran = lookwhere("models", "list")
    (line,) = [line for line in ran.out.splitlines() if line.startswith("small-birds")]
    assert "birds top-1 87.5 %" in line and "classify" in line and " 18 of 36 " in line
    monkeypatch.setenv("COLUMNS", "40")
    assert "small-birds" in lookwhere("models", "list").out, "a name must not be truncated: users type it"
    monkeypatch.setattr(resolve, "_BUNDLES", ())
    assert "birds" not in lookwhere("models", "list").out


def in_terminal(columns, arguments):
    """Run a command in this process, on a pseudo-terminal of that width; return its exit code and output."""
    leader, follower = pty.openpty()
    variables = {"COLUMNS": str(columns), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    output = []
    reader = threading.Thread(target=lambda: output.extend(iter(lambda: read_terminal(leader), b"")))
    with (
        os.fdopen(follower, "w", encoding="utf-8") as terminal,
        mock.patch.dict(os.environ, variables),
        mock.patch.multiple(sys, argv=["lookwhere", *arguments], stdout=terminal, stderr=terminal),
        pytest.raises(SystemExit) as ended,
    ):
        reader.start()
        main()
    reader.join()
    os.close(leader)
    return ended.value.code or 0, b"".join(output).decode()


def read_terminal(leader):
    """Return what is written to a terminal; nothing once its other end is closed."""
    try:
        return os.read(leader, 65536)
    except OSError:
        return b""


def test_a_terminal_shows_a_map_in_colour(model_folder, photos):
    code, shown = in_terminal(100, ["classify", str(photos / "0.png"), "--model", str(model_folder)])
    assert code == 0 and "▀" in shown and "17 of 35 cells read" in shown and "\x1b[" in shown


MANY = 3000


@pytest.fixture
def started(model_folder, photos, tmp_path):
    """Start `classify` on more pictures than it can finish before it is interrupted."""
    many = tmp_path / "many"
    many.mkdir()
    for index in range(MANY):
        os.link(photos / "0.png", many / f"{index}.png")
    processes = []

    def start(*arguments):
        command = [*LOOKWHERE, "classify", str(many), "--model", str(model_folder), "--batch-size", "2", *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("format", ["json", pytest.param("csv", marks=pytest.mark.slow)])
def test_ctrl_c_leaves_complete_rows_on_stdout(started, format):
    process = started("--format", format)
    first = process.stdout.readline() + process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    text = (first + rest).decode()
    rows = json.loads(text) if format == "json" else list(csv.DictReader(io.StringIO(text)))
    assert process.returncode == 130
    assert 0 < len(rows) < MANY and all(row["labels" if format == "json" else "label"] for row in rows)
    assert re.fullmatch(rf"Stopped: \d+ of {MANY:,} pictures are done.\n", err.decode())


@pytest.mark.parametrize("format", ["json", pytest.param("parquet", marks=pytest.mark.slow)])
def test_ctrl_c_completes_the_file_with_the_finished_rows(started, tmp_path, format):
    out = tmp_path / f"rows.{format}"
    process = started("--format", format, "--out", str(out))
    while not any(file.stat().st_size for file in tmp_path.glob(".rows*")):
        assert process.poll() is None
        time.sleep(0.01)
    assert not out.exists()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    rows = json.loads(out.read_text()) if format == "json" else pyarrow.parquet.read_table(out).to_pylist()
    assert process.returncode == 130 and len(rows) < MANY
    assert [row["path"].rpartition("/")[2] for row in rows] == [f"{index}.png" for index in range(len(rows))]
    assert not list(tmp_path.glob(".rows*"))


def test_a_closed_pipe_ends_the_command_silently(started):
    process = started()
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--help"], ["--version"]),
        *(pytest.param(slow, marks=pytest.mark.slow) for slow in (["classify", "--help"], ["models", "list"])),
    ],
)
def test_a_pipe_that_is_closed_from_the_start_is_no_failure(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([*LOOKWHERE, *arguments], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert ran.returncode == 141 and ran.stderr == b""


def test_a_closed_pipe_of_messages_is_no_failure(photos):
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run([*LOOKWHERE, "classify", str(photos), "--model", "nowhere"], stdout=writer, stderr=writer)
    os.close(writer)
    assert ran.returncode == 141


def test_failed_pictures_still_end_with_1(lookwhere, photos, tmp_path):
    (tmp_path / "broken.png").write_text("no")
    ran = lookwhere("classify", tmp_path, photos)
    assert ran.code == 1 and "1 of 13 pictures failed" in ran.err


def test_a_full_disk_on_stdout_is_reported_in_one_sentence(model_folder, photos):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device, not a path
        ran = subprocess.run(
            [*LOOKWHERE, "classify", str(photos), "--model", str(model_folder)], stdout=full, stderr=subprocess.PIPE
        )
    assert ran.returncode == 1
    assert ran.stderr.decode().startswith("Error: Writing 'standard output' failed: No space left on device")
    assert ran.stderr.count(b"\n") == 1


@pytest.mark.parametrize("command", ["classify", "train", "evaluate", "bench"])
def test_help_names_the_variables_that_set_defaults(lookwhere, command):
    assert {"LOOKWHERE_MODEL", "LOOKWHERE_DEVICE"} <= set(
        re.findall(r"LOOKWHERE_\w+", lookwhere(command, "--help-all" if command == "train" else "--help").out)
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_those_of_typer(lookwhere, monkeypatch, shell):
    monkeypatch.setenv("_LOOKWHERE_COMPLETE", f"source_{shell}")
    ran = lookwhere()
    assert "lookwhere" in ran.out and "_LOOKWHERE_COMPLETE" in ran.out
