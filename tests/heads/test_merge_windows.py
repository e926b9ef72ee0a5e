"""Boxes of overlapping windows: one for each thing, whole where some window has it whole."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.detections import Detections
from lookwhere_cli.heads.merge_windows import Place, merge_windows

LABELS = ("cat", "dog")
SIZE = (100, 180)
LEFT = Place((0, 0, 100, 100), 1.0, 2.0)
RIGHT = Place((80, 0, 180, 100), 1.0, 2.0)


def found(*boxes: tuple[float, ...]) -> Detections:
    """left, top, right, bottom, score, class."""
    rows = np.array(boxes, np.float32).reshape(-1, 6)
    return Detections.best_first(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64), LABELS)


def merged(left: Detections, right: Detections, iou: float = 0.5) -> list[list[float]]:
    return merge_windows([left, right], [LEFT, RIGHT], SIZE, iou).boxes.tolist()


def test_what_both_windows_have_whole_is_kept_once_as_the_better_one_has_it() -> None:
    assert merged(found((84, 10, 96, 22, 0.6, 0)), found((85, 10, 97, 22, 0.9, 0))) == [[85, 10, 97, 22]]


def test_a_piece_gives_way_to_the_whole_even_if_its_score_is_higher() -> None:
    assert merged(found((90, 10, 100, 40, 0.9, 0)), found((88, 10, 120, 40, 0.5, 0))) == [[88, 10, 120, 40]]
    assert merged(found((90, 10, 100, 40, 0.5, 0)), found((88, 10, 120, 40, 0.9, 0))) == [[88, 10, 120, 40]]


def test_two_pieces_become_the_box_around_them() -> None:
    assert merged(found((30, 10, 100, 40, 0.9, 0)), found((80, 12, 140, 41, 0.5, 0))) == [[30, 10, 140, 41]]


def test_pieces_in_three_windows_become_one_box() -> None:
    middle = Place((80, 0, 180, 100), 1.0, 2.0)
    last = Place((160, 0, 260, 100), 1.0, 2.0)
    pieces = [found((60, 0, 100, 9, 0.9, 0)), found((80, 0, 180, 9, 0.8, 0)), found((160, 0, 200, 9, 0.7, 0))]
    assert merge_windows(pieces, [LEFT, middle, last], (100, 260), 0.5).boxes.tolist() == [[60, 0, 200, 9]]


def test_other_classes_and_boxes_of_one_window_are_left_alone() -> None:
    assert len(merged(found((84, 10, 96, 22, 0.6, 0)), found((84, 10, 96, 22, 0.9, 1)))) == 2
    nested = found((10, 10, 90, 90, 0.9, 0), (20, 20, 40, 40, 0.8, 0))
    assert len(merged(nested, found())) == 2


def test_a_small_thing_in_a_large_one_stays_where_both_are_whole() -> None:
    assert len(merged(found((82, 10, 97, 40, 0.9, 0)), found((84, 12, 90, 20, 0.8, 0)))) == 2


def test_the_edge_of_the_picture_cuts_nothing() -> None:
    small, large = (84, 0, 90, 8, 0.9, 0), (83, 0, 96, 30, 0.8, 0)
    assert len(merged(found(small), found(large))) == 2


@given(st.lists(st.tuples(*[st.integers(0, 90)] * 4, st.integers(1, 99), st.integers(0, 1)), max_size=30))
def test_nothing_is_lost_where_windows_do_not_overlap(values: list[tuple[int, ...]]) -> None:
    boxes = [(x, y, x + 1 + w % 9, y + 1 + h % 9, score / 100, label) for x, y, w, h, score, label in values]
    one, other = found(*boxes), found(*[(box[0] + 200, box[1], box[2] + 200, *box[3:]) for box in boxes])
    far = Place((200, 0, 300, 100), 1.0, 2.0)
    both = merge_windows([one, other], [LEFT, far], (100, 300), 0.5)
    assert len(both) == 2 * len(one)
    assert np.all(np.diff(both.scores) <= 0)
    assert sorted(map(tuple, both.boxes.tolist())) == sorted(map(tuple, [*one.boxes.tolist(), *other.boxes.tolist()]))


@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=20, unique=True),
    st.integers(1, 4),
)
def test_a_grid_of_things_comes_out_as_it_is(things: list[tuple[int, int]], count: int) -> None:
    """Things of 8 pixels, 12 apart, seen in windows of 40 pixels that overlap by 20: each is whole in one of them."""
    truth = [(12 * x + 2.0, 12 * y + 2.0, 12 * x + 10.0, 12 * y + 10.0) for x, y in things]
    windows = [(left, top, left + 40, top + 40) for top in range(0, 61, 20) for left in range(0, 141, 20)]
    pieces, places = [], []
    for number, box in enumerate(windows):
        seen = []
        for left, top, right, bottom in truth:
            inner = (max(left, box[0]), max(top, box[1]), min(right, box[2]), min(bottom, box[3]))
            if inner[0] < inner[2] and inner[1] < inner[3]:
                share = (inner[2] - inner[0]) * (inner[3] - inner[1]) / 64
                seen.append((*inner, 0.5 + share / 4 + number / 1000, 0))
        pieces.append(found(*seen))
        places.append(Place(box, 1.0, 1.0))
    result = merge_windows(pieces, places, (100, 180), 0.5)
    assert sorted(map(tuple, result.boxes.tolist())) == sorted(truth)
