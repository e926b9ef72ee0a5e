"""Slides and rasters as pictures of a model: rows, notes, memory."""

import json

import numpy as np
import pytest
from PIL import Image

import lookwhere_cli
from lookwhere_cli.errors import UsageError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import open_view
from lookwhere_cli.options import Options
from tests.images.large.files import smooth, write_raster, write_slide


@pytest.fixture
def raster(tmp_path):
    return write_raster(tmp_path / "a.tif", smooth(300, 500, 4).astype(np.uint16) * 10)


def test_rows_of_slides_and_rasters(lookwhere, raster, tmp_path):
    slide = write_slide(tmp_path / "b.svs", smooth(256, 256))
    ran = lookwhere("classify", raster, slide, "--format", "jsonl")
    assert ran.code == 0, ran.err
    first, second = map(json.loads, ran.out.splitlines())
    assert (first["width"], first["height"]) == (500, 300)
    assert "bands 1, 2, 3 of 4" in first["note"]
    assert "stretched" in first["note"]
    assert (second["width"], second["height"]) == (256, 256)
    assert "note" not in second


def test_bands_and_range_are_options(lookwhere, raster):
    ran = lookwhere("classify", raster, "--format", "jsonl", "--bands", "4,3,2", "--stretch-range", "0", "2550")
    row = json.loads(ran.out)
    assert row["note"] == "stretched from 0..2550"
    for arguments, sentence in (
        (["--bands", "a"], "--bands a names no bands"),
        (["--bands", "1,2"], "give one (5) or three (4,3,2)"),
        (["--bands", "0"], "counted from 1"),
        (["--stretch-range", "5", "5"], "--stretch-range 5 5 is not a range"),
    ):
        ran = lookwhere("classify", raster, *arguments)
        assert ran.code == 2
        assert sentence in ran.err


def test_options_take_the_forms_of_users():
    assert Options(bands="4,3,2").bands == (4, 3, 2)
    assert Options(stretch_range=[0, 5]).stretch_range == (0.0, 5.0)
    with pytest.raises(UsageError, match="bands 1,2 names no bands"):
        Options(bands=(1, 2))
    with pytest.raises(UsageError, match="stretch range 3 1 is not a range"):
        Options(stretch_range=(3, 1))


def test_a_missing_band_is_the_error_of_one_row(lookwhere, raster, photos):
    ran = lookwhere("classify", raster, photos / "0.png", "--format", "jsonl", "--bands", "5")
    assert ran.code == 1
    first, second = map(json.loads, ran.out.splitlines())
    assert "has 4 bands, so there is no band 5" in first["error"]
    assert second["note"] == "no raster, so bands and range of values are as usual"


def test_python_takes_the_same_options(model_folder, raster):
    row = lookwhere_cli.load(str(model_folder), bands="2").classify(raster)
    assert "stretched" in row.note
    assert "bands" not in row.note


def test_explain_draws_on_the_overview(lookwhere, tmp_path, monkeypatch):
    monkeypatch.setattr("lookwhere_cli.show.geometry.OVERVIEW_SIDE", 256)
    path = write_raster(tmp_path / "a.tif", smooth(400, 512))
    ran = lookwhere("explain", path, "--out", tmp_path / "o.png", "--html", tmp_path / "page.html")
    assert ran.code == 0, ran.err
    with Image.open(tmp_path / "o.png") as drawn:
        assert drawn.width < 512
        assert drawn.height >= 200


def test_a_large_source_holds_few_bytes(raster):
    view = open_view(raster, Reading(16, 128))
    view.thumbnail(48, 64)
    assert view.nbytes <= 1 << 20


def test_a_source_of_ones_own_is_read_too(model_folder):
    from tests.large_sources import ArraySource

    row = lookwhere_cli.load(str(model_folder)).classify(ArraySource(smooth(100, 120)))
    assert (row.width, row.height, row.error) == (120, 100, None)
