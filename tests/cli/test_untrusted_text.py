"""Labels, licences, results and names from elsewhere reach the terminal, tables and pages as text."""

import json
import re
import shutil
import sys
from dataclasses import replace

import pytest

from lookwhere_cli.checkpoints.folder import save_model
from tests.models.small import LABELLED, SEGMENTING, small

HOSTILE = "[red]x[b] :smile: $x_2$ <script> \x1b[31m\x1b]0;title\x07\x9b2J\u202e\nforged line\r"
ESCAPED = r"[red]x[b] :smile: $x_2$ <script> \x1b[31m\x1b]0;title\x07\x9b2J\u202e\nforged line\r"
LABELS = tuple(f"{HOSTILE}{number}" for number in range(3))
STYLES = re.compile(r"\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[\d*[AK]|\x1b\[2K|\r(?!\n)")
"""What Rich itself writes: colours, the cursor's visibility, and the redrawing of progress bars."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models whose names, labels, licences and results are hostile, by task."""
    models = {}
    configs = {
        "classify": replace(LABELLED, labels=LABELS, license=HOSTILE),
        "segment": replace(SEGMENTING, labels=LABELS, license=HOSTILE),
        "full": replace(LABELLED, labels=LABELS, selector_depth=0, prefix="own", k=1.0),
    }
    for task, config in configs.items():
        models[task] = tmp_path_factory.mktemp(task) / HOSTILE
        save_model(models[task], small(config), "# hostile\n")
        (models[task] / "results.json").write_text(json.dumps({"accuracy": {HOSTILE: 0.875}}))
    return models


@pytest.fixture(scope="module")
def pictures(photos, tmp_path_factory):
    """A folder of hostile name with a folder for each class, and one picture that can't be read."""
    folder = tmp_path_factory.mktemp("pictures") / HOSTILE
    for index, label in enumerate(LABELS):
        (folder / label).mkdir(parents=True)
        for number in range(3):
            shutil.copy(photos / f"{3 * index + number}.png", folder / label / f"{HOSTILE}{number}.png")
    (folder / f"{HOSTILE}.jpg").write_bytes(b"\xff\xd8\xff no picture")
    return folder


@pytest.fixture(scope="module")
def sorted_pictures(pictures, tmp_path_factory):
    """The same folder, without the picture that lies beside the class folders."""
    folder = tmp_path_factory.mktemp("sorted") / HOSTILE
    shutil.copytree(pictures, folder, ignore=shutil.ignore_patterns("*.jpg"))
    return folder


@pytest.fixture
def terminal(lookwhere, monkeypatch):
    """Run a command as if on a wide terminal; return what it printed, without Rich's own control sequences."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setenv("FORCE_COLOR", "1")

    def run(*arguments):
        for stream in (sys.stdout, sys.stderr):
            monkeypatch.setattr(stream, "isatty", lambda: True)
        ran = lookwhere(*arguments)
        return ran.code, STYLES.sub("", ran.out + ran.err)

    return run


def assert_printable(text):
    lines = text.replace("\t", "").split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.strip().startswith("forged line")] == []


def assert_escaped(shown):
    assert ESCAPED in " ".join(shown.split())
    assert_printable(shown)


@pytest.mark.parametrize("verb", [["classify"], ["explain"], ["classify", "--format", "text"]], ids=" ".join)
def test_cards_rows_and_errors_show_names_as_text(terminal, models, pictures, verb):
    code, shown = terminal(*verb, pictures, "--model", models["classify"])
    assert code == 1
    assert_escaped(shown)
    assert shown.count(f"{ESCAPED}0") >= 3


def test_segment_shows_names_as_text(terminal, models, pictures, tmp_path):
    code, shown = terminal("segment", pictures, "--out", tmp_path / HOSTILE, "--overlay", "--model", models["segment"])
    assert code == 1
    assert_escaped(shown)


def test_features_shows_names_as_text(terminal, models, pictures, tmp_path):
    code, shown = terminal("features", pictures, "--out", tmp_path / "a.safetensors", "--model", models["classify"])
    assert code == 1
    assert_escaped(shown)


def test_evaluate_shows_and_writes_names_as_text(terminal, models, sorted_pictures, tmp_path):
    arguments = ("--model", models["classify"], "--full", models["full"], "--out", tmp_path, "-k", "50%", "--no-time")
    code, shown = terminal("evaluate", sorted_pictures, *arguments)
    assert code == 0, shown
    assert_escaped(shown)
    assert_printable((tmp_path / "results.md").read_text())
    assert (tmp_path / "accuracy.png").is_file() and (tmp_path / "confusion.png").is_file()


def test_compare_shows_and_writes_names_as_text(terminal, models, sorted_pictures, tmp_path):
    models = ("--use", f"full={models['full']}", "--use", f"lookwhere={models['classify']}")
    methods = ("--methods", "full,lookwhere", "--no-time", "--device", "cpu", "--patches", "50%", "--prune", "90%")
    code, shown = terminal("compare", sorted_pictures, "--out", tmp_path / "out", *models, *methods)
    assert code == 0, shown
    assert_printable(shown)
    for name in ("comparison.md", "comparison.html"):
        text = (tmp_path / "out" / name).read_text()
        assert_printable(text)
        assert "[red]x[b]" in text
    assert (tmp_path / "out" / "comparison.html").read_text().count("<script") == 1


def test_the_page_of_explain_has_names_as_text(terminal, models, pictures, tmp_path):
    page = tmp_path / "page.html"
    terminal("explain", pictures, "--model", models["classify"], "--html", page)
    assert page.read_text().count("<script") == 2
    assert_printable(page.read_text())


def test_models_show_and_list_show_metadata_as_text(terminal, models, tmp_path, monkeypatch):
    code, shown = terminal("models", "show", models["classify"])
    assert code == 0
    assert_escaped(shown)
    shelf = tmp_path / "weights"
    shutil.copytree(models["classify"], shelf / HOSTILE)
    monkeypatch.setattr("lookwhere_cli.checkpoints.resolve._BUNDLES", (shelf,))
    code, shown = terminal("models", "list")
    assert code == 0
    assert_escaped(shown)


def test_a_traceback_escapes_all_but_line_breaks(terminal, pictures, monkeypatch):
    def fail(*_, **__):
        raise ValueError(HOSTILE)

    monkeypatch.setattr("lookwhere_cli.cli.pictures.find_pictures", fail)
    code, shown = terminal("classify", pictures, "--debug")
    assert code == 1 and "Traceback" in shown and ESCAPED in shown.splitlines()[-1]
    assert all(line.isprintable() for line in shown.split("\n"))
