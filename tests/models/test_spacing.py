"""Every other cell has an advantage: those that are read lie further apart, unless the map is steep."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.models.config import Config
from lookwhere_cli.models.selector import choose, spaced
from lookwhere_cli.models.spacing import chessboard
from lookwhere_cli.strategies.base import choose_cells, spaced_scores

SIDES = st.integers(1, 9)


@given(SIDES, SIDES)
def test_neighbours_differ_and_the_first_cell_has_no_advantage(rows: int, columns: int) -> None:
    board = chessboard((rows, columns)).reshape(rows, columns)
    assert board[0, 0] == 0 and set(board.ravel()) <= {0, 1}
    assert (np.diff(board, axis=0) != 0).all() and (np.diff(board, axis=1) != 0).all()


@given(SIDES, SIDES)
def test_cells_of_a_flat_map_are_no_neighbours(rows: int, columns: int) -> None:
    flat = np.zeros((1, rows * columns), np.float32)
    cells = choose_cells(spaced_scores(flat, (rows, columns), 0.5), rows * columns // 2)[0]
    places = np.stack(np.divmod(cells, columns))
    distances = np.abs(places[:, :, None] - places[:, None]).sum(0) + 2 * np.eye(len(cells), dtype=np.int64)
    assert (distances >= 2).all()


def test_a_steep_map_decides_alone() -> None:
    steep = np.random.default_rng(0).permutation(12).astype(np.float32)[None]
    assert (choose_cells(spaced_scores(steep, (3, 4), 0.9), 12) == choose_cells(steep, 12)).all()


def test_equal_scores_are_ordered_by_cell() -> None:
    assert choose_cells(np.array([[0.1, 0.9, 0.5, 0.9]], np.float32), 4).tolist() == [[1, 3, 2, 0]]


@given(SIDES, SIDES, st.floats(0, 3))
def test_training_and_inference_choose_the_same_cells(rows: int, columns: int, spacing: float) -> None:
    scores = np.random.default_rng(rows).random((2, rows * columns), np.float32)
    theirs = choose(spaced(torch.from_numpy(scores), (rows, columns), spacing), rows * columns)
    assert (choose_cells(spaced_scores(scores, (rows, columns), spacing), rows * columns) == theirs.numpy()).all()


def test_no_spacing_is_left_out_of_the_config_as_by_older_versions() -> None:
    assert "map_spacing" not in Config().to_dict()
    assert Config.from_dict(Config(map_spacing=0.5).to_dict()) == Config(map_spacing=0.5)


@pytest.mark.parametrize("spacing", [-0.5, 100.5, float("nan"), float("inf")])
def test_an_impossible_spacing_is_refused(spacing: float) -> None:
    with pytest.raises(ValueError, match="map_spacing is"):
        Config(map_spacing=spacing)
