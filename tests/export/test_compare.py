"""Comparison of two runtimes: ties, moved cells, what is within tolerance."""

from types import SimpleNamespace

import numpy as np
import pytest

from lookwhere_cli.export.compare import TIE, Differences, Tolerance, count_moved
from lookwhere_cli.export.heads.compare import compare_points


def test_cells_that_tie_with_the_last_one_have_not_moved():
    ours = np.array([0.9, 0.5, 0.5 + TIE / 2, 0.1], np.float32)
    assert count_moved(ours, ours[[0, 2, 1, 3]], 2) == 0


def test_cells_that_moved_are_counted():
    ours = np.array([0.9, 0.8, 0.5, 0.1], np.float32)
    assert count_moved(ours, np.array([0.1, 0.8, 0.5, 0.2], np.float32), 2) == 1
    assert count_moved(ours, ours[::-1], 2) == 2


def test_each_kind_of_difference_has_its_tolerance():
    tolerance = Tolerance(output=1e-3, cells=0.1, labels=0.0, boxes=0.1)
    fine = Differences(3, 0, 1e-4, 1, 30, 0, 3, 0.05)
    assert fine.within(tolerance)
    for other in ({"output": 0.1}, {"output": float("nan")}, {"cells": 4}, {"labels": 1}, {"boxes": 0.2}):
        assert not Differences(**(fine.to_dict() | other)).within(tolerance)


def test_ties_are_relative_to_large_scores():
    ours = np.array([-30.0, -1.0, -1.0 - 20 * TIE], np.float32)
    assert count_moved(ours, ours[[0, 2, 1]], 1) == 0
    assert count_moved(ours / 30, (ours / 30)[[0, 2, 1]], 1) == 0
    assert count_moved(ours[1:], ours[[2, 1]], 1) == 1


HEAD = SimpleNamespace(config=SimpleNamespace(labels=("cat", "dog")))
VIEW = SimpleNamespace(box=(0, 0, 400, 200), size=(200, 400), grid=(10, 10))
POINTS = np.array(
    [
        # box in cells, point, scores, a number of masks
        [1, 1, 2, 3, 1.5, 1.5, 2.0, -3.0, 0.5],
        [4, 4, 6, 6, 5.5, 5.5, -9.0, -9.0, 0.5],
    ],
    np.float32,
)


@pytest.mark.parametrize(
    ("place", "step", "expected"),
    [
        ((0, 0), 0.1, (0.0, 0, 4.0)),  # a cell is 40 pixels wide
        ((0, 1), 0.1, (0.0, 0, 2.0)),  # and 20 high
        ((1, 0), 0.1, (0.0, 0, 0.0)),  # no box that anybody sees
        ((0, 7), 6.0, (6.0, 1, 0.0)),
        ((1, 6), 0.5, (0.5, 0, 0.0)),
        ((0, 8), 0.25, (0.25, 0, 0.0)),
    ],
)
def test_boxes_are_compared_in_pixels_where_scores_matter(place, step, expected):
    theirs = POINTS.copy()
    theirs[place] += step
    found = compare_points(HEAD, POINTS, theirs, VIEW)
    assert (found.output, found.labels, found.boxes) == pytest.approx(expected, abs=1e-4)
    assert found.labels_compared == 1


def test_numbers_that_are_none_differ():
    theirs = POINTS.copy()
    theirs[1, 6] = np.nan
    assert np.isnan(compare_points(HEAD, POINTS, theirs, VIEW).output)
