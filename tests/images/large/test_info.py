import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.info import file_facts, lines
from tests.images.large.files import smooth, write_raster, write_slide

READING = Reading(16, 128)
LARGE = Path(os.environ.get("LOOKWHERE_SHARED", "")) / "data" / "large"
needs_large = pytest.mark.skipif(not LARGE.is_dir(), reason="needs the shared slides and rasters")


def told(facts):
    json.dumps(facts, allow_nan=False)
    return {name: value for name, value in lines(facts) if name}


def test_a_raster(tmp_path):
    values = smooth(300, 400, 4).astype(np.float32)
    path = write_raster(tmp_path / "a.tif", values, nodata=float("nan"), colours=None)
    facts = file_facts(path, READING)
    assert facts["read_as"] == "raster"
    assert (facts["width"], facts["height"], facts["bands"], facts["dtype"]) == (400, 300, 4, "float32")
    assert facts["crs"] == "EPSG:32633"
    assert facts["bounds"] == [400_000, 4_997_000, 404_000, 5_000_000]
    west, south, east, north = facts["longitude_latitude"]
    assert 13 < west < east < 14
    assert 45 < south < north < 46
    assert facts["nodata"] == "nan"
    assert [level["width"] for level in facts["levels"]] == [400, 200, 100]
    assert facts["level"] == 1
    shown = told(facts)
    assert shown["read as"] == "raster, 7 x 9 cells of 16 px"
    assert shown["bands"] == "4 of float32, of which 1, 2, 3 are read"
    assert shown["pixel"] == "10 x 10 m"
    assert any("stretched" in note for note in facts["notes"])


def test_a_slide(tmp_path):
    facts = file_facts(write_slide(tmp_path / "a.svs", smooth(512, 768)), READING)
    assert facts["read_as"] == "slide"
    assert facts["microns_per_pixel"] == [0.5, 0.5]
    assert told(facts)["objective"] == "20x"
    assert told(facts)["levels"].startswith("768 x 512 (1:1), tiles of 64 x 64")


def test_an_ordinary_picture(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "a.jpg", exif=exif)
    facts = file_facts(str(tmp_path / "a.jpg"), READING)
    assert (facts["read_as"], facts["format"], facts["width"], facts["height"]) == ("picture", "JPEG", 40, 60)
    assert facts["orientation"] == 6
    assert told(facts)["turned"] == "as EXIF orientation 6 says"
    frames = [Image.new("L", (10, 10), value) for value in (0, 255)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    facts = file_facts(str(tmp_path / "a.tif"), READING)
    assert (facts["frames"], facts["notes"]) == (2, ["first of 2 frames"])


@needs_large
def test_a_film():
    facts = file_facts(str(LARGE / "cars.mp4"), READING)
    assert facts["read_as"] == "film"
    assert facts["frames_per_second"] > 0
    assert told(facts)["read as"] == "film, frame by frame"


def test_a_film_without_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(200))
    with pytest.raises(PictureError, match="is a film that can't be opened"):
        file_facts(str(tmp_path / "a.mp4"), READING)
    monkeypatch.setattr("lookwhere_cli.images.large.info.find_spec", lambda name: None)
    with pytest.raises(PictureError, match=r"is a film, which needs .*pip install 'lookwhere\[video\]'"):
        file_facts(str(tmp_path / "a.mp4"), READING)


@needs_large
@pytest.mark.parametrize("name", ["cmu_small_region.svs", "two_levels.svs", "utm_rgb.tif", "cog_2667x2658.tif"])
def test_real_files(name):
    told(file_facts(str(LARGE / name), READING))


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_command_fits_any_terminal(lookwhere, tmp_path, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    path = write_raster(tmp_path / "a.tif", smooth(300, 400))
    (tmp_path / "b.jpg").write_bytes(b"text")
    ran = lookwhere("info", path, tmp_path / "b.jpg")
    assert ran.code == 1
    assert max(map(len, ran.out.splitlines()[1:])) <= columns
    assert "EPSG:32633" in ran.out
    assert ran.err.count("\n") == 1
    assert "not a picture of a known format" in ran.err


def test_the_command_prints_json(lookwhere, tmp_path):
    path = write_raster(tmp_path / "a.tif", smooth(300, 400))
    ran = lookwhere("info", path, "--json", "--size", "64")
    assert ran.code == 0
    (facts,) = json.loads(ran.out)
    assert facts["path"] == path
    assert facts["crs"] == "EPSG:32633"
