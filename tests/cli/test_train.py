"""`lookwhere train` from the command line: every layout leads to a usable model, and wrong use to a sentence."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.labelled import coloured, fields, spotted

FAST = ("--epochs", 2, "--batch-size", 6, "-k", "4-12", "--device", "cpu", "--dtype", "float32", "--workers", 0)
MADE = {
    *("README.md", "SHA256SUMS", "checkpoint.pt", "config.json", "curves.png", "epochs.csv", "model.safetensors"),
    *("split.csv", "training.json"),
}


@pytest.fixture
def folders(tmp_path):
    """A folder per class, eight pictures in each."""
    labelled = coloured(tmp_path / "made")
    for example in labelled.examples:
        place = tmp_path / "data" / labelled.classes[example.classes[0]]
        place.mkdir(parents=True, exist_ok=True)
        shutil.move(example.path, place)
    return tmp_path / "data"


@pytest.fixture
def table(tmp_path):
    """A CSV with several labels, beside boxes.csv."""
    labelled = spotted(tmp_path / "data", count=24)
    rows = [
        (labelled.name(one), ";".join(labelled.classes[index] for index in one.classes)) for one in labelled.examples
    ]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(["file,kinds", *map(",".join, rows)]) + "\n")
    return tmp_path / "data" / "labels.csv"


@pytest.fixture
def masked(tmp_path):
    """Pictures in images, index masks in masks, a class list."""
    labelled = fields(tmp_path / "made", count=12)
    for example in labelled.examples:
        name = Path(example.path).name
        for folder, file in (("images", example.path), ("masks", example.mask)):
            (tmp_path / "data" / folder).mkdir(parents=True, exist_ok=True)
            shutil.move(file, tmp_path / "data" / folder / name)
    (tmp_path / "data" / "classes.txt").write_text("left\nright\n")
    return tmp_path / "data"


def start_command(*arguments, model):
    """Start the command in another process."""
    code = "from lookwhere_cli.cli.app import main; main()"
    environment = os.environ | {"COLUMNS": "100", "LOOKWHERE_MODEL": str(model), "TERM": "dumb"}
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )


def test_a_folder_per_class_becomes_a_model_that_classifies(lookwhere, folders, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("train", folders, "--out", out, *FAST)
    errors = ran.err
    assert ran.code == 0 and ran.out == "", errors
    assert len(re.findall(r"^epoch [12] +loss \d\.\d{3} +top-1 [\d.]+% .* images/s$", errors, re.MULTILINE)) == 2
    assert errors.splitlines()[0] == "3 classes, 19 training, 5 validation pictures."
    saved = rf"Saved {out} \(best epoch [12]: top-1 [\d.]+% on 5 validation pictures\) in \d+ s; next: "
    assert re.search(saved + f"lookwhere classify photo.jpg --model {out}$", errors)
    assert {file.name for file in out.iterdir()} == MADE
    config = json.loads((out / "config.json").read_text())
    assert (config["labels"], config["multi_label"], config["k"]) == (["blue", "green", "red"], False, {"cells": 12})
    record = json.loads((out / "training.json").read_text())
    assert record["pictures"] == {"train": 19, "val": 5} and record["recipe"]["epochs"] == 2
    assert record["command"].startswith("lookwhere train ") and record["best"]["epoch"] in (1, 2)
    with (out / "epochs.csv").open(newline="") as stream:
        epochs = list(csv.DictReader(stream))
    assert [epoch["epoch"] for epoch in epochs] == ["1", "2"]
    assert float(epochs[record["best"]["epoch"] - 1]["top1"]) == record["best"]["score"]
    assert Image.open(out / "curves.png").size > (400, 200)
    card = (out / "README.md").read_text()
    assert all(
        words in card
        for words in (
            "# out\n",
            "19 pictures",
            "5 validation pictures was the highest of all epochs: top-1 ",
            "blue, green, red",
            record["command"],
        )
    )

    ran = lookwhere("classify", folders, "--model", out, "--format", "json")
    assert ran.code == 0, ran.err
    assert {label["label"] for row in json.loads(ran.out) for label in row["labels"]} == {"red", "green", "blue"}
    ran = lookwhere("evaluate", folders, "-m", out, "-k", "12", "--no-time", "--json", tmp_path / "r.json")
    results = json.loads((tmp_path / "r.json").read_text())
    assert (results["split"], results["pictures"]) == ("val", 5)
    assert results["rows"][0]["scores"]["top1"]["value"] == pytest.approx(record["best"]["top1"])
    assert lookwhere("models", "verify", out).code == 0


def test_a_csv_of_several_labels_and_boxes(lookwhere, table, tmp_path):
    out, arguments = tmp_path / "out", ("train", table, "--label-column", "kinds", "--multi-label", "--quiet", *FAST)
    ran = lookwhere(*arguments, "--look", table.parent / "boxes.csv", "--out", out)
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert json.loads((out / "training.json").read_text())["recipe"]["steering"] == "look"
    config = json.loads((out / "config.json").read_text())
    assert (config["multi_label"], config["labels"]) == (True, ["blue", "green", "red"])
    with (out / "epochs.csv").open(newline="") as stream:
        assert next(csv.DictReader(stream)).keys() >= {"loss", "task", "look", "map", "f1"}
    ran = lookwhere("evaluate", table, "--label-column", "kinds", "--multi-label", "-m", out, "-k", "12", "--no-time")
    assert ran.code == 0, ran.err


def test_masks_become_a_model_that_segments(lookwhere, masked, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("train", masked, "--out", out, "--decoder", 4, "--train-selector", "--default-k", "25%", *FAST)
    assert ran.code == 0, ran.err
    assert "mIoU" in ran.err
    config = json.loads((out / "config.json").read_text())
    assert (config["task"], config["labels"], config["decoder_channels"], config["k"]) == (
        *("segment", ["left", "right"], 4, {"share": 0.25}),
    )
    ran = lookwhere("segment", masked / "images", "--model", out, "--out", tmp_path / "answers")
    assert ran.code == 0, ran.err
    answer = np.asarray(Image.open(tmp_path / "answers" / "3.png"))
    assert answer.shape == (28, 32) and set(np.unique(answer)) <= {0, 1}
    assert lookwhere("evaluate", masked, "-m", out, "-k", "25%", "--no-time").code == 0


@pytest.mark.slow
def test_an_interrupted_run_resumes_with_the_same_command(lookwhere, model_folder, folders, tmp_path):
    options = ("--epochs", 40, "--patience", 2, "--lr", 0, "--workers", 1)
    arguments = (folders, "--out", tmp_path / "out", *FAST, *options)
    process = start_command(*arguments, model=model_folder)
    first = next(line for line in process.stderr if line.startswith("epoch 1 "))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the processes that read hear it, too
    _, errors = process.communicate()
    assert process.returncode == 130, first + errors
    done, total = map(int, re.search(r"Stopped; (\d+) of (\d+) steps are saved, and the same command", errors).groups())
    assert 3 <= done < 9 and total == 120
    assert not (tmp_path / "out" / "README.md").exists()
    ran = lookwhere("train", *arguments)
    assert ran.code == 0, ran.err
    assert f"Resumed after {done} of 120 steps." in ran.err
    assert "epoch 3 " in ran.err and "epoch 4 " not in ran.err
    again = lookwhere("train", *arguments)
    assert again.code == 0 and "Resumed after 9 of 120 steps." in again.err and "epoch 4 " not in again.err


def test_a_run_with_other_settings_is_refused_and_changes_nothing(lookwhere, folders, tmp_path):
    arguments = ("train", folders, "--out", tmp_path / "out", *FAST, "--epochs", 1)
    assert lookwhere(*arguments).code == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    ran = lookwhere(*arguments, "--seed", 5)
    assert ran.code == 2 and "other settings (data, seed)" in ran.err
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == before
    again = lookwhere(*arguments)
    assert (
        again.code == 0 and "Resumed after 3 of 3 steps." in again.err and "epoch" not in again.err.split("Resumed")[0]
    )


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_epochs(lookwhere, folders, tmp_path):
    arguments = ("train", folders, "--out", tmp_path / "out", *FAST)
    assert lookwhere(*arguments, "--epochs", 1).code == 0
    ran = lookwhere(*arguments, "--epochs", 2)
    assert ran.code == 0 and "Resumed after 3 of 6 steps." in ran.err, ran.err
    assert "epoch 2 " in ran.err and "epoch 1  " not in ran.err
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (record["recipe"]["epochs"], record["recipe"]["extended"]) == (2, [1])
    again = lookwhere(*arguments, "--epochs", 2)
    assert again.code == 0 and "Resumed after 6 of 6 steps." in again.err
    other = lookwhere(*arguments, "--epochs", 3, "--seed", 5)
    assert other.code == 2 and "other settings (data, seed)" in other.err
    fewer = lookwhere(*arguments, "--epochs", 1)
    assert fewer.code == 2 and "other settings (epochs)" in fewer.err


def test_the_full_vit_has_no_selector(lookwhere, folders, tmp_path):
    ran = lookwhere("train", folders, "--out", tmp_path / "out", "--method", "full", *FAST, "--epochs", 1)
    assert ran.code == 0, ran.err
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["selector_depth"], config["prefix"], config["k"]) == (0, "own", {"share": 1.0})
    assert lookwhere("classify", folders / "red", "--model", tmp_path / "out").code == 0


def test_a_pruning_model_prunes_by_other_amounts_later(lookwhere, folders, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("train", folders, "--out", out, "--method", "cropr", *FAST, "--epochs", 1)
    assert ran.code == 0, ran.err
    config = json.loads((out / "config.json").read_text())
    assert (config["selector_depth"], config["k"], config["prune"], config["prune_fusion"]) == (
        0,
        {"share": 1.0},
        {"share": 0.5},
        False,
    )
    assert "Its blocks drop cells on the way, from 37 tokens to" in (out / "README.md").read_text()
    assert {"auxiliary", "task"} <= set((out / "epochs.csv").read_text().splitlines()[0].split(","))
    spent = [
        json.loads(lookwhere("classify", folders / "red" / "0.png", "-m", out, "--format", "jsonl", *more).out)["macs"]
        for more in ((), ("--prune", "50%"), ("--prune", "80%"), ("--prune", "0"))
    ]
    assert spent[0] == spent[1] < spent[2] < spent[3]


def test_a_teacher_replaces_the_labels_and_is_recorded(lookwhere, folders, tmp_path):
    wise, out = tmp_path / "wise", tmp_path / "out"
    assert lookwhere("train", folders, "--out", wise, "--method", "full", *FAST, "--epochs", 1).code == 0
    ran = lookwhere("train", folders, "--out", out, "--method", "cropr", "--teacher", wise, *FAST, "--epochs", 1)
    assert ran.code == 0, ran.err
    assert json.loads((out / "training.json").read_text())["teacher"] == wise.name
    assert f"not the labels, but the answers of `{wise.name}`" in (out / "README.md").read_text()
    chooses = lookwhere("train", folders, "--out", tmp_path / "no", "--teacher", "lookwhere-tiny-in1k", *FAST)
    assert chooses.code == 2 and "choose a teacher that was trained with --method full" in " ".join(chooses.err.split())
    assert not (tmp_path / "no").exists()


@pytest.mark.slow
def test_a_pruning_model_learns_masks_and_segments(lookwhere, masked, tmp_path):
    arguments = ("train", masked, "--out", tmp_path / "out", *FAST, "--epochs", 1, "--decoder", 8)
    ran = lookwhere(*arguments, "--prune", 3, "--train-selector")
    assert ran.code == 0, ran.err
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["selector_depth"], config["prune"], config["prune_fusion"]) == (2, {"rate": 3}, True)
    ran = lookwhere("segment", masked / "images", "-m", tmp_path / "out", "--out", tmp_path / "masks", "--prune", "80%")
    assert ran.code == 0 and len(list((tmp_path / "masks").glob("*.png"))) == 12


def test_mosaics_need_masks_or_boxes(lookwhere, folders, tmp_path):
    ran = lookwhere("train", folders, "--out", tmp_path / "out", "--mosaic", 0.5, *FAST)
    assert ran.code == 2 and "has labels of whole pictures; leave it out, or give masks or boxes." in ran.err
    assert not (tmp_path / "out").exists()


def test_only_parts_of_mosaics_can_be_reduced(lookwhere, masked, tmp_path):
    ran = lookwhere("train", masked, "--out", tmp_path / "out", "--area", 0.5, 2, *FAST)
    assert ran.code == 2 and "--area 0.5 2 goes beyond the whole picture" in ran.err and "--mosaic 0.5" in ran.err
    ran = lookwhere("train", masked, "--out", tmp_path / "out", "--mosaic", 0.5, "--area", 0.5, 5, *FAST)
    assert ran.code == 2 and "--area 0.5 5 goes beyond 4" in ran.err and not (tmp_path / "out").exists()


def test_mosaics_can_not_be_used_with_regions(lookwhere, masked, tmp_path):
    looks = ("--look", masked / "masks")
    ran = lookwhere("train", masked, "--out", tmp_path / "out", "--mosaic", 0.5, *looks, *FAST)
    assert ran.code == 2 and "--mosaic 0.5 can't be used with --look" in ran.err
    assert not (tmp_path / "out").exists()


def test_a_run_with_mosaics_tells_their_share(lookwhere, masked, tmp_path):
    ran = lookwhere("train", masked, "--out", tmp_path / "out", "--mosaic", 0.5, "--area", 0.5, 2, *FAST)
    assert ran.code == 0, ran.err
    recipe = json.loads((tmp_path / "out" / "training.json").read_text())
    assert recipe["recipe"]["augmentation"]["mosaic"] == 0.5 and "--mosaic 0.5" in recipe["command"]


def test_a_cascade_reports_each_exit(lookwhere, folders, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("train", folders, "--out", out, "--method", "dvt", "--exits", "2,4x5,6", *FAST)
    assert ran.code == 0, ran.err
    assert re.search(
        r"^epoch 2 .* top-1 [\d.]+% .*exit 1 [\d.]+%  exit 2 [\d.]+%  exit 3 [\d.]+% ", ran.err, re.MULTILINE
    )
    config = json.loads((out / "config.json").read_text())
    assert config["exits"] == [[2, 2, 4, 0], [4, 5, 4, 0], [6, 6, 4, 0]] and config["selector_depth"] == 0
    assert {file.name for file in out.iterdir()} == MADE
    with (out / "epochs.csv").open(newline="") as stream:
        epochs = list(csv.DictReader(stream))
    assert all(epoch["score"] == epoch["top1"] == epoch["exit 3"] for epoch in epochs)
    assert "A cascade over growing grids" in (out / "README.md").read_text()
    ran = lookwhere("evaluate", folders, "-m", out, "--no-time", "--json", tmp_path / "r.json")
    results = json.loads((tmp_path / "r.json").read_text())
    best = json.loads((out / "training.json").read_text())["best"]
    assert [row["chosen_by"] for row in results["rows"]] == ["exit 3", "exit 1", "exit 2"]
    for row in results["rows"]:
        assert row["scores"]["top1"]["value"] == pytest.approx(best[row["chosen_by"]])


def test_both_looks_are_scored(lookwhere, folders, tmp_path):
    out = tmp_path / "out"
    ran = lookwhere("train", folders, "--out", out, "--second-look", "4-12", *FAST)
    assert ran.code == 0, ran.err
    assert re.search(r"^epoch 2 .* top-1 [\d.]+% .*exit 1 [\d.]+%  exit 2 [\d.]+% ", ran.err, re.MULTILINE)
    config = json.loads((out / "config.json").read_text())
    assert (config["k"], config["looks"], config["second_look"]) == (
        {"cells": 12},
        [{"cells": 12}, {"cells": 24}],
        "add",
    )
    assert "12, then 24" in (out / "README.md").read_text()


def test_a_split_file_is_followed_and_leaves_out_broken_pictures(lookwhere, folders, tmp_path):
    names = [f"{place.name}/{file.name}" for place in sorted(folders.iterdir()) for file in sorted(place.iterdir())]
    lines = [f"{name},{'val' if index % 4 == 0 else 'train'}" for index, name in enumerate(names)]
    (tmp_path / "split.csv").write_text("\n".join(["file,split", *lines]) + "\n")
    (folders / names[1]).write_bytes(b"")
    arguments = ("train", folders, "--out", tmp_path / "out", *FAST, "--epochs", 1)
    ran = lookwhere(*arguments, "--split-file", tmp_path / "split.csv")
    assert ran.code == 0, ran.err
    with (tmp_path / "out" / "split.csv").open(newline="") as stream:
        sides = {row["file"]: row["split"] for row in csv.DictReader(stream)}
    assert sides == {name: "val" if index % 4 == 0 else "train" for index, name in enumerate(names) if index != 1}
    (tmp_path / "split.csv").write_text("\n".join(["file,split", *[line.replace("train", "val") for line in lines]]))
    ran = lookwhere(*arguments, "--split-file", tmp_path / "split.csv")
    assert ran.code == 1 and "No picture is left for training" in ran.err


def test_broken_pictures_are_skipped_unless_they_are_too_many(lookwhere, folders, tmp_path):
    (folders / "red" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ran = lookwhere("train", folders, "--out", tmp_path / "out", *FAST, "--fail-fast")
    assert ran.code == 1 and ran.err.count("\n") == 1 and "broken.png" in ran.err and not (tmp_path / "out").exists()
    ran = lookwhere("train", folders, "--out", tmp_path / "out", *FAST, "--epochs", 1)
    assert ran.code == 0, ran.err
    assert ran.err.count("Skipped: ") == 1 and "broken.png" in ran.err
    assert "broken.png" not in (tmp_path / "out" / "split.csv").read_text()
    for index in range(12):
        (folders / "red" / f"empty{index}.png").write_bytes(b"")
    ran = lookwhere("train", folders, "--out", tmp_path / "more", *FAST)
    assert ran.code == 1 and "13 of 37 pictures can't be used" in ran.err
    first, *listed, last = ran.err.splitlines()[-12:]
    assert first.endswith("repair or remove them:") and last == "  ... and 3 more" and len(listed) == 10
    assert all(line.startswith("  ") and ".png" in line for line in listed) and "empty0.png" in ran.err
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("command", ["train", "calibrate", "evaluate", "compare"])
def test_pictures_beside_the_class_folders_are_refused_by_every_command(
    lookwhere, cascade_folder, folders, tmp_path, command
):
    shutil.copy(folders / "red" / "0.png", folders / "stray.png")
    required = {
        "train": ("--out", tmp_path / "out"),
        "calibrate": ("--out", tmp_path / "out", "--model", cascade_folder, "--budget", "60%"),
        "evaluate": (),
        "compare": ("--out", tmp_path / "out"),
    }
    ran = lookwhere(command, folders, *required[command])
    assert ran.code == 1 and "without a label: 1 of 25" in ran.err and "stray.png" in ran.err


def change_mask(file, change):
    pixels = np.array(Image.open(file))
    Image.fromarray(change(pixels)).save(file)


def test_a_mask_with_values_beyond_the_classes_is_refused(lookwhere, masked, tmp_path):
    change_mask(masked / "masks" / "3.png", lambda mask: mask + 6)
    ran = lookwhere("train", masked, "--out", tmp_path / "out", *FAST)
    assert ran.code == 1 and "Traceback" not in ran.err
    assert "masks/3.png' holds the value 7, but there are 2 classes, 0 to 1" in ran.err


def test_a_mask_of_another_size_is_skipped(lookwhere, masked, tmp_path):
    change_mask(masked / "masks" / "3.png", lambda mask: mask[:-1])
    ran = lookwhere("train", masked, "--out", tmp_path / "out", *FAST, "--epochs", 1)
    assert ran.code == 0, ran.err
    assert "masks/3.png' is 32 x 27 pixels, but" in ran.err and "displayed at 32 x 28" in ran.err


def test_masks_without_a_class_list_are_refused(lookwhere, masked, tmp_path):
    (masked / "classes.txt").unlink()
    ran = lookwhere("train", masked, "--out", tmp_path / "out", *FAST)
    assert ran.code == 2 and "Masks need a class list" in ran.err


def test_a_single_class_is_refused(lookwhere, folders, tmp_path):
    for name in ("red", "green"):
        shutil.rmtree(folders / name)
    ran = lookwhere("train", folders, "--out", tmp_path / "out", *FAST)
    assert ran.code == 1 and "All 8 pictures have the same label, 'blue'; training needs at least two" in ran.err


def test_a_label_that_the_class_list_lacks_is_refused(lookwhere, folders, tmp_path):
    (tmp_path / "names.txt").write_text("red\ngreen\n")
    ran = lookwhere("train", folders, "--out", tmp_path / "out", "--classes", tmp_path / "names.txt", *FAST)
    assert ran.code == 1 and "has the class 'blue', which is not in the class list" in ran.err


def test_an_empty_split_is_refused(lookwhere, table, tmp_path):
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]},split", *[f"{line},val" for line in lines[1:]]]) + "\n")
    ran = lookwhere("train", table, "--label-column", "kinds", "--multi-label", "--out", tmp_path / "out", *FAST)
    assert ran.code == 1 and "No picture is left for training among the 24" in ran.err


def test_a_finished_model_is_not_overwritten(lookwhere, model_folder, folders, tmp_path):
    shutil.copytree(model_folder, tmp_path / "out")
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    ran = lookwhere("train", folders, "--out", tmp_path / "out", *FAST)
    assert ran.code == 2 and "holds a finished model" in ran.err
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--patches", "50%-10%"], 2, "--patches 50%-10% is not a range"),
        (["--patches", "10%-20"], 2, "--patches 10%-20 is not a range"),
        (["-k", "some"], 2, "-k some is not an amount"),
        (["--default-k", "400"], 2, "k = 400 is more than the 36 cells of the model's grid of 6 x 6"),
        (["--size", "30"], 2, "use 28 or 32"),
        (["--selector-depth", 9], 2, "at most the extractor's 3 blocks"),
        (["--area", 0.5, 0.2], 2, "--area 0.5 0.2"),
        (["--val-share", 1], 2, "share for validation is 1"),
        (["--hold-out", "red"], 2, "have no groups"),
        (["--multi-label"], 2, "need a CSV"),
        (["--look", "nowhere.csv"], 2, "'nowhere.csv' does not exist"),
        (["--split-file", "nowhere.csv"], 2, "nowhere.csv"),
        (["--model", "nowhere"], 3, "no model 'nowhere'"),
        (["--teacher", "nowhere"], 3, "no model 'nowhere'"),
        (["--method", "half"], 2, "half"),
        (["--method", "dvt", "--prune", "50%"], 2, "--method dvt computes all cells in all blocks"),
        (["--method", "full", "--prune", "8"], 2, "leave --prune out, or use --method cropr"),
        (["--method", "cropr", "--prune", "some"], 2, "--prune some is not an amount to drop"),
        (["--method", "cropr", "--prune", "5%"], 2, "with 37 tokens, the least possible is"),
        (["--prune", "8"], 2, "a rate of 8 drops 17 of 13 tokens in 2 steps"),
        (["--prune", "50%", "--train-selector"], 2, "which does not reach cells that --prune dropped"),
        (["--prune", "2", "--pool", "max", "--coarse", "8"], 2, "coarse_size is 8 and prune is 2"),
        (["--exits", "2,6"], 2, "use it with --method dvt"),
        (["--second-look", "some"], 2, "--second-look some is not an amount"),
        (["--second-look", "12-4"], 2, "--second-look 12-4 is not a range"),
        (["-k", "10%-50%", "--second-look", "60%"], 2, "60% and the 50% of -k together are more than all cells"),
        (["--second-look", "25%"], 2, "must both be counts, or both shares"),
        (["--second-look", "30"], 2, "k = 42 is more than the 36 cells"),
        (["--second-look", "8", "--pool", "max"], 2, "to add, pool 'cls'"),
        (["--second-look", "8", "--prune", "1"], 2, "'add' and prune is 1"),
        (["--second-look", "8", "--method", "full"], 2, "--second-look and --method full exclude each other"),
        (["--second-look", "8", "--train-selector"], 2, "--train-selector without --look exclude each other"),
        (["--method", "dvt", "--exits", "2,x"], 2, "--exits 2,x is not a list of grids"),
        (["--method", "dvt", "--exits", "0,6"], 2, "--exits 0,6 is not a list of grids"),
        (["--method", "dvt", "--exits", "6,2"], 2, "ends with 2 x 2 cells, but the model reads 6 x 6"),
        (["--method", "dvt", "--exits", "6,6"], 2, "a grid of 6 x 6 cells can't be followed by one of 6 x 6"),
        (["--method", "dvt", "--pool", "max"], 2, "it needs one label per picture"),
        (["--device", "abacus"], 2, "abacus"),
    ],
)
def test_wrong_use_ends_in_a_sentence(lookwhere, folders, tmp_path, arguments, code, sentence):
    ran = lookwhere("train", folders, "--out", tmp_path / "out", *FAST, *arguments)
    assert ran.code == code and "Traceback" not in ran.err
    assert sentence in " ".join(ran.err.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


def test_missing_data_and_an_impossible_output_folder(lookwhere, folders, tmp_path):
    ran = lookwhere("train", tmp_path / "none", "--out", tmp_path / "out", *FAST)
    assert ran.code == 2 and "none' does not exist" in ran.err
    (tmp_path / "file").touch()
    ran = lookwhere("train", folders, "--out", tmp_path / "file" / "out", *FAST)
    assert ran.code == 2 and "can't be created" in ran.err
