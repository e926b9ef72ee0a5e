import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.warp import transform as warp

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.large.base import is_large
from lookwhere_cli.images.large.info import file_facts
from lookwhere_cli.images.large.open import open_large
from lookwhere_cli.images.large.rasters import RasterSource
from lookwhere_cli.images.peek import peek
from lookwhere_cli.images.view import open_view
from tests.images.large.files import UTM, smooth, write_raster

READING = Reading(16, 128)


@pytest.fixture(scope="module")
def pixels():
    return smooth(500, 700)


@pytest.fixture(scope="module")
def raster(tmp_path_factory, pixels):
    return write_raster(tmp_path_factory.mktemp("rasters") / "a.tif", pixels)


def opened(path, **changes):
    source = open_large(path, Reading(16, 128, **changes))
    assert is_large(source)
    return source


def difference(pixels, other):
    return np.abs(pixels.astype(int) - other.astype(int)).mean()


@pytest.mark.parametrize("box", [(0, 0, 700, 500), (100, 50, 420, 370), (12.5, 7.25, 90.75, 300), (690, 490, 700, 500)])
@pytest.mark.parametrize("size", [(40, 60), (7, 5), (200, 300)])
def test_any_box_is_what_the_whole_picture_has_there(raster, pixels, box, size):
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BICUBIC, box))
    read = opened(raster).read(box, *size)
    assert read.dtype == np.uint8
    assert difference(read, expected) < 2


@pytest.mark.parametrize("tile", [64, None])
@pytest.mark.parametrize("overviews", [(2, 4, 8), ()])
@pytest.mark.parametrize("size", [128, 512])
def test_cells_are_those_of_the_decoded_picture(tmp_path, pixels, tile, overviews, size):
    path = write_raster(tmp_path / "a.tif", pixels, tile, overviews)
    reading = Reading(16, size)
    view, decoded = open_view(path, reading), open_view(Image.fromarray(pixels), reading)
    assert view.grid == decoded.grid
    cells = np.arange(view.grid[0] * view.grid[1])
    assert difference(view.patches(cells), decoded.patches(cells)) < 2
    assert difference(view.thumbnail(48, 64), decoded.thumbnail(48, 64)) < 2


@pytest.mark.parametrize("size", [128, 512])
def test_a_cells_pixels_do_not_depend_on_the_others(raster, size):
    view = open_view(raster, Reading(16, size))
    cells = np.random.default_rng(0).permutation(view.grid[0] * view.grid[1])
    patches = view.patches(cells)
    for place in (0, 1, len(cells) - 1):
        alone = open_view(raster, Reading(16, size)).patches(cells[place : place + 1])
        np.testing.assert_array_equal(alone[0], patches[place])
    assert view.patches(np.array([], np.int64)).shape == (0, 16, 16, 3)


def test_only_the_tiles_of_the_chosen_cells_are_read(raster):
    view = open_view(raster, Reading(16, 512))  # 0.8 cells of 20 px in a tile of 64: of the first overview, if any
    view.source.tiles_read = set()
    rows, columns = view.grid
    cells = np.array([0, 1, columns - 1, rows * columns - 1])
    view.patches(cells)
    needed = set()
    for cell in cells:
        row, column = divmod(int(cell), columns)
        needed |= view.source.tiles_of(view._cell(row, column), 16, 16)
    assert view.source.tiles_read <= needed
    assert len(needed) < 10


def test_each_tile_is_decoded_once(raster, monkeypatch):
    view = open_view(raster, Reading(16, 512))
    read = []
    original = view.source._read_block
    monkeypatch.setattr(view.source, "_read_block", lambda *place: read.append(place) or original(*place))
    view.patches(np.arange(view.grid[0] * view.grid[1]))
    assert len(read) == len(set(read))


def test_places_are_longitude_and_latitude(raster):
    source = opened(raster)
    assert source.coordinates == "longitude and latitude"
    assert source.spacing.unit == "m"
    assert (source.spacing.across, source.spacing.down) == (10, 10)
    longitude, latitude = warp(UTM, "EPSG:4326", [400_000 + 10 * 30], [5_000_000 - 10 * 20])
    np.testing.assert_allclose(source.place(np.array([[30.0, 20.0]])), [[longitude[0], latitude[0]]], atol=1e-9)


