"""`lookwhere calibrate` as a user runs it, and what the other commands make of a cascade."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.card import describe
from lookwhere_cli.cli.calibrate import parse_budget
from lookwhere_cli.errors import UsageError
from lookwhere_cli.models.config import Config
from tests.data.labelled import coloured


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder per class, sixteen pictures in each."""
    root = tmp_path_factory.mktemp("labelled")
    made = coloured(root / "made", count=48)
    for example in made.examples:
        place = root / "data" / ("cat", "dog", "bird")[example.classes[0]]
        place.mkdir(parents=True, exist_ok=True)
        Image.open(example.path).save(place / example.path.rpartition("/")[2])
    return root / "data"


def test_from_a_cascade_to_one_within_a_budget(lookwhere, cascade_folder, labelled, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("calibrate", labelled, "--model", cascade_folder, "--budget", "60%", "--out", out)
    assert ran.code == 0
    assert ran.err == f"Saved {out}, calibrated on 48 pictures; next: lookwhere classify photo.jpg --model {out}\n"
    lines = ran.out.splitlines()
    assert lines[0].split() == ["exit", "answers", "from", "pictures", "GMACs", "by", "then"]
    assert [line.split()[0] for line in lines[1:4]] == ["1", "2", "3"] and "all the rest" in lines[3]
    assert ran.out.split("48 pictures (all): ")[1].split()[1:4] == ["GMACs", "on", "average,"]
    config = json.loads((out / "config.json").read_text())
    assert len(config["thresholds"]) == 2 and config["expected_macs"] > 0
    assert "lookwhere calibrate" in (out / "README.md").read_text()

    ran = lookwhere("classify", labelled, "--model", out, "--format", "json")
    rows = json.loads(ran.out)
    assert round(sum(row["macs"] for row in rows) / len(rows)) == config["expected_macs"]
    assert {row["exit"] for row in rows} == {1, 2, 3}
    ran = lookwhere("evaluate", labelled, "--model", out, "--out", tmp_path / "measured")
    assert ran.code == 0, ran.err
    results = json.loads((tmp_path / "measured" / "results.json").read_text())
    by_choice = {row["chosen_by"]: row for row in results["rows"]}
    assert list(by_choice) == ["confidence", "exit 3", "exit 1", "exit 2"] and by_choice["confidence"]["headline"]
    assert by_choice["confidence"]["macs"] == config["expected_macs"] < by_choice["exit 3"]["macs"]
    right = sum(row["labels"][0]["label"] == row["path"].split("/")[-2] for row in rows) / len(rows)
    assert by_choice["confidence"]["scores"]["top1"]["value"] == pytest.approx(right, abs=1e-5)
    table = (tmp_path / "measured" / "results.md").read_text()
    assert table.index("confidence") < table.index("exit 1") < table.index("exit 2") < table.index("exit 3")
    assert "## By class, confidence" in table
    assert Image.open(tmp_path / "measured" / "accuracy.png").size > (400, 200)

    ran = lookwhere("models", "show", out)
    assert "2 x 2, 4 x 4, 6 x 6" in ran.out and f"{config['thresholds'][0]:.4g}" in ran.out
    assert lookwhere("models", "verify", out).code == 0
    again = ("calibrate", labelled, "--model", out, "--budget", "30%", "--out", out)
    ran = lookwhere(*again)
    assert ran.code == 2 and "is not empty" in ran.err
    assert lookwhere(*again, "--overwrite").code == 0
    assert json.loads((out / "config.json").read_text())["expected_macs"] < config["expected_macs"]


def test_from_a_model_with_a_selector_to_one_that_looks_closer_within_a_budget(
    lookwhere, model_folder, labelled, tmp_path
):
    out = tmp_path / "out"
    ran = lookwhere("calibrate", labelled, "--looks", "12.5%,50%", "--budget", "70%", "--out", out)
    assert ran.code == 0 and ran.err.endswith(f"--model {out} -k auto\n")
    config = json.loads((out / "config.json").read_text())
    assert config["looks"] == [{"share": 0.125}, {"share": 0.5}] and len(config["thresholds"]) == 1
    rows = json.loads(lookwhere("classify", labelled, "-k", "auto", "-m", out, "--format", "json").out)
    assert {row["exit"] for row in rows} == {1, 2}
    assert round(sum(row["macs"] for row in rows) / len(rows)) == config["expected_macs"]
    assert "reads 4, then 18 cells where it is unsure, and starts anew" in describe(Config.from_dict(config))
    assert "4, 18 cells, with -k auto" in lookwhere("models", "show", out).out
    ran = lookwhere("calibrate", labelled, "-m", out, "--budget", "50%", "--out", tmp_path / "less")
    less = json.loads((tmp_path / "less" / "config.json").read_text())
    assert less["looks"] == [{"share": 0.125}, {"share": 0.5}] and less["expected_macs"] < config["expected_macs"]

    rows = json.loads(lookwhere("classify", labelled, "-m", out, "-k", "auto", "--format", "json").out)
    ran = lookwhere("evaluate", labelled, "-m", out, "-k", "auto", "--json", tmp_path / "r.json")
    assert ran.code == 0, ran.err
    first, *others = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert [first["chosen_by"], *(row["chosen_by"] for row in others)] == ["confidence", "exit 2", "exit 1"]
    right = [row["labels"][0]["label"] == row["path"].split("/")[-2] for row in rows]
    assert first["scores"]["top1"]["value"] == pytest.approx(np.mean(right), abs=1e-5)
    assert first["macs"] == pytest.approx(np.mean([row["macs"] for row in rows]), abs=1)
    assert first["cells"] == pytest.approx(np.mean([row["k"] for row in rows]), abs=0.01) and first["seconds"] > 0


@pytest.mark.parametrize(
    ("looks", "sentence"),
    [
        ("50%,12.5%", "looks is 50%, 12.5%; it must be at least two counts of cells"),
        ("some", "--looks some is not an amount to read"),
        ("25%,8", "looks is 25%, 8"),
    ],
)
def test_impossible_looks_are_refused(lookwhere, model_folder, labelled, tmp_path, looks, sentence):
    ran = lookwhere("calibrate", labelled, "--looks", looks, "--budget", "70%", "--out", tmp_path / "out")
    assert ran.code == 2 and sentence in " ".join(ran.err.split())


def test_a_broken_picture_is_named_and_the_others_are_used(lookwhere, cascade_folder, tmp_path):
    (tmp_path / "data").mkdir()
    for index in range(30):
        pixels = np.random.default_rng(index).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index}.png")
    (tmp_path / "data" / "x.png").touch()
    ran = lookwhere("calibrate", tmp_path / "data", "-m", cascade_folder, "--budget", "0.5", "--out", tmp_path / "out")
    assert ran.code == 1 and "30 pictures (all)" in ran.out and "x.png" in ran.err
    asked = ("-m", cascade_folder, "--budget", "0.5", "--out", tmp_path / "three", "--fail-fast")
    ran = lookwhere("calibrate", tmp_path / "data", *asked)
    assert ran.code == 1 and ran.err.count("Error: ") == 1 and not (tmp_path / "three").exists()
    (tmp_path / "data" / "0.png").unlink()
    ran = lookwhere("calibrate", tmp_path / "data", "-m", cascade_folder, "--budget", "0.5", "--out", tmp_path / "two")
    assert ran.code == 2 and "3 stages need at least 30 calibration pictures, and there are 29" in ran.err
    assert not (tmp_path / "two").exists()


