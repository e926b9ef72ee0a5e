import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.errors import PictureError
from lookwhere_cli.images.frame import Reading
from lookwhere_cli.images.view import alias, open_view, view_of
from tests.images.pictures import noise, smooth

READING = Reading(16, 224)


def whole(picture, view, patch):
    """Cut all cells of a picture the plain way: resize all that is read, across and then down, then cut."""
    rows, columns = view.grid
    left, top, right, bottom = view.box
    wide, high = columns * patch, rows * patch
    across = picture.resize((wide, picture.height), Image.Resampling.BICUBIC, (left, 0, right, picture.height))
    resized = np.asarray(across.resize((wide, high), Image.Resampling.BICUBIC, (0, top, wide, bottom)))
    return resized.reshape(rows, patch, columns, patch, 3).swapaxes(1, 2).reshape(-1, patch, patch, 3)


def kept_size(view):
    """The (height, width) of the pixels that a view holds."""
    return view.source.pixels.shape[:2]


@st.composite
def readings(draw):
    patch = draw(st.sampled_from([4, 14, 16]))
    mode = draw(st.sampled_from(["whole", "crop", "stretch"]))
    return Reading(patch, patch * draw(st.integers(4, 12)), mode, crop_share=draw(st.floats(0.2, 1)))


@given(st.integers(1, 150), st.integers(1, 150), readings(), st.data())
def test_patches_equal_resizing_the_whole_and_cutting(height, width, reading, data):
    picture = Image.fromarray(noise(height, width))
    view = view_of(picture, reading)
    assume(kept_size(view) == (height, width))
    count = view.grid[0] * view.grid[1]
    cells = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True))
    patches = view.patches(np.array(cells))
    expected = whole(picture, view, reading.patch)[cells]
    assert patches.dtype == np.uint8
    if reading.mode == "crop":  # Pillow holds a box's edges in single precision, which tips a value now and then
        assert np.abs(patches.astype(int) - expected).max() <= 1
        assert (patches != expected).sum() <= max(3, 0.01 * patches.size)
    else:
        np.testing.assert_array_equal(patches, expected)


@given(st.integers(1, 400), st.integers(1, 400), readings(), st.data())
def test_a_patch_does_not_depend_on_the_cells_that_are_read_with_it(height, width, reading, data):
    view = view_of(noise(height, width), reading)
    count = view.grid[0] * view.grid[1]
    every = view.patches(np.arange(count))
    cells = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True))
    np.testing.assert_array_equal(view.patches(np.array(cells)), every[cells])
    np.testing.assert_array_equal(view.patches(np.array(cells[:1])), every[cells[:1]])


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 375), (299, 299), (854, 1280), (60, 100)])
def test_patches_equal_pillows_resize_in_one_call(height, width):
    """From Pillow 13 on, one call may go down before across, which rounds differently, by a level or two."""
    picture = Image.fromarray(smooth(height, width))
    view = view_of(picture, READING)
    rows, columns = view.grid
    once = np.asarray(picture.resize((columns * 16, rows * 16), Image.Resampling.BICUBIC))
    expected = once.reshape(rows, 16, columns, 16, 3).swapaxes(1, 2).reshape(-1, 16, 16, 3)
    for cells in (np.arange(0, rows * columns, 3), np.arange(rows * columns)):
        assert np.abs(view.patches(cells).astype(int) - expected[cells]).max() <= 2


def test_all_cells_are_cut_exactly_and_repeatedly():
    picture = Image.fromarray(noise(375, 500))
    view = view_of(picture, READING)
    cells = np.random.default_rng(1).permutation(12 * 16)
    for _ in range(2):
        np.testing.assert_array_equal(view.patches(cells), whole(picture, view, 16)[cells])


def test_no_cells_give_no_patches():
    assert view_of(noise(30, 40), READING).patches(np.array([], dtype=np.int64)).shape == (0, 16, 16, 3)


def test_a_cell_outside_of_the_grid_is_an_error():
    with pytest.raises(ValueError, match="out of bounds"):
        view_of(noise(30, 40), READING).patches(np.array([192]))


