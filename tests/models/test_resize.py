"""Bilinear resizing equals torch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lookwhere_cli.models.resize import resize_bilinear

SIDES = st.integers(1, 40)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**31))
def test_equals_torch(rows, columns, wanted_rows, wanted_columns, seed):
    maps = np.random.default_rng(seed).normal(size=(2, rows, columns, 3)).astype(np.float32)
    ours = resize_bilinear(maps, (wanted_rows, wanted_columns))
    theirs = F.interpolate(
        torch.from_numpy(maps).movedim(-1, 1), size=(wanted_rows, wanted_columns), mode="bilinear", align_corners=False
    )
    assert ours.dtype == np.float32 and ours.shape == (2, wanted_rows, wanted_columns, 3)
    np.testing.assert_allclose(ours, theirs.movedim(1, -1).numpy(), atol=2e-5)


@pytest.mark.parametrize("grid", [(14, 14), (21, 9)])
def test_maps_of_selectors_agree_to_a_millionth(grid):
    maps = np.random.default_rng(0).random((1, 14, 14, 1)).astype(np.float32)
    theirs = F.interpolate(torch.from_numpy(maps).movedim(-1, 1), size=grid, mode="bilinear", align_corners=False)
    assert np.abs(resize_bilinear(maps, grid) - theirs.movedim(1, -1).numpy()).max() <= 1e-6
