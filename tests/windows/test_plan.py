"""Which windows are read: all of the picture, at the resolution that was asked for, but for what is blank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.errors import PictureError, UsageError
from lookwhere_cli.images.large.base import Spacing
from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.windows.content import content_of, means
from lookwhere_cli.windows.grid import WindowGrid
from lookwhere_cli.windows.options import WindowOptions
from lookwhere_cli.windows.plan import plan_windows
from tests.large_sources import ArraySource

SIZES = st.tuples(st.integers(1, 90), st.integers(1, 90))


@given(SIZES, st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.9))
def test_windows_cover_the_picture_and_stay_in_it(
    size: tuple[int, int], height: int, width: int, overlap: float
) -> None:
    grid = WindowGrid(size, (min(height, size[0]), min(width, size[1])), overlap)
    seen = np.zeros(size, bool)
    for number in range(len(grid)):
        left, top, right, bottom = map(int, grid.box(number))
        assert 0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]
        seen[top:bottom, left:right] = True
    assert seen.all()


@given(SIZES, st.integers(4, 40), st.floats(0, 0.6), st.integers(1, 5), st.integers(1, 5))
def test_blocks_have_every_window_once(
    size: tuple[int, int], side: int, overlap: float, rows: int, columns: int
) -> None:
    grid = WindowGrid(size, (min(side, size[0]), min(side, size[1])), overlap)
    counts = np.zeros((len(grid.tops), len(grid.lefts)), int)
    for block in grid.blocks(rows, columns):
        counts[block] += 1
        assert grid.around(block)[2] <= size[1] and grid.around(block)[3] <= size[0]
    assert (counts == 1).all()


@given(st.data())
def test_means_of_rectangles(data: st.DataObject) -> None:
    values = np.random.default_rng(data.draw(st.integers(0, 9))).random((12, 15))
    top, left = data.draw(st.integers(0, 11)), data.draw(st.integers(0, 14))
    bottom, right = data.draw(st.integers(top + 1, 12)), data.draw(st.integers(left + 1, 15))
    found = means(values, np.array([[top, bottom]], float), np.array([[left, right]], float))
    np.testing.assert_allclose(found, values[top:bottom, left:right].mean(), atol=1e-9)


def test_content_is_the_share_that_holds_something() -> None:
    pixels = np.full((64, 256, 3), 255, np.uint8)
    pixels[:, 32:128] = 7
    shares = content_of(ArraySource(pixels), WindowGrid((64, 256), (64, 64)))
    np.testing.assert_allclose(shares, [0.5, 1, 0, 0], atol=0.06)


@pytest.fixture(scope="module")
def predictor(model_folder: Path) -> Predictor:
    return load(str(model_folder), k=0.5)


def plan(predictor: Predictor, source: object, *values: object, **options: object):
    return plan_windows(predictor, source, WindowOptions(*values, **options))


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_the_window_is_the_models_size_by_default_and_reads_its_own_pixels(predictor: Predictor) -> None:
    source = ArraySource(noise(100, 100))
    auto = plan(predictor, source)
    assert auto.side == 24 and auto.window_grid == (6, 6) and auto.counts.total == 25
    assert plan(predictor, source, 40).window_grid == (10, 10)
    assert plan(predictor, source, 41).window_grid == (11, 11)  # whole cells
    assert plan(predictor, source, 40, size=24).window_grid == (6, 6)


def test_blank_windows_are_skipped_and_counted(predictor: Predictor) -> None:
    pixels = np.full((48, 96, 3), 255, np.uint8)
    pixels[24:, 30:40] = 0
    found = plan(predictor, ArraySource(pixels), 24)
    assert [window.box for window in found.windows] == [(24, 24, 48, 48)]
    assert found.counts.total == 8 and found.counts.blank == 7 and found.counts.read == 1


def test_a_source_of_ones_own_needs_size_and_read_only(predictor: Predictor) -> None:
    class Camera:
        size = (48, 48)

        def read(self, box, height, width):
            return np.full((height, width, 3), 255, np.uint8)

    assert plan(predictor, Camera(), 24).counts.read == 4


def test_microns_and_metres_per_pixel(predictor: Predictor) -> None:
    slide = ArraySource(noise(96, 96), spacing=Spacing(0.5, 0.5, "µm"))
    found = plan(predictor, slide, 24, mpp=1.0)
    assert found.windows[0].box == (0, 0, 48, 48) and found.window_grid == (6, 6) and found.notes == ()
    fine = plan(predictor, slide, 24, mpp=0.25)
    assert fine.windows[0].box == (0, 0, 12, 12) and fine.window_grid == (6, 6) and "magnified 2 times" in fine.notes[0]
    raster = ArraySource(noise(96, 96), spacing=Spacing(2.0, 4.0, "m"))
    flat = plan(predictor, raster, 24, gsd=8.0)
    assert flat.windows[0].box == (0, 0, 96, 48) and flat.window_grid == (6, 6)  # square on the ground


def test_resolutions_that_a_picture_does_not_tell(predictor: Predictor) -> None:
    with pytest.raises(PictureError, match="does not tell how large its pixels are, so --mpp"):
        plan(predictor, ArraySource(noise(48, 48)), 24, mpp=0.5)
    with pytest.raises(PictureError, match=r"tells its metres per pixel \(--gsd\), not mpp"):
        plan(predictor, ArraySource(noise(48, 48), spacing=Spacing(1, 1, "m")), 24, mpp=0.5)


def test_a_window_larger_than_the_picture_is_one_at_full_resolution(predictor: Predictor) -> None:
    found = plan(predictor, ArraySource(noise(40, 40)), 400)
    assert [window.box for window in found.windows] == [(0, 0, 40, 40)] and found.window_grid == (10, 10)
    strip = plan(predictor, ArraySource(noise(20, 200)), 40)
    assert strip.windows[0].box == (0, 0, 40, 20) and strip.window_grid == (5, 10)


@pytest.mark.parametrize(
    ("height", "width", "options", "grid"),
    [
        (100, 21, {"window": 40}, (10, 6)),  # 21 / 4 cells, rounded up
        (3, 200, {"window": 41}, (1, 11)),
        (30, 100, {"window": 24, "mpp": 1.0}, (4, 6)),  # 15 pixels of 2 in 24
        (30, 100, {"window": 40, "size": 24}, (5, 6)),
    ],
)
def test_a_clipped_window_has_as_many_cells_as_its_pixels_need(
    predictor: Predictor, height: int, width: int, options: dict, grid: tuple[int, int]
) -> None:
    source = ArraySource(noise(height, width), spacing=Spacing(0.5, 0.5, "µm"))
    assert plan(predictor, source, **options).window_grid == grid


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": 0}, "window is 0"),
        ({"overlap": 1.0}, "window overlap is 1"),
        ({"mpp": 0}, "mpp is 0"),
        ({"gsd": float("nan")}, "gsd is nan"),
        ({"mpp": 1, "gsd": 1}, "mpp and gsd both"),
        ({"best": "0%"}, "best windows: 0%"),
    ],
)
def test_impossible_options(options: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        WindowOptions(**options)


def test_more_cells_than_a_window_has_and_crops(model_folder: Path) -> None:
    source = ArraySource(noise(48, 48))
    with pytest.raises(UsageError, match="more than the 4 cells of 8 x 8 pixels"):
        plan(load(str(model_folder), k=9), source, 8)
    with pytest.raises(UsageError, match="leave crop out"):
        plan(load(str(model_folder), mode="crop"), source, 24)


def test_a_plan_is_small(predictor: Predictor) -> None:
    class Vast:
        size = (100_000, 100_000)

        def read(self, box, height, width):
            raise AssertionError("nothing is read")

    found = plan(predictor, Vast(), 224)
    assert found.counts.total == 447 * 447
    assert found.numbers.nbytes + found.contents.nbytes < 20 * 447 * 447
    assert found.windows[447].box == (0, 224, 224, 448) and len(found.windows[:3]) == 3
