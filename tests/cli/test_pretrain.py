import re
import shutil
from dataclasses import replace

import pytest

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.cli import output
from lookwhere_cli.cli.pretrain import _spacing
from tests.models.small import LABELLED, small
from tests.training.tiny import photographs, teacher_file

RECIPE = ("--size", 32, "--thumbnail-size", 16, "--selector-depth", 1, "--patches", "4-12", "--batch-size", 2)
WHERE = ("--device", "cpu", "--dtype", "float32", "--workers", 0, "--steps", 2)


@pytest.fixture
def run(lookwhere, tmp_path):
    """Run two steps on a tiny teacher, into the folder `out`, with further arguments."""
    teacher, folder = teacher_file(tmp_path), photographs(tmp_path / "photographs")

    def run(*more):
        return lookwhere("pretrain", folder, "--teacher", teacher, "--out", tmp_path / "out", *RECIPE, *WHERE, *more)

    return run


def test_a_run_leaves_a_model_that_classifies(run, lookwhere, tmp_path):
    (tmp_path / "photographs" / "broken.jpg").write_text("no")
    ran = run("--fail-fast")
    assert ran.code == 1 and "broken.jpg" in ran.err and not list((tmp_path / "out").glob("*.pt"))
    ran = run()
    assert ran.code == 0 and ran.out == "" and ran.err.count("Skipped: ") == 1
    made = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"config.json", "model.safetensors", "README.md", "training.json", "curves.png"} <= made
    assert lookwhere("classify", tmp_path / "photographs" / "0.png", "--model", tmp_path / "out").code == 0


def test_the_log_of_a_long_run_says_how_far_it_is(run, monkeypatch):
    monkeypatch.setattr(output, "LINE_EVERY", 0.0)
    ran = run()
    (line,) = [line for line in ran.err.splitlines() if line.startswith("1 of 2 steps: ")]
    assert re.fullmatch(r"1 of 2 steps: loss [\d.]+ .* images/s, \d+ s left\.", line) and "2 of 2 steps" not in ran.err


def test_a_finished_model_is_not_overwritten(run, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    ran = run()
    assert ran.code == 2 and "holds a finished model" in ran.err
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["-k", "0-5"], 2, "-k 0-5"),
        (["--size", 33], 2, "use 32 or 40"),
        (["--area", 2, 3], 2, "--area 2 3"),
        (["--map-layers", 99], 2, "last 99 blocks"),
        (["--map-spacing", "inf"], 2, "--map-spacing inf is too large"),
        (["--map-queries", "registers"], 2, "no registers"),
        (["--teacher", "nowhere.safetensors"], 3, "'nowhere.safetensors' does not exist"),
        (["--init", "nowhere"], 3, "no model 'nowhere'"),
        (["/nowhere"], 2, "'/nowhere' is not there"),
    ],
)
def test_wrong_use_ends_in_a_sentence(run, arguments, code, sentence):
    ran = run(*arguments)
    assert ran.code == code and sentence in ran.err and "Traceback" not in ran.err


@pytest.mark.slow
def test_another_recipe_is_refused(run):
    assert run().code == 0
    ran = run("--seed", 1)
    assert ran.code == 2 and "other settings (seed)" in ran.err


def test_the_spacing_is_that_of_the_initial_model_unless_another_is_asked_for(tmp_path):
    save_model(tmp_path / "model", small(replace(LABELLED, map_spacing=0.7)))
    given = str(tmp_path / "model")
    assert [_spacing(asked, init) for asked, init in ((None, None), (None, given), (0.0, given))] == [0, 0.7, 0]


def test_a_run_goes_on_with_a_finer_map_than_its_views_need(run, tmp_path):
    run("--size", 64)
    shutil.move(tmp_path / "out", tmp_path / "fine")
    ran = run("--init", tmp_path / "fine")
    assert ran.code == 0 and load_model(str(tmp_path / "out"), "cpu").config.map_scale == 4
    shutil.move(tmp_path / "out", tmp_path / "again")
    ran = run("--init", tmp_path / "again", "--size", 96, "--selector-depth", 2)
    assert ran.code == 3 and ran.err.count("\n") == 1
    assert "does not fit this run: it has selector_depth 1 instead of 2 (--selector-depth), map_scale 4" in ran.err