def test_a_raster_in_degrees_has_a_size_in_metres(tmp_path, pixels):
    path = write_raster(
        tmp_path / "a.tif", pixels, crs="EPSG:4326", transform=rasterio.transform.from_origin(10, 60.25, 0.001, 0.001)
    )
    spacing = opened(path).spacing
    assert spacing.down == pytest.approx(111.19, abs=0.1)
    assert spacing.across == pytest.approx(111.19 / 2, abs=0.1)  # at 60 degrees


def test_ground_control_points_place_a_raster(tmp_path, pixels):
    points = [
        GroundControlPoint(row, column, 400_000 + 10 * column, 5_000_000 - 10 * row)
        for row, column in ((0, 0), (0, 700), (500, 0), (500, 700))
    ]
    path = write_raster(tmp_path / "a.tif", pixels, crs=None, transform=None, overviews=())
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = points, UTM
    source = opened(path)
    longitude, latitude = warp(UTM, "EPSG:4326", [400_300], [4_999_800])
    np.testing.assert_allclose(source.place(np.array([[30.0, 20.0]])), [[longitude[0], latitude[0]]], atol=1e-6)
    assert source.spacing.across == pytest.approx(10, rel=0.01)


def test_without_a_crs_places_are_pixels_and_noted(tmp_path, pixels):
    source = opened(write_raster(tmp_path / "a.tif", pixels, crs=None))
    assert source.coordinates == "pixels"
    assert source.spacing is None
    np.testing.assert_array_equal(source.place(np.array([[3.0, 4.0]])), [[3.0, 4.0]])
    assert any("no coordinate reference system" in note for note in source.notes)


@pytest.mark.parametrize(
    ("count", "colours", "chosen", "note"),
    [
        (1, None, (1,), None),
        (2, ("gray", "alpha"), (1,), None),
        (2, None, (1,), "band 1 of 2 as grey"),
        (3, None, (1, 2, 3), None),
        (3, ("blue", "green", "red"), (3, 2, 1), None),
        (4, ("red", "green", "blue", "alpha"), (1, 2, 3), None),
        (4, ("red", "green", "blue", "undefined"), (1, 2, 3), "bands 1, 2, 3 of 4 as red, green, blue"),
        (12, ("gray", *["undefined"] * 11), (1, 2, 3), "bands 1, 2, 3 of 12 as red, green, blue"),
    ],
)
def test_the_bands_that_are_read_by_default(tmp_path, count, colours, chosen, note):
    values = smooth(100, 120, count)
    if colours and "alpha" in colours:
        values[..., -1] = 255
    source = opened(write_raster(tmp_path / "a.tif", values, colours=colours, overviews=(), photometric="minisblack"))
    expected = values[..., [band - 1 for band in (chosen if len(chosen) == 3 else chosen * 3)]]
    np.testing.assert_array_equal(source.read((0, 0, 120, 100), 100, 120), expected)
    assert (note is None) == (not any("band" in one for one in source.notes))
    assert note is None or note in source.notes


def test_bands_can_be_chosen(tmp_path):
    values = smooth(100, 120, 5)
    path = write_raster(tmp_path / "a.tif", values, overviews=())
    chosen = opened(path, bands=(4, 3, 2)).read((0, 0, 120, 100), 100, 120)
    np.testing.assert_array_equal(chosen, values[..., [3, 2, 1]])
    grey = opened(path, bands=(5,)).read((0, 0, 120, 100), 100, 120)
    np.testing.assert_array_equal(grey, values[..., [4, 4, 4]])
    with pytest.raises(PictureError, match=r"has 5 bands, so there is no band 6; choose others with --bands"):
        opened(path, bands=(6,))


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32"])
def test_values_are_stretched_by_percentiles_of_the_overview(tmp_path, dtype):
    values = (smooth(400, 400, 1).astype(dtype) * 20 - (2000 if dtype != "uint16" else 0)).astype(dtype)
    values[:3, :3] = np.iinfo("int16").max  # hot pixels do not count
    source = opened(write_raster(tmp_path / "a.tif", values, overviews=(2,)))
    (note,) = [note for note in source.notes if "stretched" in note]
    assert ("float" if dtype == "float32" else "integer") in note
    assert "--stretch-range" in note
    read = source.read((0, 0, 400, 400), 400, 400)
    low, high = np.percentile(values, [2, 98])
    expected = ((values[..., 0].astype(float) - low) * 255 / (high - low)).clip(0, 255)
    assert np.abs(read[..., 0] - expected).max() < 6


