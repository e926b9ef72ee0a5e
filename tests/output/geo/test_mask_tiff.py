import errno
import json
import resource
import signal

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from lookwhere_cli.errors import OutputError, UsageError
from lookwhere_cli.output.files import ends_run
from lookwhere_cli.output.geo import gdal_reports
from lookwhere_cli.output.geo.mask_tiff import NODATA, MaskCanvas, open_mask, tile_side

LABELS = ["grass", "a road"]
COLOURS = np.array([(1, 2, 3), (200, 100, 0)], np.uint8)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_mask_has_the_classes_where_they_were_written(tmp_path):
    file = tmp_path / "a.tif"
    canvas = MaskCanvas((100, 150), "EPSG:32618", from_origin(5e5, 4e6, 2, 2))
    with open_mask(file, canvas, LABELS, COLOURS, 32) as mask:
        mask.write(32, 64, np.ones((32, 32), np.uint8))
        mask.write(128, 96, np.zeros((32, 32), np.uint8))  # its end lies beyond the picture
        assert not file.exists()
    with rasterio.open(file) as read:
        pixels = read.read(1)
        assert read.crs.to_epsg() == 32618 and read.transform == from_origin(5e5, 4e6, 2, 2)
        assert read.nodata == NODATA and read.colormap(1)[1] == (200, 100, 0, 255)
        assert json.loads(read.tags()["CLASSES"]) == LABELS
        assert read.profile["tiled"] and read.profile["compress"] == "deflate" and read.block_shapes == [(32, 32)]
    expected = np.full((100, 150), NODATA)
    expected[64:96, 32:64], expected[96:, 128:] = 1, 0
    assert np.array_equal(pixels, expected)
    assert names(tmp_path) == ["a.tif"]


def test_windows_that_are_no_tiles_and_overviews(tmp_path):
    file, side = tmp_path / "a.tif", 250
    rng = np.random.default_rng(0)
    expected = rng.integers(0, 2, (1500, 1250), dtype=np.uint8)
    with open_mask(file, MaskCanvas(expected.shape), LABELS, COLOURS, side) as mask:
        for top in range(0, 1500, side):
            for left in range(0, 1250, side):
                mask.write(left, top, expected[top : top + side, left : left + side])
    with rasterio.open(file) as read:
        assert np.array_equal(read.read(1), expected) and read.overviews(1) == [2, 4]
    assert [tile_side(one) for one in (224, 528, 1000, 2048, 8)] == [224, 528, 256, 256, 256]


def test_a_slide_s_mask_tells_the_size_of_its_pixels(tmp_path):
    with open_mask(tmp_path / "a.tif", MaskCanvas((50, 50), pixel=(0.5, 0.5)), LABELS, COLOURS, 32):
        pass
    with rasterio.open(tmp_path / "a.tif") as read:
        assert read.tags()["TIFFTAG_XRESOLUTION"] == "20000" and "cm" in read.tags()["TIFFTAG_RESOLUTIONUNIT"]
        assert (read.read(1) == NODATA).all()


@pytest.fixture
def limited():
    """Limit the size of files, as a full disk does."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def written_size(folder, pixels):
    with open_mask(folder / "whole.tif", MaskCanvas(pixels.shape), LABELS, COLOURS, 256) as mask:
        mask.write(0, 0, pixels)
    size = (folder / "whole.tif").stat().st_size
    (folder / "whole.tif").unlink()
    return size


@pytest.mark.parametrize("missing", [1, 1000, 40_000, 0.9])
def test_a_disk_that_fills_leaves_nothing_behind(tmp_path, limited, missing):
    """Also if the last bytes do not fit, which GDAL finds out as it closes the file, and rasterio does not tell."""
    pixels = np.random.default_rng(0).integers(0, 200, (900, 900), dtype=np.uint8)
    size = written_size(tmp_path, pixels)
    limited(int(size * (1 - missing)) if missing < 1 else size - missing)
    with (
        pytest.raises(OutputError, match=r"a\.tif' failed: .*make room") as failure,
        open_mask(tmp_path / "a.tif", MaskCanvas(pixels.shape), LABELS, COLOURS, 256) as mask,
    ):
        mask.write(0, 0, pixels)
    assert isinstance(failure.value.__cause__, OSError) and failure.value.__cause__.errno == errno.EFBIG
    assert not ends_run(failure.value) and names(tmp_path) == []


def test_ctrl_c_and_errors_leave_nothing_behind(tmp_path):
    for error in (KeyboardInterrupt, ValueError):
        with (
            pytest.raises(error),
            open_mask(tmp_path / "a.tif", MaskCanvas((64, 64)), LABELS, COLOURS, 32) as mask,
        ):
            mask.write(0, 0, np.ones((32, 32), np.uint8))
            raise error
    assert names(tmp_path) == []


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path):
    with (
        pytest.raises(UsageError, match="can't be written"),
        open_mask(tmp_path / "b" / "a.tif", MaskCanvas((64, 64)), LABELS, COLOURS, 32),
    ):
        pass


def test_the_disk_is_asked_where_gdal_does_not_say_why(tmp_path, limited, monkeypatch):
    """As where another library has replaced libtiff's handler of errors."""
    monkeypatch.setattr(gdal_reports, "_text_of", lambda file: "")
    pixels = np.random.default_rng(0).integers(0, 200, (900, 900), dtype=np.uint8)
    limited(written_size(tmp_path, pixels) - 40_000)
    with (
        pytest.raises(OutputError, match=r"a\.tif' failed: .*make room") as failure,
        open_mask(tmp_path / "a.tif", MaskCanvas(pixels.shape), LABELS, COLOURS, 256) as mask,
    ):
        mask.write(0, 0, pixels)
    assert isinstance(failure.value.__cause__, OSError) and failure.value.__cause__.errno == errno.EFBIG
    assert names(tmp_path) == []
