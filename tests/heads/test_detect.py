"""From candidates to boxes: pixels as displayed, thresholds, merging, classes, labels of the picture as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.detect import SCORED_FROM, DetectHead, in_pixels
from lookwhere_cli.images.frame import Mode, Reading
from lookwhere_cli.images.view import View, view_of
from lookwhere_cli.metrics.scores import TrueBoxes, Truth
from lookwhere_cli.metrics.several_labels import SeveralLabelsScorer
from lookwhere_cli.options import Options
from lookwhere_cli.probabilities import sigmoid
from tests.models.small import DETECTING

HEAD = DetectHead(DETECTING)  # cat, dog, bird
NEVER = -20.0


def view(height: int = 60, width: int = 90, mode: Mode = "whole", size: int = 24) -> View:
    return view_of(np.zeros((height, width, 3), np.uint8), Reading(4, size, mode))


def candidates(*found: tuple[list[float], dict[int, float]]) -> NDArray[np.float32]:
    """Candidates with a box in cells and the scores of some classes before the sigmoid."""
    made = np.full((len(found), 9), NEVER, np.float32)
    for row, (box, scores) in zip(made, found, strict=True):
        row[:4], row[4:6] = box, 0
        for index, score in scores.items():
            row[6 + index] = score
    return made


def test_boxes_are_in_pixels_of_the_picture() -> None:
    seen = view()
    assert seen.grid == (5, 7)
    found = HEAD.decode(candidates(([1, 1, 3, 2], {1: 2.0})), seen).detections
    assert found.boxes[0].tolist() == pytest.approx([90 / 7, 12, 270 / 7, 24], abs=1e-4)
    (row,) = HEAD.row_fields(HEAD.decode(candidates(([1, 1, 3, 2], {1: 2.0})), seen))["boxes"]
    assert (row.label, row.index, row.score) == ("dog", 1, pytest.approx(1 / (1 + np.exp(-2))))


@settings(max_examples=60)
@given(
    st.integers(20, 200),
    st.integers(20, 200),
    st.sampled_from(["whole", "crop", "stretch"]),
    st.tuples(*[st.floats(0.125, 0.875, width=32)] * 2),
)
def test_a_cell_of_the_grid_becomes_its_pixels_in_every_mode(
    height: int, width: int, mode: Mode, place: tuple[float, float]
) -> None:
    seen = view(height, width, mode)
    left, top, right, bottom = seen.box
    rows, columns = seen.grid
    x, y = place[0] * columns, place[1] * rows
    point = in_pixels(np.array([[x, y, x, y]], np.float32), seen)[0]
    assert point[0] == pytest.approx(left + place[0] * (right - left), abs=1e-2)
    assert point[1] == pytest.approx(top + place[1] * (bottom - top), abs=1e-2)


def test_boxes_are_clipped_to_the_picture_and_those_beyond_it_dropped() -> None:
    made = candidates(([-2, -1, 3, 9], {0: 3.0}), ([8, 1, 9, 2], {0: 2.0}), ([1, 6, 2, 7], {0: 2.0}))
    found = HEAD.decode(made, view()).detections
    assert len(found) == 1
    assert found.boxes[0].tolist() == pytest.approx([0, 0, 270 / 7, 60], abs=1e-4)


def test_low_scores_are_left_out_and_a_point_may_have_two_classes() -> None:
    made = candidates(([1, 1, 2, 2], {0: 3.0, 2: 1.0}), ([3, 3, 4, 4], {1: -2.0}))
    assert [one.label for one in HEAD.decode(made, view()).detections] == ["cat", "bird"]
    every = DetectHead(DETECTING, conf=0.1).decode(made, view()).detections
    assert [one.label for one in every] == ["cat", "bird", "dog"]


def test_boxes_of_one_thing_are_merged_and_those_alike_averaged_by_score() -> None:
    made = candidates(([1, 1, 3, 3], {0: 2.0}), ([1.2, 1, 3.2, 3], {0: 1.0}), ([1, 1, 3, 3], {1: 1.5}))
    found = HEAD.decode(made, view()).detections
    assert [one.label for one in found] == ["cat", "dog"]
    weights = sigmoid(np.array([2.0, 1.0]))
    assert found.boxes[0, 0] == pytest.approx(np.average([1, 1.2], weights=weights) * 90 / 7, abs=1e-3)
    separate = DetectHead(DETECTING, iou=1.0).decode(made, view()).detections
    assert len(separate) == 3


def test_a_cut_is_noted() -> None:
    made = candidates(*(([x, 1, x + 0.5, 2], {0: 1.0 + x}) for x in range(6)))
    result = DetectHead(DETECTING, limit=4).decode(made, view())
    assert result.is_cut and len(result.detections) == 4
    assert DetectHead(DETECTING, limit=4).row_fields(result)["note"] == (
        "more than 4 boxes; those with the lowest scores were left out"
    )
    whole = DetectHead(DETECTING, limit=6).decode(made, view())
    assert not whole.is_cut and "note" not in HEAD.row_fields(whole)


def test_only_some_classes_are_looked_for() -> None:
    made = candidates(([1, 1, 2, 2], {0: 3.0, 2: 1.0}))
    head = HEAD.with_options(Options(only=("bird",), conf=0.1, iou=0.3, max_boxes=7), "my-model")
    assert (head.conf, head.iou, head.limit) == (0.1, 0.3, 7)
    assert [one.label for one in head.decode(made, view()).detections] == ["bird"]
    with pytest.raises(UsageError, match="'my-model' has no class 'brid'; it has, for instance, bird"):
        HEAD.with_options(Options(only=("brid",)), "my-model")


def test_a_picture_has_the_labels_of_its_best_boxes() -> None:
    made = candidates(([1, 1, 2, 2], {0: 1.0, 1: -3.0}), ([3, 3, 4, 4], {0: 0.0, 1: 2.0}))
    labels = HEAD.picture_labels(made)
    assert [one.label for one in labels] == ["dog", "cat", "bird"]
    assert [one.probability for one in labels[:2]] == pytest.approx(sigmoid(np.array([2.0, 1.0])).tolist())
    assert HEAD.labeller.decode(made, view()) == labels
    assert HEAD.labeller.row_fields(labels) == {"labels": labels}
    grid = DETECTING.grid
    assert HEAD.labeller.count_macs(DETECTING, grid, (3, 3), 4, 0) == HEAD.count_macs(DETECTING, grid, (3, 3), 4, 0)


def test_labels_of_pictures_are_scored_by_the_best_boxes() -> None:
    scored = HEAD.scored_by("multi")
    scored.check_data("multi", "crop", "my-model")
    assert isinstance(scored.scorer(np.arange(3)), SeveralLabelsScorer)
    made = candidates(([1, 1, 2, 2], {0: 1.0}))
    assert scored.measure(made, truth(), view()).tolist() == pytest.approx(sigmoid(made[0, 6:]).tolist())
    assert HEAD.scored_by("boxes") is HEAD


def truth() -> Truth:
    objects = TrueBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))
    return Truth((), lambda: np.zeros((1, 1), np.int64), objects)


def test_boxes_are_scored_down_to_low_scores_whatever_the_user_shows() -> None:
    made = candidates(([1, 1, 2, 2], {0: 3.0}), ([3, 3, 4, 4], {1: -4.0}), ([5, 3, 6, 4], {1: -7.0}))
    measured = DetectHead(DETECTING, conf=0.9, limit=1).measure(made, truth(), view())
    assert measured.shape == (2, 6) and measured.dtype == np.float32
    assert measured[:, 5].tolist() == [0, 1] and (measured[:, 4] >= SCORED_FROM).all()


def test_boxes_need_pictures_that_are_read_whole() -> None:
    with pytest.raises(UsageError, match="read the picture whole"):
        HEAD.check_data("boxes", "crop", "my-model")


def test_nothing_is_found_in_nothing() -> None:
    found = HEAD.decode(candidates(([1, 1, 2, 2], {})), view())
    assert len(found.detections) == 0 and HEAD.row_fields(found) == {"boxes": ()}