def test_a_range_fixes_the_stretch(tmp_path):
    values = (smooth(100, 120, 3).astype(np.uint16)) * 100
    source = opened(write_raster(tmp_path / "a.tif", values, overviews=()), stretch_range=(0, 25_500))
    assert "stretched from 0..25500" in source.notes
    np.testing.assert_array_equal(source.read((0, 0, 120, 100), 100, 120), values // 100)


def test_no_data_is_background_and_no_content(tmp_path):
    values = smooth(100, 100).clip(1)
    values[:, :50] = 0
    source = opened(write_raster(tmp_path / "a.tif", values, nodata=0, overviews=()), background=(9, 8, 7))
    read = source.read((0, 0, 100, 100), 100, 100)
    assert (read[:, :50] == (9, 8, 7)).all()
    np.testing.assert_array_equal(read[:, 50:], values[:, 50:])
    np.testing.assert_allclose(source.content((0, 0, 100, 100), 1, 4), [[0, 0, 1, 1]], atol=0.1)
    np.testing.assert_allclose(source.content((25, 0, 75, 100), 1, 1), [[0.5]], atol=0.05)


@pytest.mark.parametrize("kind", ["mask", "alpha", "nan"])
def test_masks_alpha_and_not_a_number_are_no_content(tmp_path, kind):
    values = smooth(100, 100)
    if kind == "alpha":
        opacity = np.where(np.arange(100) < 50, 0, 255).astype(np.uint8)
        values = np.dstack([values, np.broadcast_to(opacity, (100, 100))])
        path = write_raster(tmp_path / "a.tif", values, colours=("red", "green", "blue", "alpha"), overviews=())
    elif kind == "nan":
        values = values.astype(np.float32)
        values[:, :50] = np.nan
        path = write_raster(tmp_path / "a.tif", values, overviews=())
    else:
        path = write_raster(tmp_path / "a.tif", values, overviews=())
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.broadcast_to(np.arange(100) >= 50, (100, 100)))
    source = opened(path)
    np.testing.assert_allclose(source.content((0, 0, 100, 100), 1, 4), [[0, 0, 1, 1]], atol=0.1)
    assert (source.read((0, 0, 100, 100), 100, 100)[:, :50] == 255).all()


def test_a_raster_without_any_data_is_all_background(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((100, 100, 1), -9999, np.float32), nodata=-9999)
    source = opened(path)
    assert (source.read((0, 0, 100, 100), 20, 20) == 255).all()
    assert not source.content((0, 0, 100, 100), 4, 4).any()


@pytest.mark.parametrize("overviews", [(), (2, 4)])
def test_a_raster_without_any_data_is_no_picture(tmp_path, overviews):
    values = np.full((100, 120, 1), -9999, np.float32)
    path = write_raster(tmp_path / "a.tif", values, nodata=-9999, overviews=overviews)
    where = r"anywhere on its overview of 30 x 25 pixels" if overviews else "anywhere"
    with pytest.raises(PictureError, match=rf"a\.tif' has no data {where}, so there is nothing to read"):
        open_view(path, READING)
    values[-1, -1] = 3
    assert open_view(write_raster(tmp_path / "b.tif", values, nodata=-9999, overviews=()), READING).size == (100, 120)


def test_a_raster_that_always_holds_data_is_opened_without_reading_pixels(tmp_path, pixels, monkeypatch):
    path = write_raster(tmp_path / "a.tif", pixels)
    monkeypatch.setattr(RasterSource, "_read_values", None)
    assert open_view(path, READING).size == (500, 700)


def test_describing_a_raster_reads_no_pixels(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "a.tif", smooth(100, 120).astype(np.uint16) * 99, overviews=())
    monkeypatch.setattr(RasterSource, "_read_values", None)
    assert peek(path).size == (100, 120)
    assert is_large(opened(path))
    (note,) = [note for note in file_facts(path, READING)["notes"] if "stretched" in note]
    assert note == "16-bit integer, stretched from percentiles 2 and 98 of the overview (--stretch-range fixes it)"


