"""Pictures that disappear or break while a training runs are skipped by name; many stop it, and it resumes."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
import torch

from lookwhere_cli.errors import DataError
from lookwhere_cli.training.loop import Run
from lookwhere_cli.training.resuming import restored_paths
from lookwhere_cli.training.skipped import Skipped
from tests.cli.test_interrupt import pretrain  # noqa: F401 - a fixture
from tests.cli.test_train import FAST, masked, table  # noqa: F401 - fixtures
from tests.data.labelled import coloured, spotted

pytestmark = pytest.mark.slow


@pytest.fixture
def folders(tmp_path):
    """A folder per class, sixteen pictures in each."""
    labelled = coloured(tmp_path / "made", count=48)
    for example in labelled.examples:
        place = tmp_path / "data" / labelled.classes[example.classes[0]]
        place.mkdir(parents=True, exist_ok=True)
        Path(example.path).rename(place / Path(example.path).name)
    return tmp_path / "data"


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:50])


def before_step(monkeypatch, number: int, do) -> None:
    """Let something happen before a step of training, once."""
    step, waiting = Run._step, [do]

    def stepped(run, place, batch):
        if place == number and waiting:
            waiting.pop()()
        return step(run, place, batch)

    monkeypatch.setattr(Run, "_step", stepped)


def train_files(out: Path, root: Path) -> list[Path]:
    lines = (out / "split.csv").read_text().splitlines()[1:]
    return [root / line.split(",")[0] for line in lines if line.split(",")[1] == "train"]


def val_file(out: Path, root: Path) -> Path:
    lines = (out / "split.csv").read_text().splitlines()[1:]
    return next(root / line.split(",")[0] for line in lines if line.split(",")[1] == "val")


@pytest.mark.parametrize("damage", [remove, cut])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_picture_is_skipped_with_its_name(lookwhere, folders, tmp_path, monkeypatch, damage, workers):
    if workers and damage is cut:
        pytest.skip("once with a worker is enough")
    out, damaged = tmp_path / "out", []

    def spoil():
        damaged.append(train_files(out, folders)[3])
        damage(damaged[0])

    before_step(monkeypatch, 0, spoil)
    ran = lookwhere("train", folders, "--out", out, *FAST[:-1], workers)
    assert ran.code == 0, ran.err
    assert [line for line in ran.err.splitlines() if line.startswith("Skipped: ")]
    assert ran.err.count("Skipped: ") == 1 and damaged[0].name in ran.err
    assert (out / "README.md").exists()


def test_the_same_command_resumes_without_it_and_ends_as_without_the_stop(lookwhere, folders, tmp_path, monkeypatch):
    arguments = ("train", folders, *FAST)
    out, other = tmp_path / "out", tmp_path / "other"
    gone: list[Path] = []

    def spoil(place):
        gone[:] = [train_files(place, folders)[3]]
        gone[0].rename(tmp_path / "kept.png")

    before_step(monkeypatch, 0, lambda: spoil(other))
    assert lookwhere(*arguments, "--out", other).code == 0
    (tmp_path / "kept.png").rename(gone[0])

    before_step(monkeypatch, 0, lambda: spoil(out))
    with monkeypatch.context() as patch:
        before_step(patch, 4, lambda: signal.raise_signal(signal.SIGTERM))
        assert lookwhere(*arguments, "--out", out).code == 143
    assert not gone[0].exists()
    ran = lookwhere(*arguments, "--out", out)
    assert ran.code == 0, ran.err
    assert "Resumed after 5 of" in ran.err and "goes on without 1 of its 48 pictures" in ran.err
    weights = [torch.load(place / "checkpoint.pt", weights_only=True)["model"] for place in (out, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert (out / "split.csv").read_text() == (other / "split.csv").read_text()


def test_more_than_a_tenth_stops_the_run_which_resumes_once_they_are_back(lookwhere, folders, tmp_path, monkeypatch):
    out = tmp_path / "out"

    def unmount():
        folders.rename(tmp_path / "elsewhere")

    before_step(monkeypatch, 3, unmount)
    ran = lookwhere("train", folders, "--out", out, *FAST)
    assert ran.code == 1 and "be read any more" in ran.err and "same command continues" in ran.err
    (tmp_path / "elsewhere").rename(folders)
    ran = lookwhere("train", folders, "--out", out, *FAST)
    assert ran.code == 0 and "Resumed after" in ran.err


def test_a_validation_picture_is_named_too(lookwhere, folders, tmp_path, monkeypatch):
    out = tmp_path / "out"
    before_step(monkeypatch, 0, lambda: val_file(out, folders).unlink())
    ran = lookwhere("train", folders, "--out", out, "--val-share", 0.4, *FAST)
    assert ran.code == 0 and ran.err.count("Skipped: ") == 1


def test_with_fail_fast_it_ends_the_run_which_resumes_without_it(lookwhere, folders, tmp_path, monkeypatch):
    out, gone = tmp_path / "out", []

    def spoil():
        gone.append(train_files(out, folders)[3])
        gone[0].unlink()

    before_step(monkeypatch, 0, spoil)
    arguments = ("train", folders, "--out", out, *FAST, "--fail-fast")
    ran = lookwhere(*arguments)
    assert ran.code == 1 and ran.err.count("Error: ") == 1 and gone[0].name in ran.err and "Skipped" not in ran.err
    saved = int(re.search(r"(\d+) of \d+ steps are saved; repair or remove the file", ran.err)[1])
    ran = lookwhere(*arguments)
    assert ran.code == 0 and f"Resumed after {saved} of" in ran.err, ran.err


def test_a_mask_is_skipped_with_its_picture(lookwhere, masked, tmp_path, monkeypatch):  # noqa: F811
    out = tmp_path / "out"

    def spoil():
        picture = train_files(out, masked)[0]
        (masked / "masks" / picture.name).unlink()

    before_step(monkeypatch, 0, spoil)
    ran = lookwhere("train", masked, "--out", out, "--decoder", 4, *FAST, "--epochs", 6, "--batch-size", 5)
    assert "The mask" in ran.err and ran.err.count("Skipped: ") == 1, ran.err


def test_regions_know_pictures_that_are_gone(lookwhere, tmp_path, monkeypatch):
    labelled = spotted(tmp_path / "data", count=48)
    rows = [
        (labelled.name(one), ";".join(labelled.classes[index] for index in one.classes)) for one in labelled.examples
    ]
    (tmp_path / "data/labels.csv").write_text("\n".join(["file,label", *map(",".join, rows)]) + "\n")
    out, boxes = tmp_path / "out", tmp_path / "data/boxes.csv"
    arguments = ("train", tmp_path / "data", "--multi-label", "--look", boxes, "--out", out, *FAST)

    def spoil():
        train_files(out, tmp_path / "data")[2].unlink()
        signal.raise_signal(signal.SIGTERM)

    before_step(monkeypatch, 1, spoil)
    assert lookwhere(*arguments).code == 143
    ran = lookwhere(*arguments)
    assert ran.code == 0 and "Resumed after 2 of" in ran.err, ran.err


def test_pretraining_draws_another_photograph_and_resumes(pretrain, tmp_path, monkeypatch):  # noqa: F811
    photographs = tmp_path / "photographs"
    for number in range(6, 24):
        (photographs / f"{number}.png").write_bytes((photographs / "0.png").read_bytes())

    def spoil():
        (photographs / "3.png").unlink()
        signal.raise_signal(signal.SIGTERM)

    before_step(monkeypatch, 1, spoil)
    assert pretrain().code == 143
    ran = pretrain()
    assert ran.code == 0 and "Resumed after 2 of 4 steps" in ran.err


def test_lists_of_photographs_are_restored_folder_by_folder():
    many = [f"{number}.jpg" for number in range(20)]
    assert restored_paths([many[1:], ["a"]], [many, ["a"]]) == [many, ["a"]]
    assert restored_paths([many[5:]], [many]) == [many[5:]]
    assert restored_paths([[*many[1:], "new.jpg"]], [many]) == [[*many[1:], "new.jpg"]]
    assert restored_paths([many], None) == [many] and restored_paths([many], [many, many]) == [many]


def test_a_tenth_is_tolerated():
    skipped = Skipped(20)
    assert skipped.new([("a", "A."), ("b", "B.")]) == ("A.", "B.") and skipped.new([("a", "A.")]) == ()
    skipped.check()
    skipped.new([("c", "C.")])
    with pytest.raises(DataError, match="3 of 20 training pictures can't be read any more") as raised:
        skipped.check()
    assert raised.value.details == ("A.", "B.", "C.")
