"""Which coarse patches are read beside chosen cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.models.chosen import Grid
from lookwhere_cli.models.coarse import count_coarse, covered_areas, least_covered
from lookwhere_cli.models.config import Config
from tests.models.small import ADDING, LABELLED, SEGMENTING

grids = st.tuples(st.integers(1, 7), st.integers(1, 7))


def cells_of(grid: Grid, k: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(grid[0] * grid[1])[:k] for _ in range(2)])


@given(grids, grids, st.data())
def test_areas_are_those_of_a_drawing_by_pixels(grid: Grid, coarse: Grid, data: st.DataObject) -> None:
    cells = cells_of(grid, data.draw(st.integers(1, grid[0] * grid[1])), data.draw(st.integers(0, 9)))
    found = covered_areas(cells, grid, coarse)
    for one, areas in zip(cells, found, strict=True):
        drawn = np.isin(np.arange(grid[0] * grid[1]), one).reshape(grid)
        drawn = drawn.repeat(coarse[0], axis=0).repeat(coarse[1], axis=1)
        pixels = drawn.reshape(coarse[0], grid[0], coarse[1], grid[1])
        assert np.array_equal(areas, pixels.sum(axis=(1, 3)).ravel())


@given(grids, grids, st.data())
def test_no_patch_that_is_left_out_is_covered_less_than_one_that_is_read(
    grid: Grid, coarse: Grid, data: st.DataObject
) -> None:
    cells = cells_of(grid, data.draw(st.integers(1, grid[0] * grid[1])), 3)
    count = data.draw(st.integers(1, coarse[0] * coarse[1]))
    for areas, read in zip(covered_areas(cells, grid, coarse), least_covered(cells, grid, coarse, count), strict=True):
        assert len(set(read)) == count and list(read) == sorted(read)
        others = np.delete(areas, read)
        assert not others.size or areas[read].max() <= others.min()


def test_patches_are_read_where_no_cell_is() -> None:
    left_half = np.array([[row * 14 + column for row in range(14) for column in range(7)]])
    read = least_covered(left_half, (14, 14), (8, 8), 32)[0]
    assert set(read % 8) == {4, 5, 6, 7}


@pytest.mark.parametrize(("k", "count"), [(0, 64), (49, 48), (92, 34), (144, 17), (196, 0)])
def test_the_share_that_is_read_is_the_share_of_cells_that_is_not(k: int, count: int) -> None:
    assert count_coarse(replace(LABELLED, coarse_patches="unread"), 64, k, 196) == count
    assert count_coarse(LABELLED, 64, k, 196) == 64


def test_an_answer_for_every_place_needs_all_patches() -> None:
    for config in (SEGMENTING, replace(LABELLED, pool="max"), ADDING):
        with pytest.raises(ValueError, match="needs coarse_patches 'all'"):
            replace(config, coarse_patches="unread")


def test_files_of_configs_leave_out_what_changes_nothing() -> None:
    assert not {"coarse_patches", "coarse_k"} & set(LABELLED.to_dict())
    config = replace(LABELLED, coarse_patches="unread", coarse_k=0.75)
    assert config.to_dict()["coarse_k"] == {"share": 0.75}
    assert Config.from_dict(config.to_dict()) == config
