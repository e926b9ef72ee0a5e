"""`lookwhere evaluate` as a user runs it: what it prints, what it writes, how it ends."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.cli import output
from tests.models.small import LABELLED, PRUNING, SEGMENTING, small

CLASSES = ("cat", "dog", "bird")


@pytest.fixture
def folders(photos, tmp_path):
    """A folder per class, four pictures in each."""
    for index in range(12):
        place = tmp_path / "data" / CLASSES[index % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{index}.png").write_bytes((photos / f"{index}.png").read_bytes())
    return tmp_path / "data"


@pytest.fixture
def table(photos, tmp_path):
    """A CSV with indices for one label, names for several, and a split."""
    file = tmp_path / "labels.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "label", "kinds", "split"))
        for index in range(12):
            kinds = ";".join(name for place, name in enumerate(CLASSES) if index >> place & 1)
            writer.writerow((photos / f"{index}.png", index % 3, kinds, "val" if index % 2 else "train"))
    return file


def test_masks_without_a_class_list_have_the_classes_of_the_model(lookwhere, segmenting_folder, photos, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for index in range(4):
        picture = Image.open(photos / f"{index}.png")
        picture.save(tmp_path / "data" / "images" / f"{index}.png")
        mask = np.arange(picture.width * picture.height, dtype=np.uint8).reshape(picture.height, picture.width) % 2
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{index}.png")
    results = tmp_path / "results.json"
    ran = lookwhere("evaluate", tmp_path / "data", "-m", segmenting_folder, "-k", "50%", "--no-time", "--json", results)
    assert ran.code == 0, ran.err
    assert [one["name"] for one in json.loads(results.read_text())["classes"]] == list(SEGMENTING.labels)
    ran = lookwhere("train", tmp_path / "data", "--out", tmp_path / "out")
    assert ran.code == 2 and "Masks need a class list" in ran.err


def test_the_command_prints_a_table_and_writes_all_files(lookwhere, folders, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("evaluate", folders, "-k", "25%,all", "--out", out)
    assert ran.code == 0, ran.err
    assert ran.err == f"Pictures: bird 4, cat 4, dog 4.\nWrote the figures of 12 pictures to {out}.\n"
    lines = ran.out.splitlines()
    assert lines[0].split() == ["patches", "chosen", "by", "cells", "px", "top-1", "95", "%", "ECE", "GMACs", "ms"]
    assert [line.split()[0] for line in lines[1:6]] == ["25%", "random", "centre", "downscaled", "all"]
    assert max(map(len, lines)) <= 80
    assert sorted(entry.name for entry in out.iterdir()) == [
        *("accuracy.png", "confusion.png", "results.json", "results.md"),
    ]
    assert (out / "results.md").read_text().count("| 25% |") == 3  # and the headline in bold
    Image.open(out / "accuracy.png").verify()
    Image.open(out / "confusion.png").verify()


def test_scores_are_those_of_classify(lookwhere, folders, tmp_path):
    ran = lookwhere("evaluate", folders, "-k", "25%", "--json", tmp_path / "r.json", "--no-time")
    assert ran.code == 0, ran.err
    results = json.loads((tmp_path / "r.json").read_text())
    rows = json.loads(lookwhere("classify", folders, "-k", "25%", "--format", "json").out)
    right = [row["labels"][0]["label"] == Path(row["path"]).parent.name for row in rows]
    first = results["rows"][0]
    assert first["scores"]["top1"]["value"] == pytest.approx(np.mean(right), abs=1e-5)
    assert first["macs"] == pytest.approx(np.mean([row["macs"] for row in rows]), abs=1)
    assert first["cells"] == pytest.approx(np.mean([row["k"] for row in rows]), abs=0.01)


def test_a_coarse_thumbnail(lookwhere, folders, tmp_path):
    ran = lookwhere("evaluate", folders, "-k", "25%", "--coarse", "16", "--json", tmp_path / "r.json", "--no-time")
    assert ran.code == 0 and "read at about 16 px" in " ".join(ran.out.split()), ran.err
    first = json.loads((tmp_path / "r.json").read_text())["rows"][0]
    command = ("classify", folders, "-k", "25%", "--coarse", "16", "--format", "json")
    rows = json.loads(lookwhere(*command).out)
    assert first["macs"] == pytest.approx(np.mean([row["macs"] for row in rows]), abs=1)
    right = [row["labels"][0]["label"] == Path(row["path"]).parent.name for row in rows]
    assert first["scores"]["top1"]["value"] == pytest.approx(np.mean(right), abs=1e-5)
    ran = lookwhere("evaluate", folders, "--coarse", "18")
    assert ran.code == 2 and "use 16 or 20" in ran.err


@pytest.mark.slow
def test_the_json_holds_what_the_documentation_says(lookwhere, folders, tmp_path):
    lookwhere("evaluate", folders, "--json", tmp_path / "r.json")
    results = json.loads((tmp_path / "r.json").read_text())
    assert list(results) == [
        *("command", "model", "revision", "data", "split", "kind", "pictures", "failed", "metric", "per_class"),
        *("classes", "time", "rows", "confusion"),
    ]
    assert (results["split"], results["kind"], results["metric"], results["pictures"]) == ("all", "single", "top1", 12)
    assert [row["patches"] for row in results["rows"] if row["chosen_by"] in ("selector", "all")] == [
        *("50%", "10%", "25%", "all"),
    ]
    for row in results["rows"]:
        assert list(row) == [
            *("chosen_by", "patches", "headline", "model", "size", "coarse", "cells", "macs", "macs_full", "seconds"),
            *("scores", "classes"),
        ]
        assert set(row["classes"]) == set(CLASSES)
        top1 = row["scores"]["top1"]
        assert 0 <= top1["low"] <= top1["value"] <= top1["high"] <= 1
    documented = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text()
    for name in (*results, *results["rows"][0], *results["time"], *results["classes"][0]):
        assert f"`{name}`" in documented, name


def test_indices_in_a_csv_and_its_split(lookwhere, table, tmp_path):
    ran = lookwhere("evaluate", table, "-k", "all", "--no-time", "--json", tmp_path / "r.json")
    assert ran.code == 0, ran.err
    results = json.loads((tmp_path / "r.json").read_text())
    assert (results["split"], results["pictures"]) == ("val", 6)
    assert [one["label"] for one in results["classes"]] == list(CLASSES)
    lookwhere("evaluate", table, "-k", "all", "--no-time", "--split", "all", "--json", tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text())["pictures"] == 12


def test_a_model_that_prunes_is_beside_random_pruning(lookwhere, folders, tmp_path):
    save_model(tmp_path / "cropr", small(replace(PRUNING, selector_depth=0, prefix="own", k=1.0)))
    command = ("evaluate", folders, "-m", tmp_path / "cropr", "--no-time", "--json", tmp_path / "r.json")
    ran = lookwhere(*command, "--prune", "80%")
    assert ran.code == 0, ran.err
    rows = {row["chosen_by"]: row for row in json.loads((tmp_path / "r.json").read_text())["rows"]}
    assert list(rows) == ["all", "pruned at random"]
    assert rows["all"]["macs"] == rows["pruned at random"]["macs"] < rows["all"]["macs_full"]
    assert "as many cells, but random ones" in " ".join(ran.out.split())


def test_several_labels(lookwhere, table, tmp_path):
    save_model(tmp_path / "several", small(replace(LABELLED, multi_label=True)), "# several\n")
    ran = lookwhere(
        *("evaluate", table, "--label-column", "kinds", "--multi-label", "-m", tmp_path / "several", "-k", "25%"),
        *("--split", "all", "--out", tmp_path / "out"),
    )
    assert ran.code == 0, ran.err
    assert ran.out.split()[5:9] == ["mAP", "95", "%", "F1"]
    assert not (tmp_path / "out" / "confusion.png").exists()


def test_masks(lookwhere, photos, tmp_path):
    save_model(tmp_path / "segments", small(replace(LABELLED, task="segment", decoder_scale=2)), "# segments\n")
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "masks").mkdir()
    (tmp_path / "data" / "classes.txt").write_text("dog\ncat\n")
    for index in range(4):
        picture = Image.open(photos / f"{index}.png")
        picture.save(tmp_path / "data" / "images" / f"{index}.png")
        mask = np.random.default_rng(index).choice([0, 1, 255], picture.size[::-1]).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{index}.png")
    ran = lookwhere("evaluate", tmp_path / "data", "-m", tmp_path / "segments", "-k", "50%", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert ran.out.split()[5:9] == ["mIoU", "95", "%", "pixels"]
    assert (tmp_path / "out" / "confusion.png").exists()
    assert lookwhere("evaluate", tmp_path / "data", "-m", tmp_path / "segments", "--crop").code == 2
    (tmp_path / "data" / "masks" / "2.png").write_bytes(b"")
    ran = lookwhere("evaluate", tmp_path / "data", "-m", tmp_path / "segments", "-k", "50%", "--fail-fast")
    assert ran.code == 1 and ran.out == "" and ran.err.count("Error: ") == 1 and "2.png" in ran.err


def test_a_broken_picture_is_named_and_the_rest_is_measured(lookwhere, folders, tmp_path):
    (folders / "cat" / "0.png").write_bytes(b"nothing")
    ran = lookwhere("evaluate", folders, "-k", "all", "--no-time", "--json", tmp_path / "r.json")
    assert ran.code == 1
    assert "0.png" in ran.err
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["pictures"] == 11
    assert len(results["failed"]) == 1
    ran = lookwhere("evaluate", folders, "-k", "all", "--no-time", "--json", tmp_path / "s.json", "--fail-fast")
    assert ran.code == 1 and ran.err.count("Error: ") == 1 and not (tmp_path / "s.json").exists()


def test_a_class_that_the_model_lacks(lookwhere, folders):
    (folders / "dog").rename(folders / "dogs")
    ran = lookwhere("evaluate", folders)
    assert ran.code == 1
    assert "no class 'dogs'. Did you mean 'dog'?" in ran.err


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["-k", "25%,none"], 2, "-k none is not an amount"),
        (["-k", "5000"], 2, "more than the 36 cells"),
        (["-k", ""], 2, "not an amount"),
        (["--split", "val"], 2, "no split 'val'"),
        (["--full", "nowhere"], 3, "nowhere"),
        (["--teacher", "nowhere.safetensors"], 3, "nowhere.safetensors"),
        (["--crop", "--stretch"], 2, "exclude each other"),
        (["--json", "no/where.json"], 2, "where.json"),
    ],
)
def test_wrong_use_is_a_sentence(lookwhere, folders, options, code, sentence):
    ran = lookwhere("evaluate", folders, *options)
    assert ran.code == code
    assert sentence in ran.err
    assert "Traceback" not in ran.err


def test_existing_files_are_not_replaced_without_overwrite(lookwhere, folders, tmp_path):
    arguments = ("evaluate", folders, "-k", "all", "--no-time", "--out", tmp_path / "out")
    assert lookwhere(*arguments).code == 0
    ran = lookwhere(*arguments)
    assert ran.code == 2
    assert "--overwrite" in ran.err
    assert lookwhere(*arguments, "--overwrite").code == 0


def test_data_that_do_not_exist(lookwhere, tmp_path):
    ran = lookwhere("evaluate", tmp_path / "none")
    assert ran.code == 2
    assert "none" in ran.err


def test_results_hold_no_absolute_paths(model_folder, folders, tmp_path, lookwhere):
    (folders / "cat" / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    ran = lookwhere(
        "evaluate", folders, "--model", model_folder, "-k", "25%", "--split", "all", "--no-time", "--out", out
    )
    assert ran.code == 1
    results = json.loads((out / "results.json").read_text())
    assert results["data"] == "data" and results["model"] == "tiny" and "'cat/broken.png'" in results["failed"][0]
    for file in ("results.json", "results.md"):
        assert (
            str(tmp_path) not in (out / file).read_text() and str(model_folder.parent) not in (out / file).read_text()
        )


def test_the_log_of_a_long_evaluation_says_how_far_it_is(lookwhere, model_folder, folders, monkeypatch):
    monkeypatch.setattr(output, "LINE_EVERY", 0.0)
    arguments = ("evaluate", folders, "--model", model_folder, "-k", 4, "--no-time")
    told = [line for line in lookwhere(*arguments).err.splitlines() if line.startswith("chosen cells: ")]
    assert len(told) == 11
    assert re.fullmatch(r"chosen cells: 1 of 12 pictures, [\d.]+ pictures/s, \d+ s left\.", told[0])
    assert " pictures/s, " not in lookwhere(*arguments, "--quiet").err
