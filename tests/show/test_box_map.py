"""The terminal's map with boxes, and the table of what was found, at several widths."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lookwhere_cli.output.rows import Detection
from lookwhere_cli.show.box_map import BoxMap, box_table
from lookwhere_cli.show.colours import colour_of_class
from tests.show.test_terminal import drawn, printed

GREY = np.full((60, 90, 3), 128, np.uint8)
FOUND = (
    Detection("speed limit", 3, 0.91, (10.0, 10.0, 30.0, 30.0)),
    Detection("danger", 1, 0.5, (60.2, 20.0, 89.5, 59.9)),
)


def box_map(boxes=FOUND, size=(60, 90), **options):
    return BoxMap(GREY, size, boxes, (6, 9), [(0, 0), (1, 1)], **options)


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def is_class(pixels, index):
    return (pixels == np.array(colour_of_class(index))).all(axis=-1)


def test_outlines_are_where_the_boxes_are():
    pixels = drawn(box_map(max_width=90, max_height=30), 90)
    assert pixels.shape == (60, 90, 3)
    outline = np.zeros((60, 90), bool)
    outline[10:30, 10:30] = True
    outline[11:29, 11:29] = False
    assert (is_class(pixels, 3) == outline).all()
    rows, columns = np.nonzero(is_class(pixels, 1))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (20, 59, 60, 89)
    assert (pixels[15, 15] == 128).all() and (pixels[40, 40] < 60).all()  # a cell that was read, and one that was not


@given(
    left=st.floats(0, 639),
    top=st.floats(0, 479),
    width=st.floats(0.5, 640),
    height=st.floats(0.5, 480),
    columns=st.integers(2, 100),
)
def test_every_box_is_visible_at_every_width(left, top, width, height, columns):
    box = (left, top, min(left + width, 640.0), min(top + height, 480.0))
    shown = box_map((Detection("ship", 0, 0.5, box),), (480, 640))
    assert is_class(drawn(shown, columns), 0).any()
    assert "A" in printed(shown, columns, no_color=True)


def test_the_best_box_lies_above_the_others():
    same = [Detection("a", 0, 0.9, (10, 10, 40, 40)), Detection("b", 1, 0.8, (10, 10, 40, 40))]
    pixels = drawn(box_map(same))
    assert is_class(pixels, 0).any() and not is_class(pixels, 1).any()


def test_without_colours_outlines_are_letters_as_in_the_table():
    text = printed(box_map(max_width=45, max_height=15), 45, no_color=True)
    assert text.splitlines()[2][5:15] == "A" * 10
    table = printed(box_table(FOUND), no_color=True)
    assert [line.split()[0] for line in plain(table).splitlines()] == ["A", "B"]
    assert set("AB") <= set(printed(box_map(), encoding="ascii", no_color=True))


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("colour", ["truecolor", None])
def test_the_table_fits_and_has_what_matters(width, colour):
    found = [Detection(f"a class with a long name {index}\n", index, 0.5, (1234, 5, 1270, 40)) for index in range(3)]
    text = printed(box_table(found), width, color_system=colour)
    lines = plain(text).splitlines()
    assert all(cell_len(line) <= width for line in lines)
    assert len(lines) == 3 and all("50.0 %" in line for line in lines)
    if width >= 80:
        assert "36 x 35 px at 1234, 5" in lines[0] and r"name 0\n" in lines[0]


def test_the_last_line_counts_the_rest():
    found = [Detection(f"c{index % 8}", index % 8, 0.5, (0, 0, 5, 5)) for index in range(40)]
    lines = printed(box_table(found, max_lines=4), no_color=True).splitlines()
    assert len(lines) == 4
    assert plain(lines[-1]) == "37 more: c3 (5), c4 (5), c5 (5), c6 (5), c7 (5), c0 (4), ..."
    assert len(printed(box_table(found[:4], max_lines=4)).splitlines()) == 4
    assert plain(printed(box_table([]), no_color=True)).strip() == "Nothing was found."
