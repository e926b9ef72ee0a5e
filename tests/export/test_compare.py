"""Comparison of two runtimes: ties, moved cells, what is within tolerance."""

import numpy as np

from lookwhere_cli.export.compare import TIE, Differences, Tolerance, count_moved


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
