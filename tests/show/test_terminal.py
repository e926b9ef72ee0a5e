import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from lookwhere_cli.output.rows import Label, Share
from lookwhere_cli.show.colours import class_colours, heat_colours, heat_levels
from lookwhere_cli.show.geometry import OUTSIDE, cells_along, cells_of_pixels, fit
from lookwhere_cli.show.terminal import CellMap, ClassMap, HeatLegend, HeatMap, Legend, label_bars, share_bars

WHITE = np.full((60, 90, 3), 255, np.uint8)


def printed(renderable, width=80, encoding="utf-8", **options):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="")
    console = Console(file=stream, width=width, force_terminal=True, _environ={}, **options)
    console.print(renderable, end="")
    stream.flush()
    return raw.getvalue().decode(encoding)


def drawn(renderable, width=80):
    """Return the (height, width, 3) pixels that a truecolor console was asked to draw."""
    console = Console(width=width, color_system="truecolor", force_terminal=True, file=io.StringIO(), _environ={})
    upper, lower = [], []
    for line in console.render_lines(renderable, pad=False):
        styles = [segment.style for segment in line for _ in segment.text]
        upper.append([tuple(style.color.triplet) for style in styles])
        lower.append([tuple(style.bgcolor.triplet) if style.bgcolor else None for style in styles])
    pixels = [row for pair in zip(upper, lower, strict=True) for row in pair]
    return np.array(pixels[:-1] if pixels[-1][0] is None else pixels, np.uint8)


@given(
    pixels=st.integers(1, 200),
    cells=st.integers(1, 80),
    start=st.floats(0, 0.4),
    stop=st.floats(0.6, 1),
)
def test_a_pixel_belongs_to_the_cell_that_holds_its_centre(pixels, cells, start, stop):
    start, stop = start * pixels, stop * pixels
    edges = np.linspace(start, stop, cells + 1)
    for pixel, cell in enumerate(cells_along(pixels, start, stop, cells)):
        if cell == OUTSIDE:
            assert not start <= pixel + 0.5 < stop
        else:
            assert edges[cell] - 1e-6 <= pixel + 0.5 <= edges[cell + 1] + 1e-6


@given(height=st.integers(1, 30_000), width=st.integers(1, 30_000))
def test_fit_keeps_the_shape_and_the_limits(height, width):
    rows, columns = fit(height, width, 48, 72)
    assert 1 <= rows <= 48 and 1 <= columns <= 72
    assert rows == 48 or columns == 72
    if rows > 1 and columns > 1:
        assert abs(rows * width - columns * height) <= 0.5 * (height + width) + 1e-6


@pytest.mark.parametrize("console_width", [20, 40, 80, 200])
@given(rows=st.integers(1, 37), columns=st.integers(1, 37), data=st.data())
def test_exactly_the_chosen_cells_are_lit(console_width, rows, columns, data):
    every = [(row, column) for row in range(rows) for column in range(columns)]
    cells = data.draw(st.lists(st.sampled_from(every), unique=True, max_size=12))
    pixels = drawn(CellMap(WHITE, (rows, columns), cells), console_width)
    height, width = pixels.shape[:2]
    lit = {divmod(int(index), columns) for index in cells_of_pixels(height, width, (rows, columns)).ravel()} & set(
        cells
    )
    row = ((np.arange(height) + 0.5) * rows / height).astype(int)
    column = ((np.arange(width) + 0.5) * columns / width).astype(int)
    expected = np.array([[(r, c) in lit for c in column] for r in row])
    np.testing.assert_array_equal(pixels[..., 0] == 255, expected)


@pytest.mark.parametrize(("console_width", "width"), [(40, 40), (80, 72), (200, 72)])
def test_the_map_fits_the_terminal_and_keeps_the_shape(console_width, width):
    height, drawn_width = drawn(CellMap(WHITE, (8, 12), []), console_width).shape[:2]
    assert drawn_width == width
    assert height == round(width * 60 / 90)


