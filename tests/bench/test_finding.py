"""Mosaics of photographs with boxes, and what counts as found in them."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.bench import finding, large_pictures
from lookwhere_cli.bench.finding import Finder, Mosaic, WindowFound, make_finding, placed_photographs
from lookwhere_cli.bench.large_pictures import make_mosaic, make_pyramid
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.detections import Detections
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.scores import TrueBoxes

READING = Reading(patch=4, size=24)


def true(*boxes, classes=None):
    count = len(boxes)
    labels = np.array(classes or [0] * count, np.int64)
    return TrueBoxes(np.array(boxes, np.float32).reshape(-1, 4), labels, np.zeros(count, np.bool_))


@pytest.fixture
def signs(tmp_path):
    """Grey photographs of 64 x 48 with a red box each, one smaller, the first for training."""
    examples = []
    for number, (left, top) in enumerate([(4, 4), (30, 20), (50, 30)]):
        pixels = np.full((48, 64, 3), 90, np.uint8)
        pixels[top : top + 8, left : left + 12] = (220, 30, 30)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        objects = true((left, top, left + 12, top + 8))
        split = "val" if number else "train"
        examples.append(Example(str(tmp_path / f"{number}.png"), (0,), split=split, objects=objects))
    Image.new("RGB", (32, 32)).save(tmp_path / "small.png")
    examples.append(Example(str(tmp_path / "small.png"), (0,), split="val", objects=true((1, 1, 9, 9))))
    return LabelledSet("boxes", ("sign",), tuple(examples), tmp_path)


def test_photographs_for_validation_are_repeated_mirrored_then_shifted(signs):
    placed, shape = placed_photographs(signs, 12)
    assert shape == (48, 64)
    assert {Path(one.example.path).name for one in placed} == {"1.png", "2.png"}
    assert [one.is_mirrored for one in placed[:6]] == [False, False, True, True, False, False]
    assert [one.shift for one in placed[:4]] == [0, 0, 0, 0]
    assert all(one.shift for one in placed[4:8])


def test_boxes_lie_where_the_signs_are(signs, tmp_path):
    mosaic = make_finding(signs, 28, 7, tmp_path / "mosaic.tif")
    source = open_large(str(mosaic.file), READING)
    assert source.size == (4 * 48, 7 * 64)
    pixels = source.read((0, 0, 448, 192), 192, 448).astype(int)
    is_red = pixels[..., 0] - pixels[..., 1] > 60
    expected = np.zeros_like(is_red)
    for place, objects in enumerate(mosaic.truths):
        left, top, _, _ = mosaic.box(place)
        for box in objects.boxes.round().astype(int) + [left, top] * 2:
            assert left <= box[0] < box[2] <= left + 64
            expected[box[1] : box[3], box[0] : box[2]] = True
    assert (is_red != expected).mean() < 0.02
    assert expected.sum() == 28 * 96


def detections(*boxes, scores=None, classes=None):
    count = len(boxes)
    given = np.array(scores or [0.9] * count, np.float32), np.array(classes or [0] * count, np.int64)
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), *given, ("a", "b"))


@pytest.fixture(scope="module")
def finder():
    class Head:
        conf = 0.25

    class Predictor:
        pipeline = None

    mosaic = Mosaic(Path("m.tif"), (100, 200), 2, [true((10, 10, 30, 30)), true((0, 0, 20, 20), classes=[1]), true()])
    made = Finder(Predictor(), mosaic, np.array([0, 1]))
    return made, Head()


@pytest.fixture
def boxes_only(finder, monkeypatch):
    monkeypatch.setattr(finding, "head_of", lambda pipeline: finder[1])
    return finder[0]


def test_a_box_belongs_to_the_photograph_of_its_middle(boxes_only):
    found = detections((190, 10, 230, 30), (10, 110, 30, 130), scores=[0.8, 0.7])
    first, second, third = boxes_only.mosaic.divided(found)
    assert first.tolist() == []
    assert second[:, :4].tolist() == [[-10, 10, 30, 30]]
    assert third[:, :5].round(3).tolist() == [[10, 10, 30, 30, pytest.approx(0.7)]]


def test_what_counts_as_found(boxes_only):
    assert boxes_only.found(detections((11, 11, 31, 31))).tolist() == [True, False]
    assert boxes_only.found(detections((11, 11, 31, 31), classes=[1])).tolist() == [False, False]
    assert boxes_only.found(detections((11, 11, 31, 31), scores=[0.2])).tolist() == [False, False]
    assert boxes_only.found(detections((25, 25, 45, 45))).tolist() == [False, False]
    both = detections((200, 0, 220, 20), (10, 10, 30, 30), classes=[1, 0])
    assert boxes_only.found(both).tolist() == [True, True]


def test_the_best_choice_takes_what_adds_most(boxes_only):
    one, other = detections((10, 10, 30, 30)), detections((200, 0, 220, 20), classes=[1])
    windows = [WindowFound(0, detections()), WindowFound(1, one), WindowFound(2, one), WindowFound(3, other)]
    assert boxes_only.best_choice(windows, 1) == 0.5
    assert boxes_only.best_choice(windows, 2) == 1.0
    assert boxes_only.best_choice([WindowFound(0, detections())], 1) == 0.0


def test_a_pyramid_is_sparse_and_has_all_its_halves(tmp_path, monkeypatch):
    monkeypatch.setattr(large_pictures, "ISLANDS", 2)
    file = make_pyramid(tmp_path / "pyramid.tif", 40_000)
    assert file.stat().st_size < 2e6
    source = open_large(str(file), READING)
    assert source.size == (40_000, 40_000)
    assert [level.size[0] for level in source.levels] == [math.ceil(40_000 / 2**step) for step in range(8)]
    whole = source.read((0, 0, 40_000, 40_000), 100, 100)
    assert 0 < (whole.max(axis=2) > 20).mean() < 0.1
    row, column = np.argwhere(whole.max(axis=2) > 60)[0]
    box = (column * 400.0, row * 400.0, column * 400.0 + 400, row * 400.0 + 400)
    assert source.read(box, 400, 400).max() > 60


def test_tiles_of_a_mosaic_divide_its_photographs(tmp_path):
    photographs = [np.full((160, 272, 3), value, np.uint8) for value in (10, 200)]
    file = make_mosaic(tmp_path / "mosaic.tif", photographs, (160, 272), 2, 1)
    source = open_large(str(file), READING)
    assert source.levels[0].tile == (160, 272)
    assert np.abs(source.read((0, 0, 544, 160), 160, 544)[..., 0].astype(int) - 10)[:, :272].max() <= 1


@pytest.mark.slow
def test_a_model_that_finds_no_boxes_is_refused(model_folder):
    with pytest.raises(Exception, match="needs one that finds boxes"):
        finding.head_of(load(str(model_folder)).pipeline)
