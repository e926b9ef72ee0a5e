"""Scores of cells resized to pixels."""

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lookwhere_cli.heads.segment import classes_at
from tests.models.small import noise

SIZES = st.integers(1, 9)


@settings(deadline=None)  # the first one loads libraries
@given(SIZES, SIZES, SIZES, st.integers(1, 40), st.integers(1, 40))
def test_any_scores_at_any_size(classes, rows, columns, height, width):
    scores = noise(classes, rows, columns)
    found, counts, _ = classes_at(scores.numpy(), height, width)
    resized = F.interpolate(scores[None], size=(height, width), mode="bilinear", align_corners=False)[0]
    chosen = resized.gather(0, torch.from_numpy(found).long()[None])[0]
    assert torch.allclose(chosen, resized.amax(dim=0), atol=1e-4)
    assert counts.tolist() == np.bincount(found.ravel(), minlength=classes).tolist()
