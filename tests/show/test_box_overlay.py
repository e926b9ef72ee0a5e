"""Overlays with boxes: outlines around things, labels that do not cover each other, cells that were read."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFont

from lookwhere_cli.output.masks.run_lengths import encode_part
from lookwhere_cli.output.rows import Detection
from lookwhere_cli.show.box_overlay import box_overlay, place_tags
from lookwhere_cli.show.colours import colour_of_class

FONT = ImageFont.load_default(12)


def is_class(pixels, index):
    return (pixels == np.array(colour_of_class(index))).all(axis=-1)


def test_pixels_of_a_box_stay_and_cells_that_were_not_read_are_dimmed():
    picture = Image.new("RGB", (400, 300), (200, 100, 50))
    found = [Detection("ship", 2, 0.87, (100.0, 100.0, 150.0, 140.0))]
    cells = [(row, column) for row in range(3, 6) for column in range(3, 6)]
    canvas = np.asarray(box_overlay(picture, found, (10, 13), cells, (0, 0, 400, 300), "9 of 130 cells read"))
    assert canvas.shape[0] > 300 and canvas.shape[1] == 400
    assert (canvas[100:140, 100:150] == (200, 100, 50)).all()
    assert (canvas[250, 350] < (130, 80, 60)).all()
    rows, columns = np.nonzero(is_class(canvas[97:300], 2)[:, :160])
    assert rows.max() + 97 == 142 and columns.min() == 97


def test_pixels_of_masks_are_tinted():
    picture, part = Image.new("RGB", (400, 300), (200, 100, 50)), np.zeros((40, 50), bool)
    part[10:20, 10:30] = True
    found = [Detection("ship", 2, 0.87, (100.0, 100.0, 150.0, 140.0), encode_part(part, 100, 100, (300, 400)))]
    canvas = np.asarray(box_overlay(picture, found, (1, 1), [(0, 0)], (0, 0, 400, 300), ""))
    inside = canvas[100:140, 100:150]
    assert (np.abs(inside[part] - np.mean([colour_of_class(2), (200, 100, 50)], axis=0)) <= 1).all()
    assert (inside[~part] == (200, 100, 50)).all()


@st.composite
def crowds(draw):
    boxes = []
    for index in range(draw(st.integers(1, 40))):
        left, top = draw(st.integers(0, 280)), draw(st.integers(0, 180))
        right, bottom = draw(st.integers(left + 1, 300)), draw(st.integers(top + 1, 200))
        boxes.append(Detection("class " * draw(st.integers(1, 9)), index % 5, 0.5, (left, top, right, bottom)))
    return boxes


@given(crowds())
def test_labels_do_not_cover_each_other_and_stay_inside(boxes):
    tags = place_tags(boxes, FONT, (300, 200), 2)
    for place, tag in enumerate(tags):
        left, top, right, bottom = tag.area
        assert 0 <= left < right <= 300 and 0 <= top < bottom <= 200
        for other in tags[:place]:
            a, b, c, d = other.area
            assert min(right, c) <= max(left, a) or min(bottom, d) <= max(top, b)


def test_a_label_avoids_other_boxes():
    """Above the lower box lies the upper one, so its label goes below."""
    boxes = [Detection("up", 0, 0.9, (50, 40, 110, 80)), Detection("down", 1, 0.8, (50, 84, 110, 120))]
    up, down = place_tags(boxes, FONT, (300, 200), 2)
    assert up.area[3] <= 40
    assert down.area[1] >= 120
    assert (up.text, down.text) == ("up 90%", "down 80%")


def test_nothing_found_and_tiny_pictures():
    canvas = box_overlay(Image.new("L", (3, 2)), [], (1, 1), [(0, 0)], (0, 0, 3, 2), "Nothing.")
    assert canvas.width >= 300
    box_overlay(Image.new("L", (3, 2)), [Detection("x\n" * 100, 700, 1.0, (0, 0, 3, 2))], (1, 1), [], (0, 0, 3, 2), "")
