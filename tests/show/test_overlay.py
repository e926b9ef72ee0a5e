import numpy as np
import pytest
from PIL import Image, ImageFont

from lookwhere_cli.show.legend import text_size, wrapped
from lookwhere_cli.show.overlay import overlay

GREEN = (40, 200, 80)


def scores(rows, columns):
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


def drawn(size, grid, cells, box=None, caption="2 of 6 cells read"):
    picture = Image.new("RGB", size, GREEN)
    return np.asarray(overlay(picture, scores(*grid), cells, box or (0, 0, *size), caption))


def test_heat_covers_all_cells_and_leaves_those_that_were_read_visible():
    read = {(0, 1), (1, 2)}
    without, pixels = drawn((600, 400), (2, 3), []), drawn((600, 400), (2, 3), read)
    for row in range(2):
        for column in range(3):
            middle = 200 * row + 100, 200 * column + 100
            far, near = (np.abs(shown[middle].astype(int) - GREEN).sum() for shown in (without, pixels))
            assert near > 0
            assert near < far / 2 if (row, column) in read else near == far


def test_heat_is_brighter_where_scores_are_higher():
    sums = drawn((600, 400), (2, 3), [])[[100] * 3 + [300] * 3, [100, 300, 500] * 2].astype(int).sum(axis=-1)
    assert (np.diff(sums) > 0).all()


def test_a_white_line_separates_chosen_cells_from_others_but_not_from_each_other():
    pixels = drawn((600, 400), (2, 3), [(0, 0), (0, 1)])
    assert tuple(pixels[100, 400]) == (255, 255, 255)
    assert tuple(pixels[200, 100]) == (255, 255, 255)
    assert tuple(pixels[100, 200]) != (255, 255, 255)


def test_small_cells_have_a_thin_outline():
    pixels = drawn((40, 40), (10, 10), [(5, 5)], caption="")[:40, :40]
    white = (pixels == 255).all(axis=-1)
    assert white.sum() == 16
    assert not white[21:24, 21:24].any()


def test_the_grid_covers_the_box_only():
    pixels = drawn((600, 400), (1, 1), [(0, 0)], box=(100, 0, 500, 400))
    assert tuple(pixels[200, 120]) == tuple(pixels[200, 480]) != tuple(pixels[200, 50])
    assert pixels[200, 50].sum() < sum(GREEN) / 2
    assert pixels[200, 550].sum() < sum(GREEN) / 2


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (20_000, 10), (10, 20_000), (301, 299), (1500, 1100)])
def test_pictures_of_any_size_keep_their_resolution_above_the_legend(size):
    pixels = drawn(size, (1, 1), [(0, 0)])
    assert pixels.shape[1] == max(size[0], 300)
    legend = pixels[size[1] :]
    assert 36 <= len(legend) <= max(80, size[1])
    assert legend.max() > 200 and np.median(legend) < 60


def test_drawing_in_bands_changes_nothing(monkeypatch):
    whole = drawn((90, 70), (7, 9), [(3, 3)])
    monkeypatch.setattr("lookwhere_cli.show.overlay.BAND_PIXELS", 200)
    np.testing.assert_array_equal(drawn((90, 70), (7, 9), [(3, 3)]), whole)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_other_modes_than_rgb_are_shown(mode):
    picture = Image.new("RGB", (64, 64), "white")
    drawn_as = [
        np.asarray(overlay(one, scores(2, 2), [], (0, 0, 64, 64), "")) for one in (picture, picture.convert(mode))
    ]
    np.testing.assert_array_equal(*drawn_as)


def test_text_is_larger_on_larger_pictures():
    assert text_size(5, 5) == text_size(10, 20_000) == 12
    assert 12 < text_size(2000, 3000) < text_size(6000, 8000) <= text_size(30_000, 8000)


@pytest.mark.parametrize(
    "text", ["", "short", "several words of a caption " * 20, "unbroken" * 40, "two " + "unbroken" * 40]
)
def test_a_caption_is_wrapped_to_three_lines_within_the_width(text):
    font = ImageFont.load_default(12)
    lines = wrapped(text, font, 200)
    assert len(lines) <= 3
    assert all(font.getlength(line) <= 200 for line in lines)
    assert (" ".join(lines) == text.strip()) == (font.getlength(text) <= 200)
    assert len(text) < 100 or lines[-1].endswith("…")


def test_a_caption_with_bytes_control_characters_and_missing_glyphs_is_drawn():
    drawn((50, 50), (1, 1), [], caption="caf\udce9\n\x00 犬")