def damage_a_tile(path):
    """Overwrite the second tile of the second row: with tiles of 64 pixels, from (64, 64) to (128, 128)."""
    with rasterio.open(path) as dataset:
        place = int(dataset.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        length = int(dataset.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    with Path(path).open("r+b") as stream:
        stream.seek(place)
        stream.write(b"\x55" * length)


def test_a_damaged_tile_does_not_keep_others_from_being_stretched(tmp_path):
    path = write_raster(tmp_path / "a.tif", smooth(256, 256).astype(np.uint16) * 99, overviews=(), compress="deflate")
    damage_a_tile(path)
    source = open_view(path, READING).source
    assert source.read((136, 136, 192, 192), 50, 50).any()
    with pytest.raises(PictureError, match=r"from \(64, 64\) to \(128, 128\) pixels"):
        source.read((64, 64, 128, 128), 64, 64)


def test_a_palette_gives_the_colours(tmp_path):
    values = np.repeat(np.array([[0], [1]], np.uint8), 50, axis=0).repeat(100, axis=1)[..., None]
    path = write_raster(tmp_path / "a.tif", values, overviews=(), colours=None, photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255), 1: (0, 128, 255, 255)})
    read = opened(path).read((0, 0, 100, 100), 100, 100)
    assert read[0, 0].tolist() == [255, 0, 0]
    assert read[99, 99].tolist() == [0, 128, 255]


def test_complex_numbers_are_refused_with_a_sentence(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((50, 50, 1), np.complex64), overviews=())
    with pytest.raises(PictureError, match=r"holds complex numbers \(complex64\); write their magnitude"):
        opened(path)


def test_reading_slowly_is_noted(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.zeros((20, 5000, 1), np.uint8), None, ())
    notes = " ".join(opened(path).notes)
    assert "no overviews" in notes
    assert "strips" in notes


def test_a_truncated_raster_names_the_part_that_is_missing(tmp_path, pixels):
    path = write_raster(tmp_path / "a.tif", smooth(500, 700), overviews=(), compress="deflate")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        source = opened(path)
        with pytest.raises(PictureError, match=r"a.tif' can't be decoded from \(\d+, \d+\) to \(\d+, \d+\) pixels: .*"):
            source.read((0, 0, 700, 500), 50, 70)
    assert source.read((0, 0, 60, 60), 60, 60).shape == (60, 60, 3)  # what is there can still be read


@pytest.mark.parametrize("compress", ["jpeg", "lzw", None])
def test_a_tile_that_cannot_be_decoded_is_an_error_and_the_others_are_read(tmp_path, compress):
    path = write_raster(tmp_path / "a.tif", smooth(256, 256), overviews=(), compress=compress or "deflate")
    damage_a_tile(path)
    source = opened(path)
    with pytest.raises(PictureError, match=r"from \(64, 64\) to \(128, 128\) pixels"):
        source.read((64, 64, 128, 128), 64, 64)
    assert source.read((136, 136, 192, 192), 50, 50).shape == (50, 50, 3)


def test_a_small_tiff_without_a_place_stays_with_pillow(tmp_path):
    Image.fromarray(smooth(50, 60)).save(tmp_path / "a.tif")
    assert open_large(str(tmp_path / "a.tif"), READING) is None
    assert open_large(str(tmp_path / "gone.tif"), READING) is None
    assert open_large(str(tmp_path), READING) is None
    assert open_large(str(tmp_path / "a.tif"), Reading(16, 128, max_pixels=2999)).size == (50, 60)
    assert open_large(str(tmp_path / "a.tif"), Reading(16, 128, bands=(2,))).size == (50, 60)


def test_without_the_extra_a_raster_is_a_plain_picture_with_a_note(raster, monkeypatch):
    monkeypatch.setattr("lookwhere_cli.images.large.open.has_rasterio", lambda: False)
    view = open_view(raster, READING)
    assert view.size == (500, 700)
    assert any("pip install 'lookwhere[geo]'" in note for note in view.notes)
    with pytest.raises(PictureError, match=r"350,000 pixels .* needs one more package: pip install 'lookwhere\[geo\]'"):
        open_view(raster, Reading(16, 128, max_pixels=1000))


