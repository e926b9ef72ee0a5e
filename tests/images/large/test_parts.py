"""Windows as pictures of their own, and places on maps."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large import parts
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.large.parts import NamedWindow, decode_part, parse_window, size_of_part
from lookwhere_cli.images.view import View, open_view
from tests.images.large.files import smooth, write_raster

SHARED = Path(os.environ.get("LOOKWHERE_SHARED", "/nowhere")) / "data" / "large"
SMALL, FULL = Reading(patch=16, size=32), Reading(patch=16, size=512)


@pytest.fixture
def photo(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a b.png")
    return str(tmp_path / "a b.png"), pixels


def test_a_name_holds_all_that_a_window_is(photo):
    window = NamedWindow(photo[0], 10, 20, 64, 48)
    assert window.name.endswith("a b.png#xywh=10,20,64,48")
    assert parse_window(window.name) == window
    assert size_of_part(window.name) == (48, 64)
    assert size_of_part(photo[0]) == (90, 120)


def test_a_file_may_be_called_like_a_window(tmp_path, photo):
    file = tmp_path / "a#xywh=1,2,3,4"
    file.write_bytes(b"")
    assert parse_window(str(file)) is None
    assert parse_window(str(tmp_path / "b#xywh=1,2,3,4")) is not None
    assert parse_window("b#xywh=1,2,3") is None


def test_a_window_has_the_pixels_of_its_file(photo):
    path, pixels = photo
    name = NamedWindow(path, 10, 20, 64, 48).name
    decoded = decode_part(name, FULL)
    assert decoded.size == (48, 64)
    assert np.array_equal(decoded.pixels, pixels[20:68, 10:74])
    view = open_view(name, FULL)
    assert view.path == name
    assert view.size == (48, 64)


def test_a_window_is_not_read_finer_than_needed(photo):
    decoded = decode_part(NamedWindow(photo[0], 0, 0, 120, 90).name, SMALL)
    assert decoded.size == (90, 120)
    assert decoded.pixels.shape[0] < 60
    view = open_view(NamedWindow(photo[0], 0, 0, 120, 90).name, SMALL)
    assert view.thumbnail(16, 16).shape == (16, 16, 3)


def test_a_file_that_changed_is_opened_again(photo):
    path, pixels = photo
    name = NamedWindow(path, 0, 0, 8, 8).name
    assert np.array_equal(decode_part(name, FULL).pixels, pixels[:8, :8])
    Image.fromarray(255 - pixels).save(path)
    assert np.array_equal(decode_part(name, FULL).pixels, 255 - pixels[:8, :8])


@pytest.mark.parametrize("box", [(0, 0, 121, 8), (100, 80, 20, 11), (0, 0, 0, 5)])
def test_a_window_outside_is_refused(photo, box):
    with pytest.raises(PictureError, match=r"is no part of .* 120 x 90 pixels"):
        decode_part(NamedWindow(photo[0], *box).name, FULL)


def test_a_window_of_a_missing_file_is_refused(tmp_path):
    with pytest.raises(PictureError, match="is not there"):
        decode_part(NamedWindow(str(tmp_path / "gone.png"), 0, 0, 8, 8).name, FULL)


@pytest.mark.parametrize(("bands", "values"), [((4, 3, 2), None), ((), (-1.5, 3000.0)), ((1,), (0.0, 1.0))])
def test_a_name_says_how_a_raster_is_read(bands, values):
    window = NamedWindow("a.tif", 1, 2, 3, 4, bands, values)
    assert parse_window(window.name) == window


def test_a_name_survives_pickling():
    assert pickle.loads(pickle.dumps(NamedWindow("a.svs", 1, 2, 3, 4))).name == "a.svs#xywh=1,2,3,4"


@pytest.mark.skipif(not SHARED.is_dir(), reason="LOOKWHERE_SHARED is not set")
@pytest.mark.parametrize("file", ["utm_rgb.tif", "cog_2667x2658.tif", "cmu_small_region.svs"])
def test_locating_undoes_placing(file):
    source = open_large(str(SHARED / file), FULL)
    height, width = source.size
    points = np.array([(0.0, 0.0), (width, 0), (width / 3, height / 2), (width, height)])
    assert np.abs(source.locate(source.place(points)) - points).max() < 0.01
    window = decode_part(NamedWindow(source.path, 64, 32, 128, 96).name, FULL)
    assert np.array_equal(window.pixels, source.read((64.0, 32.0, 192.0, 128.0), 96, 128))
    source.close()


def test_a_raster_is_read_in_training_as_it_is_later(tmp_path):
    path = write_raster(tmp_path / "a.tif", 8 * smooth(200, 300).astype(np.uint16))
    decoded, view = decode_part(path, SMALL), open_view(path, SMALL)
    assert decoded.size == view.size and any("stretched" in note for note in decoded.notes)
    seen = View(decoded, SMALL).thumbnail(32, 48).astype(int)
    assert np.abs(seen - view.thumbnail(32, 48)).max() <= 8  # resampled twice; stretched otherwise, up to 71 apart


def test_a_turned_raster_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((40, 60, 3), 9, np.uint8), overviews=())
    with tifffile.TiffFile(path, mode="r+") as file:
        offset = file.pages[0].tags["PlanarConfiguration"].offset
    content = bytearray(Path(path).read_bytes())
    content[offset : offset + 2] = (274).to_bytes(2, "little")  # the tag becomes that of the orientation
    content[offset + 8 : offset + 10] = (6).to_bytes(2, "little")
    Path(path).write_bytes(content)
    with pytest.raises(PictureError, match=r"EXIF turn \(6\)"):
        open_view(path, SMALL)


def test_only_one_decoded_picture_is_kept(tmp_path, photo):
    for number in range(3):
        Image.fromarray(photo[1]).save(tmp_path / f"{number}.png")
        decode_part(NamedWindow(str(tmp_path / f"{number}.png"), 0, 0, 8, 8).name, FULL)
    assert parts._decoded.cache_info().currsize == 1


def test_a_name_with_words_for_numbers_is_that_of_a_file():
    assert parse_window("a.svs#xywh=0,0,4,4&range=a,b") is None
    assert parse_window("a.svs#xywh=0,0,4,4&range=-1.5,2e3").stretch_range == (-1.5, 2000)