def test_a_caller_can_set_larger_limits():
    assert drawn(CellMap(WHITE, (8, 12), [], max_width=150, max_height=60), 200).shape[:2] == (100, 150)
    assert drawn(CellMap(WHITE, (8, 12), [], max_width=150, max_height=10), 200).shape[:2] == (20, 30)


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (2000, 1), (1, 2000), (3, 4)])
def test_extreme_shapes_work(shape):
    height, width = drawn(CellMap(np.full((*shape, 3), 200, np.uint8), (1, 1), [(0, 0)])).shape[:2]
    assert 1 <= height <= 48 and 1 <= width <= 72


def test_pixels_outside_the_grid_are_never_lit():
    middle = (0.25, 0.0, 0.75, 1.0)
    pixels = drawn(CellMap(WHITE, (1, 1), [(0, 0)], box_share=middle))
    np.testing.assert_array_equal(pixels[10, :, 0] == 255, [18 <= column < 54 for column in range(72)])


def test_cells_that_were_not_chosen_are_dark_and_nearly_grey():
    red = np.zeros((10, 10, 3), np.uint8)
    red[..., 0] = 255
    dim = drawn(CellMap(red, (1, 2), [(0, 0)]))[0, -1].astype(int)
    assert dim.max() < 128
    assert np.ptp(dim) < 60


@pytest.mark.parametrize("options", [{"no_color": True}, {"color_system": None}, {"color_system": "standard"}])
def test_without_colours_characters_mark_the_chosen_cells(options):
    text = printed(CellMap(WHITE[:40, :40], (2, 2), [(0, 1), (1, 0)], max_width=8), **options)
    assert text.splitlines() == ["····████"] * 2 + ["████····"] * 2


def test_half_lines_and_ascii_consoles_work():
    square = WHITE[:30, :30]
    cells = [(0, 0), (1, 1), (2, 0), (2, 1)]
    assert printed(CellMap(square, (3, 3), cells, max_width=3), no_color=True).splitlines() == ["▀▄·", "██·"]
    ascii_text = printed(CellMap(square, (3, 3), cells, max_width=3), encoding="ascii", no_color=True)
    assert ascii_text.splitlines() == ["',.", "##."]


def test_a_terminal_with_256_colours_gets_their_codes():
    text = printed(CellMap(WHITE, (2, 2), [(0, 0)]), color_system="256")
    assert "38;5;" in text and "38;2;" not in text


