"""Ctrl-C: what is kept is said on stderr, and how to go on."""

import re
import signal
import sys

import pytest

import lookwhere_cli.cli.pretrain as pretrain_command
from lookwhere_cli.cli import train as train_command
from lookwhere_cli.training.loop import Run
from tests.training.tiny import photographs, teacher_file


@pytest.fixture
def pretrain(lookwhere, tmp_path):
    """Start `pretrain` for four steps on a tiny teacher, into the folder `out`."""
    teacher, folder = teacher_file(tmp_path), photographs(tmp_path / "photographs")
    sizes = ("--size", 32, "--thumbnail-size", 16, "--selector-depth", 1, "--patches", "4-12", "--batch-size", 2)
    more = ("--device", "cpu", "--dtype", "float32", "--workers", 0, "--steps", 4)
    return lambda: lookwhere("pretrain", folder, "--teacher", teacher, "--out", tmp_path / "out", *sizes, *more)


def interrupt(*_):
    signal.raise_signal(signal.SIGINT)


def test_steps_of_pretraining_are_kept(pretrain, tmp_path, monkeypatch):
    step = Run._step

    def interrupted(run, number, batch):
        if number == 1:
            interrupt()
        return step(run, number, batch)

    monkeypatch.setattr(Run, "_step", interrupted)
    ran = pretrain()
    file = tmp_path / "out" / "checkpoint.pt"
    sentence = f"Stopped; 2 of 4 steps are saved, and the same command continues from there: {file}."
    assert ran.code == 130 and ran.err.splitlines() == [sentence]
    assert file.exists()


def test_before_the_first_step_nothing_is_kept_and_later_the_checkpoint_is(pretrain, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(pretrain_command, "_photographs", interrupt)
        ran = pretrain()
    assert ran.code == 130
    assert ran.err == "Stopped before a step was saved; the same command starts again.\n"
    assert pretrain().code == 0
    monkeypatch.setattr(pretrain_command, "_photographs", interrupt)
    ran = pretrain()
    assert ran.code == 130
    assert re.fullmatch(r"Stopped; .*checkpoint.pt is kept, and the same command continues from there.\n", ran.err)


def test_training_says_so_too(lookwhere, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(train_command, "_read_set", interrupt)
    ran = lookwhere("train", photos, "--out", tmp_path / "out", "--device", "cpu")
    assert ran.code == 130
    assert ran.err == "Stopped before a step was saved; the same command starts again.\n"


@pytest.fixture
def interrupted_explain(lookwhere, photos, monkeypatch):
    """Run `explain` on twelve pictures with these arguments, and Ctrl-C in the fourth."""
    module = sys.modules["lookwhere_cli.cli.explain"]  # the name in `lookwhere_cli.cli` is the command
    resolve, calls = module.picture_at, []

    def interrupted(picture, at):
        calls.append(picture)
        if len(calls) == 4:
            interrupt()
        return resolve(picture, at)

    monkeypatch.setattr(module, "picture_at", interrupted)
    return lambda *arguments: lookwhere("explain", photos, *arguments)


def test_explain_names_the_files_that_hold_the_finished_pictures(interrupted_explain, tmp_path):
    out, page = tmp_path / "overlays", tmp_path / "page.html"
    ran = interrupted_explain("--out", out, "--html", page)
    kept = f"{out} and {page} keep them, and the same command with --overwrite starts again"
    assert ran.code == 130 and ran.err == f"Stopped: 3 of 12 pictures are done; {kept}.\n"
    assert len(list(out.iterdir())) == 3
    assert page.read_text().rstrip().endswith("</html>")


def test_explain_without_files_says_how_far_it_came(interrupted_explain):
    ran = interrupted_explain()
    assert ran.code == 130
    assert ran.err == "Stopped: 3 of 12 pictures are done; the same command starts again.\n"
