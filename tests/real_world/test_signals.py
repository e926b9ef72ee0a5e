"""SIGTERM and SIGHUP end a run as Ctrl-C does; ignored signals stay so; what a killed run left is taken up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lookwhere_cli.interrupts import deferred, delayed, exit_code, listening
from lookwhere_cli.output.writers import JsonLinesWriter
from lookwhere_cli.training.loop import Run
from tests.cli.test_interrupt import pretrain  # noqa: F401 - a fixture

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def as_in_a_terminal():
    """Signals act as usual, also if the tests themselves run under nohup."""
    before = {number: signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
              for number in CODES}  # fmt: skip
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", CODES)
def test_rows_that_are_done_are_whole_and_no_hidden_file_is_left(lookwhere, photos, tmp_path, monkeypatch, number):
    write, written = JsonLinesWriter.write, []

    def interrupted(writer, row):
        written.append(row)
        if len(written) == 4:
            signal.raise_signal(number)  # in the middle of writing a row
        write(writer, row)

    monkeypatch.setattr(JsonLinesWriter, "write", interrupted)
    out = tmp_path / "rows.jsonl"
    ran = lookwhere("classify", photos, "--out", out)
    assert ran.code == CODES[number] and "Stopped: 4 of 12 pictures are done." in ran.err
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_steps_of_training_are_kept(pretrain, tmp_path, monkeypatch, number):  # noqa: F811
    step = Run._step

    def interrupted(run, place, batch):
        if place == 1:
            signal.raise_signal(number)
        return step(run, place, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "_step", interrupted)
        ran = pretrain()
    assert ran.code == CODES[number] and "2 of 4 steps are saved" in ran.err
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["checkpoint.pt"]
    assert pretrain().code == 0


@pytest.mark.parametrize("number", CODES)
def test_a_signal_that_is_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        for manager in (listening, deferred, delayed):
            with manager():
                assert signal.getsignal(number) is signal.SIG_IGN
                signal.raise_signal(number)
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_handlers_are_put_back(number):
    with listening():
        with pytest.raises(KeyboardInterrupt), delayed():
            signal.raise_signal(number)
        assert exit_code() == CODES[number]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is signal.SIG_DFL
    with listening():
        assert exit_code() == 130


def test_a_second_signal_interrupts_at_once():
    with listening(), pytest.raises(KeyboardInterrupt), deferred() as came:
        signal.raise_signal(signal.SIGTERM)
        assert came()
        signal.raise_signal(signal.SIGTERM)


def start(photos: Path, out: Path, model: Path, ignored: int | None = None) -> subprocess.Popen[str]:
    """Classify so slowly that there is time for a signal; return once rows are being written."""
    ignoring = "" if ignored is None else f"signal.signal({int(ignored)}, signal.SIG_IGN)"
    code = (
        f"import signal, sys, time\n{ignoring}\n"
        "from lookwhere_cli.output.writers import JsonLinesWriter\n"
        "write = JsonLinesWriter.write\n"
        "JsonLinesWriter.write = lambda *them: (write(*them), print('row', flush=True), time.sleep(0.3))\n"
        f"sys.argv = ['lookwhere', 'classify', {str(photos)!r}, '--out', {str(out)!r}, '--model', {str(model)!r}]\n"
        "from lookwhere_cli.cli.app import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout is not None and process.stdout.readline() == "row\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("number", CODES)
def test_a_process_ends_with_the_signals_code(photos, model_folder, tmp_path, number):
    process = start(photos, tmp_path / "rows.jsonl", model_folder)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == CODES[number]
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]
    assert all(json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines())


@pytest.mark.slow
def test_nohup_lets_a_run_go_on(photos, model_folder, tmp_path):
    process = start(photos, tmp_path / "rows.jsonl", model_folder, signal.SIGHUP)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0 and len((tmp_path / "rows.jsonl").read_text().splitlines()) == 12


@pytest.mark.slow
def test_the_next_run_takes_up_what_a_killed_one_left(photos, model_folder, tmp_path):
    process = start(photos, tmp_path / "rows.jsonl", model_folder)
    process.kill()
    process.wait()
    time.sleep(0.1)
    assert [entry.name for entry in tmp_path.iterdir()] == [".rows.jsonl.partial"]
    process = start(photos, tmp_path / "rows.jsonl", model_folder)
    process.communicate(timeout=60)
    assert process.returncode == 0 and [entry.name for entry in tmp_path.iterdir()] == ["rows.jsonl"]