def test_a_virtual_raster_is_read(tmp_path, raster, pixels):
    vrt = tmp_path / "a.vrt"
    with rasterio.open(raster) as dataset:
        from rasterio.shutil import copy

        copy(dataset, vrt, driver="VRT")
    np.testing.assert_array_equal(opened(str(vrt)).read((0, 0, 64, 64), 64, 64), pixels[:64, :64])


def test_a_remote_raster_that_is_not_there(tmp_path):
    with pytest.raises(PictureError, match=r"can't be read: .*; check the address"):
        open_large("http://127.0.0.1:9/a.tif", READING)


def test_unusual_names(tmp_path, pixels):
    for name in ("a b#c?d.tif", "GTIFF_DIR:1:a.tif", "zip+a!.tif"):
        path = write_raster(tmp_path / "plain.tif", pixels[:64, :64], overviews=())
        (tmp_path / "plain.tif").rename(tmp_path / name)
        assert opened(str(tmp_path / name)).size == (64, 64)
        assert path


def test_threads_may_read_at_once(raster, pixels):
    from concurrent.futures import ThreadPoolExecutor

    source = opened(raster)
    boxes = [(x, y, x + 64, y + 64) for x in range(0, 600, 50) for y in range(0, 400, 50)]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda box: source.read(box, 64, 64), boxes))
    for (left, top, right, bottom), one in zip(boxes, read, strict=True):
        np.testing.assert_array_equal(one, pixels[top:bottom, left:right])
    source.close()


def test_the_content_of_a_raster_is_a_plain_picture_with_a_note(tmp_path, raster):
    content = (tmp_path / raster).read_bytes()
    (note,) = [note for note in open_view(content, READING).notes if "georeferenced" in note]
    assert "give its path" in note


def test_a_turned_tiff_is_refused_by_windows(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(smooth(50, 60)).save(tmp_path / "a.tif", exif=exif)
    assert open_view(tmp_path / "a.tif", READING).size == (60, 50)
    with pytest.raises(PictureError, match=r"its EXIF turn \(6\) does not allow; save it upright"):
        open_view(tmp_path / "a.tif", Reading(16, 128, max_pixels=100))


def test_few_bits_are_spread_over_eight(tmp_path):
    values = (smooth(100, 100, 1) > 127).astype(np.uint8)
    source = opened(write_raster(tmp_path / "a.tif", values, overviews=(), nbits=1))
    np.testing.assert_array_equal(source.read((0, 0, 100, 100), 100, 100), np.repeat(values, 3, 2) * 255)


def test_grey_whose_zero_is_white_is_turned(tmp_path):
    values = smooth(100, 100, 1)
    source = opened(write_raster(tmp_path / "a.tif", values, overviews=(), photometric="miniswhite"))
    np.testing.assert_array_equal(source.read((0, 0, 100, 100), 100, 100), np.repeat(255 - values, 3, 2))


def test_an_overview_of_another_shape_is_left_out(tmp_path, pixels, monkeypatch):
    from lookwhere_cli.images.large import rasters

    path = write_raster(tmp_path / "a.tif", pixels, overviews=(2, 4))
    original = rasters._level
    monkeypatch.setattr(
        rasters, "_level", lambda size, *others: original((size[0] // 2, size[1]) if size[0] == 250 else size, *others)
    )
    source = opened(path)
    assert [level.size for level in source.levels] == [(500, 700), (125, 175)]
    assert difference(source.read((0, 0, 700, 500), 100, 140), opened(path).read((0, 0, 700, 500), 100, 140)) < 2


def test_large_integers_are_stretched_exactly(tmp_path):
    values = (smooth(100, 100, 1).astype(np.int32) + 2_000_000_000).astype(np.int32)
    source = opened(write_raster(tmp_path / "a.tif", values, overviews=()), stretch_range=(2e9, 2e9 + 255))
    np.testing.assert_array_equal(source.read((0, 0, 100, 100), 100, 100)[..., :1], values - 2_000_000_000)
