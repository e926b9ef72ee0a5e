"""`lookwhere train` and `evaluate` on rasters with GeoJSON: boxes, masks and classes of windows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from lookwhere_cli.checkpoints.configs import read_config
from tests.data.large.maps import box, feature, point, polygon, write

pytestmark = pytest.mark.slow

FAST = ("--epochs", 2, "--batch-size", 6, "-k", "4-12", "--device", "cpu", "--dtype", "float32", "--workers", 0)


def scene(folder, count=4):
    """Pictures of 96 x 96, dark, with a bright square in two of their nine windows of 32 px; its corners by picture."""
    folder.mkdir()
    rng, places = np.random.default_rng(0), {}
    for number in range(count):
        pixels = rng.integers(0, 60, (96, 96, 3), dtype=np.uint8)
        corners = [(4 + 32 * int(rng.integers(3)), 6 + 64 * half) for half in range(2)]
        for left, top in corners:
            pixels[top : top + 12, left : left + 16] = (220, 60, 40)
        name = str(folder / f"{number}")
        Image.fromarray(pixels).save(f"{name}.png")
        places[name] = corners
    return places


def draw(places, shape):
    """Write labels beside the pictures, one for each square."""
    for name, corners in places.items():
        write(Path(f"{name}.geojson"), *(shape(left, top) for left, top in corners))


def square(left, top):
    return feature(box(left, top, left + 16, top + 12), "ship")


def middle(left, top):
    return feature(point(left + 8, top + 6), "ship")


def outline(left, top):
    return feature(polygon([(left, top), (left + 16, top), (left + 16, top + 12), (left + 3, top + 12)]), "ship")


def split_of(folder):
    with (folder / "split.csv").open(newline="") as file:
        return {row["file"]: row["split"] for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("shape", "count"), [(square, 15), (outline, 8), (middle, 8)], ids=["boxes", "masks", "classes"]
)
def test_windows_are_trained_on_and_measured(lookwhere, model_folder, tmp_path, shape, count):
    places = scene(tmp_path / "data")
    draw(places, shape)
    out = tmp_path / "model"
    command = ("train", tmp_path / "data", "--out", out, "--model", model_folder, "--window", 32, *FAST)
    ran = lookwhere(*command)
    assert ran.code == 0, ran.err
    assert ran.err.count(f"Cut 4 pictures into windows of 32 px: {count} windows with labels, {count} without") == 1
    assert read_config(out).size == 32
    split = split_of(out)
    assert len({(name.partition("#")[0], side) for name, side in split.items()}) == 4
    measure = ("evaluate", tmp_path / "data", "--model", out, "--window", 32, "--no-time", "--json", out / "e.json")
    measured = lookwhere(*measure)
    assert measured.code == 0, measured.err
    results = json.loads((out / "e.json").read_text())
    assert results["split"] == "val"
    assert results["pictures"] == sum(side == "val" for side in split.values())


def test_an_extended_run_on_windows_is_the_same_however_it_got_there(lookwhere, model_folder, tmp_path):
    draw(scene(tmp_path / "data"), outline)
    command = ("train", tmp_path / "data", "--model", model_folder, "--window", 32, *FAST)
    for name in ("one", "other"):
        assert lookwhere(*command, "--out", tmp_path / name).code == 0
        ran = lookwhere(*command, "--out", tmp_path / name, "--epochs", 3)
        assert ran.code == 0
        assert "Resumed after" in ran.err
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_labels_are_another_run(lookwhere, model_folder, tmp_path):
    places = scene(tmp_path / "data")
    draw(places, outline)
    command = ("train", tmp_path / "data", "--model", model_folder, "--window", 32, *FAST, "--out", tmp_path / "out")
    assert lookwhere(*command).code == 0
    draw(places, lambda left, top: outline(left, top - 2))
    ran = lookwhere(*command, "--epochs", 3)
    assert ran.code != 0
    assert "data" in ran.err


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (("--window", "0"), 2, "--window is '0'; give a number of pixels"),
        (("--window", "wide"), 2, "--window is 'wide'"),
        (("--negatives", "few"), 2, "--negatives is 'few'; give a number from 0 on"),
        (("--negatives", "-1"), 2, "--negatives is '-1'"),
        (("--mpp", "1", "--gsd", "1"), 2, "--mpp and --gsd exclude each other"),
        (("--mpp", "0"), 2, "--mpp is 0; it must be above 0"),
        (("--mpp", "0.5"), 1, "does not tell the size of its pixels, which --mpp needs"),
        (("--task", "segment", "--multi-label"), 2, "--multi-label is for --task classify"),
        (("--window", "8"), 1, "No window of 8 px"),
    ],
)
def test_wrong_options_end_in_a_sentence(lookwhere, model_folder, tmp_path, options, code, sentence):
    draw(scene(tmp_path / "data", 2), square)
    ran = lookwhere("train", tmp_path / "data", "--out", tmp_path / "out", "--model", model_folder, *options)
    assert ran.code == code
    assert sentence in ran.err
    assert not (tmp_path / "out").exists()


def test_windows_are_for_slides_and_rasters(lookwhere, model_folder, tmp_path):
    (tmp_path / "data" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "data" / "cat" / "1.png")
    ran = lookwhere("train", tmp_path / "data", "--out", tmp_path / "o", "--model", model_folder, "--task", "detect")
    assert ran.code == 2
    assert "--task is for slides and rasters with a GeoJSON" in ran.err


def test_a_label_without_class_is_named(lookwhere, model_folder, tmp_path):
    draw(scene(tmp_path / "data", 2), lambda left, top: feature(point(left, top), None))
    ran = lookwhere("train", tmp_path / "data", "--out", tmp_path / "out", "--model", model_folder)
    assert ran.code == 1
    assert "Feature 1 of" in ran.err
    assert "has no class" in ran.err