def test_wrong_use_ends_in_a_sentence(lookwhere, cascade_folder, model_folder, labelled, tmp_path):
    def failed(*arguments, code, words):
        ran = lookwhere("calibrate", labelled, "--out", tmp_path / "out", *arguments)
        assert ran.code == code and words in ran.err and "Traceback" not in ran.err, ran.err
        assert not (tmp_path / "out").exists()

    failed("-m", model_folder, "--budget", "60%", code=3, words="answers in one stage")
    failed("-m", cascade_folder, "--budget", "some", code=2, words="--budget some is not a budget")
    failed("-m", cascade_folder, "--budget", "9G", code=2, words="a budget of 9e+09 can't be met")
    failed("-m", cascade_folder, "--budget", "60%", "--split", "val", code=2, words="no split 'val'")
    (tmp_path / "file").touch()
    for place, words in (("file", "is a file; give a folder"), ("file/out", "can't be created")):
        ran = lookwhere("calibrate", labelled, "-m", cascade_folder, "--budget", "60%", "--out", tmp_path / place)
        assert ran.code == 2 and words in ran.err


def test_commands_that_a_cascade_can_not_do_end_in_a_sentence(lookwhere, cascade_folder, labelled, tmp_path):
    for arguments in (("features", labelled, "--out", tmp_path / "f.safetensors"), ("explain", labelled)):
        ran = lookwhere(*arguments, "--model", cascade_folder)
        assert ran.code == 3 and "only classifies it" in ran.err and not (tmp_path / "f.safetensors").exists()
    ran = lookwhere("segment", labelled, "--model", cascade_folder, "--out", tmp_path / "masks")
    assert ran.code == 3 and "can't segment pictures" in ran.err
    ran = lookwhere("classify", labelled, "--model", cascade_folder, "-k", "25%")
    assert ran.code == 2 and "leave -k and --coarse out" in ran.err


@pytest.mark.parametrize(
    ("text", "budget"),
    [("60%", 0.6), ("0.6", 0.6), (" 12.5% ", 0.125), ("0.9G", 900_000_000), ("450M", 450_000_000), ("12", 12)],
)
def test_budgets(text, budget):
    assert parse_budget(text) == budget and type(parse_budget(text)) is type(budget)


@pytest.mark.parametrize("text", ["", "%", "-5%", "0", "half", "6G%", "nan", "inf", "infG", "1GG"])
def test_texts_that_are_not_budgets(text):
    with pytest.raises(UsageError, match="give a share"):
        parse_budget(text)
