"""The subject `large`, small."""

import pytest
from PIL import Image

from lookwhere_cli.bench import large, large_pictures
from lookwhere_cli.bench.large_pictures import make_pyramid
from lookwhere_cli.bench.settings import BenchSettings, LargeInputs
from lookwhere_cli.bench.subjects import SUBJECTS, default_subjects

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture
def small(monkeypatch, model_folder, photos):
    for name, value in {
        "RASTER_LIMITS": {24: 60.0},
        "PYRAMID_SIDE": 20_000,
        "PYRAMID_SIZES": (24,),
        "WINDOW": 96,
        "SHAPE": (96, 128),
        "TIMED": (3, 2),
        "LEAST": (1, 1),
        "FEW": (2, 1),
        "MANY": (5, 4),
    }.items():
        monkeypatch.setattr(large, name, value)
    monkeypatch.setattr(large_pictures, "ISLANDS", 3)
    return BenchSettings(str(model_folder), tuple(sorted(photos.iterdir())), "cpu", 1)


def test_tiles_that_are_read_are_needed(small, tmp_path):
    file = make_pyramid(tmp_path / "pyramid.tif", large.PYRAMID_SIDE)
    seconds, peak, read, spare = large.pyramid(small, file)
    assert seconds.unit == "s" and peak.unit == "MiB above rest"
    assert read.value > 0 and spare.value == 0 and spare.met
    assert "1,600 in all" in read.against


def test_windows_are_compared_with_what_cores_allow(small, tmp_path):
    reading, model, windows = large.throughput(small, large._mosaic(small, tmp_path / "timed.tif", large.TIMED))
    assert "8 windows" in reading.what and "8 windows" in model.what
    assert windows.ratio == pytest.approx(windows.value / float(windows.against.split()[-2]), rel=0.05)


def test_peaks_of_few_and_many_windows(small, tmp_path):
    filling, compared = large.memory(small, tmp_path)
    assert filling.limit is None and filling.what.startswith("3 windows")
    assert compared.what.startswith("28 windows") and compared.against.startswith("3 windows")
    assert 0.8 < compared.ratio < 1.3


def test_large_is_measured_only_if_it_is_named():
    assert "large" in SUBJECTS and "large" not in default_subjects()


def test_what_windows_of_a_mosaic_find_is_compared_with_photographs_and_tiles(small, tmp_path, monkeypatch):
    monkeypatch.setattr(large, "TILED", 1)
    Image.new("RGB", (640, 400), (90, 120, 90)).save(tmp_path / "road.png")
    (tmp_path / "boxes.csv").write_text("file,left,top,right,bottom,label\nroad.png,100,100,140,140,danger\n")
    inputs = LargeInputs(boxes=tmp_path / "boxes.csv", mosaic=2)
    made = list(large.finding(small, inputs, tmp_path / "mosaic.tif"))
    whats = [one.what for one in made if one.unit == "% AP50"]
    assert [what.partition(" (")[0] for what in whats] == [
        "2 photographs one by one",
        "windows of the model's size",
        "windows of 528 px",
        "the best 40% of them",
        "1 of the photographs, windows of the model's size",
        "1 of them, all cells of all tiles of 528 px",
    ]
    assert all(0 <= one.value <= 100 for one in made if one.unit == "% AP50")
    assert all(one.value > 0 for one in made if one.unit == "photographs/s")
