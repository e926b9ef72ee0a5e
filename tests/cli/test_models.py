"""`lookwhere models` with what other people's models bring along: text that is not to be trusted, and damage."""

import json
import shutil
from dataclasses import replace

import pytest

from lookwhere_cli.checkpoints import resolve
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.sums import write_sums
from tests.models.small import LABELLED, small

HOSTILE = "[red]x[/red] :smile: \x1b[2J\x07\r\n\u202e\udcff"
ESCAPED = r"[red]x[/red] :smile: \x1b[2J\x07\r\n\u202e\udcff"


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder whose models are taken for the bundled ones."""
    monkeypatch.setattr(resolve, "_BUNDLES", (tmp_path / "bundle",))
    return tmp_path / "bundle"


@pytest.fixture
def hostile(bundle):
    """A model whose labels, licence and results would clear the terminal."""
    labels = (HOSTILE, "dog", "bird")
    save_model(bundle / "birds", small(replace(LABELLED, labels=labels, license=HOSTILE)))
    (bundle / "birds" / "results.json").write_text(json.dumps({"accuracy": {HOSTILE: 0.875}}))
    return bundle / "birds"


def is_safe(text):
    return all(letter.isprintable() or letter in "\t\n" for letter in text)


def test_list_and_show_print_hostile_text_escaped(hostile, lookwhere):
    listed, shown = lookwhere("models", "list"), lookwhere("models", "show", "birds")
    assert listed.code == shown.code == 0
    assert is_safe(listed.out) and f"{ESCAPED} top-1 87.5 %" in listed.out
    assert is_safe(shown.out) and f"3: {ESCAPED}, dog, bird" in shown.out and f"{ESCAPED} top-1 87.5 %" in shown.out
    (licence,) = [line for line in shown.out.splitlines() if line.startswith("licence")]
    assert licence.split(maxsplit=1)[1].strip() == ESCAPED


def test_names_of_folders_are_escaped(model_folder, lookwhere, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "a\x1b[31m\nb")
    for ran in (
        lookwhere("models", "show", folder),
        lookwhere("models", "remove", folder),
        lookwhere("models", "show", f"{folder}\x07"),
        lookwhere("models", "convert", folder / "config.json", tmp_path / "out\x1b[31m"),
    ):
        assert is_safe(ran.out + ran.err) and ran.out + ran.err


def test_origins_are_escaped(hostile, lookwhere):
    origin = {"repository": HOSTILE, "file": HOSTILE, "commit": HOSTILE, "sha256": HOSTILE}
    (hostile / "origin.json").write_text(json.dumps(origin))
    ran = lookwhere("models", "show", "birds")
    assert ran.code == 0 and is_safe(ran.out) and f"{ESCAPED}, {ESCAPED}, SHA-256 {ESCAPED}" in ran.out


def test_verify_escapes_names_of_files(hostile, lookwhere):
    sums = (hostile / "SHA256SUMS").read_text()
    (hostile / "SHA256SUMS").write_text(f"{sums}{'0' * 64}  [red]\x1b[2J:smile:\n")
    ran = lookwhere("models", "verify", "birds")
    assert ran.code == 3 and is_safe(ran.out) and "[red]\\x1b[2J:smile:\tCHANGED\n" in ran.out
    assert "config.json\tas it was\n" in ran.out and "copy it again from its source" in ran.err


def test_verify_reads_no_file_outside_the_folder(hostile, lookwhere):
    (hostile / "SHA256SUMS").write_text(f"{'0' * 64}  ../../etc/passwd\n")
    ran = lookwhere("models", "verify", "birds")
    assert ran.code == 3 and ran.out == "" and "SHA256SUMS' is damaged: the line" in ran.err


@pytest.mark.parametrize("content", ["{", "[]", '{"accuracy": [0.9]}', '{"accuracy": {"birds": "high"}}'])
def test_damaged_results_are_one_sentence(hostile, lookwhere, model_folder, content):
    shutil.copytree(model_folder, hostile.parent / "zebras")
    (hostile / "results.json").write_text(content)
    listed, shown = lookwhere("models", "list"), lookwhere("models", "show", "birds")
    for ran in (listed, shown):
        assert ran.code == 3 and ran.err.startswith("Error: '") and ran.err.count("\n") == 1
        assert f"{hostile / 'results.json'}'" in ran.err
    (line,) = [line for line in listed.out.splitlines() if line.startswith("birds")]
    assert " 18 of 36 " in line and " damaged " in line
    assert any(line.startswith("zebras") for line in listed.out.splitlines())


def test_a_damaged_config_spoils_its_own_row_only(hostile, lookwhere, model_folder):
    shutil.copytree(model_folder, hostile.parent / "zebras")
    (hostile / "config.json").write_text('{"patch": "four"}')
    ran = lookwhere("models", "list")
    assert ran.code == 3 and "patch is 'four'" in ran.err
    lines = {line.split()[0]: line.split() for line in ran.out.splitlines()}
    assert lines["birds"] == ["birds", "bundled", "damaged"] and "classify" in lines["zebras"]


def test_all_damage_is_listed(hostile, lookwhere, model_folder):
    shutil.copytree(model_folder, hostile.parent / "zebras")
    for name in ("birds", "zebras"):
        (hostile.parent / name / "results.json").write_text("{")
    ran = lookwhere("models", "list")
    assert ran.code == 3 and ran.err.count("is not valid JSON") == 2 and ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "reader"), [("results.json", "push"), ("training.json", "push"), ("origin.json", "show")]
)
@pytest.mark.parametrize("content", ["{", "[]", '{"accuracy": 1, "teachers": 1, "repository": 1}'])
def test_damaged_records_are_one_sentence(hostile, lookwhere, monkeypatch, name, reader, content):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (hostile / name).write_text(content)
    ran = lookwhere("models", reader, hostile, *(["someone/birds"] if reader == "push" else []))
    assert ran.code == 3 and ran.err.startswith(f"Error: '{hostile / name}' ") and ran.err.count("\n") == 1


def test_damaged_sums_are_one_sentence(hostile, lookwhere):
    (hostile / "SHA256SUMS").write_bytes(b"\xff\x00 no sums")
    for arguments in (("verify", "birds"), ("push", hostile, "someone/birds")):
        ran = lookwhere("models", *arguments)
        assert ran.code == 3 and f"{hostile / 'SHA256SUMS'}' can't be read" in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize("name", ["birds", "a/b/c", "../birds", "a/..", "a/b@v1", "a b/c", "/b", "a/", ""])
def test_what_is_no_repository_is_wrong_use(hostile, lookwhere, name):
    ran = lookwhere("models", "push", hostile, name)
    assert ran.code == 2 and f"{name!r} is not a repository's name; give owner/name." in ran.err


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000, "~nobody-has-this-name/x", "a\0b"])
def test_a_name_that_no_file_can_have_is_one_sentence(lookwhere, bundle, name):
    ran = lookwhere("models", "show", name)
    assert ran.code == 3 and "There is no model" in ran.err and ran.err.count("\n") == 1


def test_a_changed_config_is_noticed(hostile, lookwhere):
    config = json.loads((hostile / "config.json").read_text())
    (hostile / "config.json").write_text(json.dumps(config | {"license": "mit"}))
    assert lookwhere("models", "verify", "birds").code == 3
    write_sums(hostile)
    assert lookwhere("models", "verify", "birds").code == 0


def test_list_and_show_print_json_on_request(hostile, lookwhere):
    listed, shown = lookwhere("models", "list", "--json"), lookwhere("models", "show", "birds", "--json")
    assert listed.code == shown.code == 0
    birds = json.loads(shown.out)
    assert json.loads(listed.out)[0] == birds
    assert birds["labels"] == [HOSTILE.replace("\udcff", r"\udcff"), "dog", "bird"]
    assert birds["where"] == "bundled" and birds["k"] == 18 and birds["results"][0]["value"] == 0.875


def test_a_damaged_model_has_an_error_in_json(hostile, lookwhere):
    (hostile / "config.json").write_text('{"patch": "four"}')
    ran = lookwhere("models", "list", "--json")
    assert ran.code == 3 and "patch is 'four'" in json.loads(ran.out)[0]["error"]


def test_each_bundled_model_says_its_licence_and_results(lookwhere):
    models = {model["name"]: model for model in json.loads(lookwhere("models", "list", "--json").out)}
    bundled = [model for model in models.values() if model["where"] == "bundled"]
    assert len(bundled) == 3 and all(model["results"] and model["terms"] for model in bundled)
    streets = models["lookwhere-tiny-streets"]
    assert streets["license"] == "cc-by-nc-4.0" and "research use only" in streets["terms"]
    assert "research use only" in lookwhere("models", "show", "lookwhere-tiny-streets").out


@pytest.mark.parametrize(("name", "cut"), [("lookwhere-tiny-signs", False), ("lookwhere-tiny-streets", True)])
def test_labels_end_in_a_number_only_if_there_are_more(lookwhere, name, cut):
    (line,) = [line for line in lookwhere("models", "show", name).out.splitlines() if line.startswith("labels")]
    assert line.rstrip().endswith(" more") == cut