@given(st.integers(1, 150), st.integers(1, 150), readings(), st.integers(1, 64), st.integers(1, 64))
def test_a_thumbnail_is_the_box_resized(height, width, reading, rows, columns):
    picture = Image.fromarray(noise(height, width))
    view = view_of(picture, reading)
    assume(kept_size(view) == (height, width))
    thumbnail = view.thumbnail(rows, columns)
    assert thumbnail.dtype == np.uint8
    assert thumbnail.flags.writeable
    np.testing.assert_array_equal(thumbnail, picture.resize((columns, rows), Image.Resampling.BICUBIC, view.box))


@given(*[st.integers(1, 40)] * 4)
def test_alias_is_torchs_bilinear_interpolation(height, width, rows, columns):
    pixels = noise(height, width)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels).permute(2, 0, 1)[None].float(), (rows, columns), mode="bilinear", antialias=False
    )[0].permute(1, 2, 0)
    resized = alias(pixels, rows, columns)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=2e-3)


def test_an_aliased_thumbnail_is_made_from_the_picture_at_the_grids_size():
    picture = Image.fromarray(noise(300, 400))
    reading = Reading(16, 224, thumbnail_filter="alias")
    at_size = np.asarray(
        picture.resize((256, 300), Image.Resampling.BICUBIC).resize((256, 192), Image.Resampling.BICUBIC)
    )
    np.testing.assert_array_equal(view_of(picture, reading).thumbnail(84, 112), alias(at_size, 84, 112))


@pytest.mark.parametrize(("side", "divisor"), [(223, 1), (448, 2), (895, 2), (896, 4), (1800, 8)])
def test_a_jpeg_is_decoded_at_the_smallest_size_that_fills_the_grid(tmp_path, side, divisor):
    """The reduced decode stays within 3 levels of the full one on average, 16 for all but 1 % of the values."""
    picture = Image.fromarray(smooth(side, side))
    picture.save(tmp_path / "a.jpg", quality=95)
    view = open_view(tmp_path / "a.jpg", READING)
    assert view.size == (side, side)
    assert view.box == (0, 0, side, side)
    assert kept_size(view) == (-(-side // divisor),) * 2
    with Image.open(tmp_path / "a.jpg") as full:
        cells = np.arange(196)
        error = np.abs(view.patches(cells).astype(int) - whole(full, view, 16)[cells])
    assert error.mean() <= (3 if divisor > 1 else 0)
    assert np.percentile(error, 99) <= 16


def test_the_reduced_decode_keeps_the_box_in_place(tmp_path):
    pixels = np.zeros((1600, 1203, 3), np.uint8)
    pixels[500:1100, 300:903] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    view = open_view(tmp_path / "a.jpg", Reading(16, 224, "crop", crop_share=0.75))
    assert kept_size(view) == (400, 301)
    thumbnail = view.thumbnail(224, 224)[..., 0]
    scale = 224 / (0.75 * 1203)
    inside = thumbnail > 127
    assert inside.any(axis=0).sum() == pytest.approx(603 * scale, abs=1)
    assert inside.any(axis=1).sum() == pytest.approx(600 * scale, abs=1)
    assert np.flatnonzero(inside.any(axis=0))[0] == pytest.approx((300 - view.box[0]) * scale, abs=1)
    assert np.flatnonzero(inside.any(axis=1))[0] == pytest.approx((500 - view.box[1]) * scale, abs=1)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 5), (1, 700), (10, 20_000), (20, 65_000), (65_000, 20)])
@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("mode", ["whole", "crop", "stretch"])
def test_any_shape_can_be_read(tmp_path, height, width, ending, mode):
    Image.new("RGB", (width, height), (10, 200, 90)).save(tmp_path / f"a.{ending}")
    view = open_view(tmp_path / f"a.{ending}", Reading(16, 224, mode))
    assert view.size == (height, width)
    for pixels in (
        view.thumbnail(112, 112),
        view.patches(np.arange(view.grid[0] * view.grid[1])),
        view.patches(np.array([0])),
    ):
        assert np.abs(pixels.astype(int) - (10, 200, 90)).max() <= 3


