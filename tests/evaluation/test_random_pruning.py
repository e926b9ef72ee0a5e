"""Models that prune are measured beside the same weights that drop random cells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.errors import UsageError
from lookwhere_cli.evaluation.evaluate import EvaluationPlan, evaluate
from lookwhere_cli.evaluation.random_pruning import pruned_at_random
from lookwhere_cli.loading import load
from lookwhere_cli.models.config import Config
from lookwhere_cli.options import Options
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.scoring.passes import CellPolicy, run_policies
from tests.evaluation.models import FULL, amounts, boxes, no_progress, save, single_labels
from tests.models.small import DETECTING, PRUNING

CROPR = replace(PRUNING, selector_depth=0, prefix="own", k=1.0)
DETECTS_CROPR = replace(DETECTING, extractor_depth=5, selector_depth=0, prefix="own", k=1.0, prune=3, prune_fusion=True)
Data = Callable[[Path], LabelledSet]


@pytest.mark.parametrize(("config", "data"), [(CROPR, single_labels), (DETECTS_CROPR, boxes)])
def test_a_model_of_cropr_has_a_row_beside_its_own(tmp_path: Path, config: Config, data: Data) -> None:
    labelled, model = data(tmp_path / "data"), save(tmp_path / "model", config)
    own, at_random = load(model).pipeline, pruned_at_random(model, Options()).pipeline
    plan = EvaluationPlan(own, amounts(1.0), timed=1, at_random=at_random)
    rows = evaluate(plan, labelled, no_progress).rows
    assert [row.chosen_by for row in rows] == ["all", "pruned at random"]
    assert rows[0].costs == rows[1].costs
    assert rows[0].costs.macs < rows[0].costs.macs_full
    assert all(row.seconds for row in rows)
    outputs = [outputs_of(pipeline, labelled) for pipeline in (own, at_random)]
    assert outputs[0].shape == outputs[1].shape and not np.allclose(*outputs)  # other cells were dropped
    assert np.array_equal(outputs[0], outputs_of(load(model).pipeline, labelled))  # the model itself is as it was


def test_every_amount_of_a_model_with_a_selector_has_a_row(tmp_path: Path) -> None:
    labelled, model = single_labels(tmp_path / "data"), save(tmp_path / "model", PRUNING)
    at_random = pruned_at_random(model, Options()).pipeline
    plan = EvaluationPlan(load(model).pipeline, amounts(0.5, 1.0), timed=0, at_random=at_random)
    rows = {(row.chosen_by, row.k): row for row in evaluate(plan, labelled, no_progress).rows}
    for chosen_by, k in zip(("selector", "all"), amounts(0.5, 1.0), strict=True):
        assert rows["pruned at random", k].costs == rows[chosen_by, k].costs


def test_the_schedule_is_that_of_the_options_or_of_the_model(tmp_path: Path) -> None:
    labelled, model = single_labels(tmp_path / "data"), save(tmp_path / "model", CROPR)
    picture = labelled.examples[0].path
    for options in (Options(), Options(prune=0.8)):
        assert pruned_at_random(model, options).classify(picture).macs == load(model, options).classify(picture).macs
    full = save(tmp_path / "full", replace(FULL, extractor_depth=5))
    assert pruned_at_random(full, Options(prune=0.8)).classify(picture).macs < load(full).classify(picture).macs
    with pytest.raises(UsageError, match="give larger shares with --prune"):
        pruned_at_random(full, Options(prune=0.01))


def outputs_of(pipeline: Pipeline, labelled: LabelledSet) -> NDArray[np.float32]:
    """What the model returns of each picture, one after the other."""
    paths = [example.path for example in labelled.examples]
    found = run_policies(pipeline, [CellPolicy("selector", ALL_CELLS)], lambda output, view: output, paths)
    return np.concatenate([one.outcomes[0].ravel() for one in found if not isinstance(one, str)])
