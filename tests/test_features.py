from dataclasses import replace

import numpy as np
import pytest

from lookwhere_cli import load
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import UsageError
from tests.models.small import PRUNING, small


def test_they_are_one_token_or_one_for_each_cell(model_folder, files):
    predictor = load(str(model_folder))
    for pooled, dense in zip(predictor.features(files), predictor.features(files, dense=True), strict=True):
        assert pooled.cls.shape == (24,) and pooled.dense is None
        assert dense.dense.shape == (*dense.row.grid, 24) and dense.cls is None
        assert pooled.scores.shape == pooled.row.grid
        assert pooled.cls.dtype == dense.dense.dtype == np.float32


def test_pictures_that_fail_have_an_error_and_no_features(model_folder, files):
    good, bad = load(str(model_folder)).features([files[0], "nowhere.jpg"])
    assert good.row.error is None and bad.row.error == "'nowhere.jpg' is not there."
    assert bad.cls is None and bad.dense is None and bad.scores is None


def test_with_a_coarse_thumbnail_they_are_of_the_cells(model_folder, files):
    plain, other = load(str(model_folder)), load(str(model_folder), coarse=16)
    for dense in (False, True):
        one, two = (next(predictor.features(files[:1], dense)) for predictor in (plain, other))
        ours, theirs = (two.dense, one.dense) if dense else (two.cls, one.cls)
        assert ours.shape == theirs.shape and not np.allclose(ours, theirs, atol=1e-3)
        assert two.row.macs > one.row.macs and np.array_equal(one.scores, two.scores)


def test_dense_features_of_what_is_left_of_cells_and_coarse_patches_are_refused(tmp_path, files):
    save_model(tmp_path, small(replace(PRUNING, coarse_size=16)))
    predictor = load(str(tmp_path))
    assert next(predictor.features(files[:1])).cls is not None
    with pytest.raises(UsageError, match="leave --coarse out"):
        predictor.features(files, dense=True)