def test_views_can_be_read_in_parallel(tmp_path):
    for number in range(6):
        Image.fromarray(noise(300, 400, seed=number)).save(tmp_path / f"{number}.png")
    paths = sorted(tmp_path.iterdir()) * 4
    cells = np.arange(0, 192, 3)
    alone = [open_view(path, READING).patches(cells) for path in paths[:6]]
    before = Image.MAX_IMAGE_PIXELS
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda path: open_view(path, READING).patches(cells), paths))
    assert before == Image.MAX_IMAGE_PIXELS
    for number, patches in enumerate(together):
        np.testing.assert_array_equal(patches, alone[number % 6])


@pytest.mark.parametrize(
    ("array", "level", "notes"),
    [
        (np.full((4, 6), 51, np.uint8), 51, ()),
        (np.full((4, 6, 1), 51, np.uint8), 51, ()),
        (np.full((4, 6, 3), 151 * 257, np.uint16), 151, ()),
        (np.full((4, 6, 3), 819, np.uint16), 204, ("16 bits per value of which 10 are used, scaled from 0..1023",)),
        (np.full((4, 6), 0.2, np.float32), 51, ()),
        (np.full((4, 6, 3), 0.2, np.float16), 51, ()),
        (np.ones((4, 6), np.bool_), 255, ()),
        (np.dstack([np.zeros((4, 6, 3), np.uint8), np.full((4, 6), 204, np.uint8)]), 51, ()),
        (np.full((4, 6), np.nan), 0, ()),
        (np.full((4, 6), 7.0), 0, ("float, scaled from 7..7",)),
    ],
)
def test_arrays(array, level, notes):
    view = view_of(array, READING, "x")
    assert (view.path, view.size, view.notes) == ("x", (4, 6), notes)
    assert (view.thumbnail(8, 8) == level).all()


def test_a_float_array_beyond_one_is_scaled_by_its_finite_range():
    array = np.linspace(-2, 2, 101)[None].repeat(5, axis=0)
    array[0, :2] = np.inf, -np.inf
    view = view_of(array, READING)
    assert view.notes == ("float, scaled from -2..2",)
    thumbnail = view.thumbnail(5, 101)[..., 0]
    assert thumbnail[0, 0] > thumbnail[0, 3]
    np.testing.assert_allclose(thumbnail[4], np.linspace(0, 255, 101), atol=0.51)


@pytest.mark.parametrize("shape", [(4,), (4, 5, 2), (4, 5, 3, 1), (0, 5), (5, 0, 3), ()])
def test_an_array_of_another_shape_is_refused(shape):
    with pytest.raises(PictureError, match=f"shape {shape!r}".replace("(", r"\(").replace(")", r"\)")):
        view_of(np.zeros(shape, np.uint8), READING)


def test_an_array_of_another_type_is_refused():
    with pytest.raises(PictureError, match="'scan 3' holds int64"):
        view_of(np.zeros((4, 4), np.int64), READING, "scan 3")


def test_a_pillow_image_is_read_turned_but_not_changed():
    picture = Image.fromarray(noise(20, 30)).convert("P")
    exif = picture.getexif()
    exif[274] = 6
    before = picture.tobytes()
    view = view_of(picture, READING, "mine")
    assert view.size == (30, 20)
    assert (picture.size, picture.mode, picture.tobytes()) == ((30, 20), "P", before)


def test_a_path_may_hold_any_bytes(tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9\n.png"
    Image.fromarray(noise(4, 4)).save(os.fsdecode(name), "PNG")
    assert os.fsencode(open_view(os.fsdecode(name), READING).path) == name


def test_a_pipe_can_be_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    Image.fromarray(noise(4, 6)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    assert open_view(tmp_path / "pipe", READING).size == (4, 6)
    writer.join()