def test_heat_runs_from_dark_to_bright():
    pixels = drawn(HeatMap(np.array([[-3.0, 0.0, 5.0]], np.float32))).astype(int).sum(axis=-1)[0]
    assert pixels[0] < pixels[len(pixels) // 2] < pixels[-1]


def test_heat_over_a_picture_has_its_shape_and_leaves_the_rest_grey():
    green = np.zeros((60, 90, 3), np.uint8)
    green[..., 1] = 200
    pixels = drawn(HeatMap(np.eye(3, dtype=np.float32), green, box_share=(0.0, 0.0, 0.5, 1.0))).astype(int)
    assert pixels.shape[:2] == (48, 72)
    assert np.ptp(pixels[:, 36:], axis=-1).max() == 0
    assert pixels[4, 4].sum() > pixels[4, 30].sum()


def test_heat_without_colours_is_denser_where_scores_are_higher():
    text = printed(HeatMap(np.array([[0.0, 1.0]], np.float32), max_width=8), no_color=True)
    assert set(text.splitlines()) == {"    ████"}


@given(st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_levels_are_in_0_to_1_for_any_scores(scores):
    levels = heat_levels(np.array(scores, np.float32))
    assert ((levels >= 0) & (levels <= 1)).all()


def test_equal_scores_have_level_one_half():
    assert heat_levels(np.full((2, 3), 7.0)).tolist() == [[0.5] * 3] * 2


def test_a_long_tail_of_low_scores_does_not_reduce_contrast():
    levels = heat_levels(np.array([-31.0, -14.0, 0.0, 3.0], np.float32))
    assert levels.tolist() == [0.0, 0.0, 0.5, 1.0]


def test_lightness_never_falls_along_the_heat_scale():
    colours = heat_colours(np.linspace(0, 1, 256, dtype=np.float32)) / 255
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    assert (np.diff(linear @ (0.2126, 0.7152, 0.0722)) >= -1e-4).all()


LABELS = [
    Label("golden retriever", 207, 0.843),
    Label("a label so long that no terminal of forty columns could ever hold it", 1, 0.1),
    Label("[bold]not markup\n\x1b[31m", 2, 0.03),
    Label("犬の写真" * 20, 3, 0.0),
]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_label_bars_take_one_line_each_and_never_overflow(width, encoding):
    lines = printed(label_bars(LABELS), width, encoding, color_system=None).splitlines()
    assert len(lines) == len(LABELS)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].rstrip().endswith("84.3 %")


def test_labels_with_markup_and_escape_sequences_are_printed_as_text():
    text = printed(label_bars(LABELS), color_system=None)
    assert "[bold]not markup" in text
    assert "\x1b" not in text


def test_more_probable_labels_have_longer_bars():
    lines = printed(label_bars(LABELS), color_system=None).splitlines()
    filled = [line.count("━") for line in lines]
    assert filled[0] > filled[1] > filled[3] == 0


def test_the_legend_has_the_number_of_cells():
    assert printed(Legend(98, 196), color_system="truecolor").count("lit: the 98 of 196 cells that were read") == 1
    assert "█: the 1 of 196 cells that was read" in printed(Legend(1, 196), no_color=True)
    assert "capitals: the 2 of" in printed(Legend(2, 196, "bright", "capitals"), no_color=True)


SHARES = (Share("road", 2, 0.75), Share("sky", 0, 0.25))
HALVES = np.repeat(np.array([[0], [2], [2], [2]], np.uint8), 8, axis=1)


@pytest.mark.parametrize("console_width", [20, 40, 200])
def test_classes_have_their_colours_brighter_in_cells_that_were_read(console_width):
    pixels = drawn(ClassMap(HALVES, SHARES, class_colours(3), (2, 2), [(0, 0), (1, 1)]), console_width)
    height, width = pixels.shape[:2]
    sky, road = class_colours(3)[[0, 2]]
    assert (pixels[0, 0] == sky).all() and (pixels[-1, -1] == road).all()
    assert (pixels[height // 2 - 1, 0] == road).all(), "three quarters are road"
    dimmed = pixels[height // 2 :, : width // 2].reshape(-1, 3)
    assert (dimmed == dimmed[0]).all() and (dimmed[0] < road + 20).all() and dimmed[0].sum() < 0.9 * road.sum()


def test_without_colours_a_class_is_a_letter_and_a_capital_in_cells_that_were_read():
    drawn_without = printed(ClassMap(HALVES, SHARES, class_colours(3), (1, 2), [(0, 1)], 8, 4), no_color=True)
    assert drawn_without.splitlines() == ["bbbbBBBB", "aaaaAAAA"]
    lines = printed(share_bars(SHARES, class_colours(3)), color_system=None).splitlines()
    assert lines[0].startswith("A road ") and lines[0].endswith(" 75.0 %") and lines[1].startswith("B sky ")
    assert "█" in printed(share_bars(SHARES, class_colours(3)), color_system="truecolor")


def test_the_last_line_is_the_sum_of_the_classes_beyond_the_limit():
    many = [Share(f"class {index}", index, 1 / 30) for index in range(30)]
    lines = printed(share_bars(many, class_colours(30)), color_system=None).splitlines()
    assert len(lines) == 12 and "19 more" in lines[-1] and lines[-1].endswith(" 63.3 %")
    spots = np.arange(30, dtype=np.uint8).reshape(2, 15)
    assert "?" in printed(ClassMap(spots, many, class_colours(30), (1, 1), [(0, 0)]), no_color=True)


@pytest.mark.parametrize(("width", "outlined"), [(40, True), (8, False)])
def test_cells_that_were_read_are_outlined_on_heat_where_they_are_large_enough(width, outlined):
    heat = HeatMap(np.arange(16, dtype=np.float32).reshape(4, 4), cells=[(1, 1)], max_width=width)
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="truecolor")
    pixels = heat._pixels(width, width)
    white = (pixels == 255).all(axis=-1)
    side = width // 4
    assert heat.outlines(console.options) == outlined == white.any()
    if outlined:
        assert white.sum() == 4 * (side - 1) and not white[side + 1 : 2 * side - 1, side + 1 : 2 * side - 1].any()
    console.print(HeatLegend(heat))
    assert ("outlined" in console.file.getvalue()) == outlined
