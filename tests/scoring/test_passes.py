"""Passes over pictures: the answers are those of `classify`, whatever else is in a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lookwhere_cli import stream
from lookwhere_cli.amounts import ALL_CELLS, Amount
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import ModelError, PictureError
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.images.view import View
from lookwhere_cli.loading import load
from lookwhere_cli.output.rows import Row
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.probabilities import softmax
from lookwhere_cli.scoring.choosers import CHOOSERS
from lookwhere_cli.scoring.passes import CellPolicy, Measured, StagePass, run_policies
from lookwhere_cli.scoring.variants import with_thresholds
from tests.models.small import LABELLED, small

QUARTER = CellPolicy("selector", Amount.share(0.25))
ALL = CellPolicy("selector", ALL_CELLS)


def probabilities(output: NDArray[np.float32], path: str) -> NDArray[Any]:
    return softmax(output)


def answers(pipeline: Pipeline, policies: Sequence[CellPolicy], paths: Sequence[str]) -> NDArray[Any]:
    """Probabilities (pictures, policies, labels)."""
    measured = run_policies(pipeline, policies, probabilities, paths)
    return np.stack([np.stack(one.outcomes) for one in measured if isinstance(one, Measured)])


def check_row(row: Row, answer: NDArray[Any]) -> None:
    assert row.labels
    for label in row.labels:
        assert answer[label.index] == pytest.approx(label.probability, abs=1e-5)


@pytest.fixture
def paths(photos: Path) -> list[str]:
    return find_pictures([str(photos)])


def test_the_selectors_cells_lead_to_the_answers_of_classify(model_folder: Path, paths: list[str]) -> None:
    predictor = load(str(model_folder), k=0.25)
    found = answers(predictor.pipeline, [QUARTER, ALL], paths)
    for answer, row in zip(found, predictor.classify(paths), strict=True):
        check_row(row, answer[0])
        assert (answer[0] != answer[1]).any()


def test_a_models_spacing_decides_in_every_pass(paths: list[str], tmp_path: Path) -> None:
    """A spacing beyond all scores: cells with an advantage are read, and no other."""
    spaced = replace(LABELLED, map_spacing=100.0, looks=(Amount.cells(4), Amount.cells(9)), thresholds=(2.0,))
    save_model(tmp_path / "spaced", small(spaced))
    predictor = load(str(tmp_path / "spaced"), k=9)
    rows = list(predictor.classify(paths))
    explained = [predictor.explain(path).row for path in paths]
    in_looks = list(load(str(tmp_path / "spaced"), k="auto").classify(paths))
    for row in (*rows, *explained, *in_looks):
        assert row.k == 9 and all((line + column) % 2 for line, column in row.cells)
    found = answers(predictor.pipeline, [CellPolicy("selector", Amount.cells(9))], paths)
    for answer, row in zip(found, rows, strict=True):
        check_row(row, answer[0])


def test_answers_do_not_depend_on_the_other_pictures_in_a_batch(model_folder: Path, paths: list[str]) -> None:
    policies = [CellPolicy(chooser, Amount.cells(5)) for chooser in CHOOSERS]
    together = answers(load(str(model_folder), batch_size=5).pipeline, policies, paths)
    alone = answers(load(str(model_folder), batch_size=1).pipeline, policies, paths[::-1])[::-1]
    assert np.allclose(together, alone, atol=1e-5)
    assert len(np.unique(together[0], axis=0)) == len(CHOOSERS)


def test_the_coarse_thumbnail_goes_with_every_policy(
    model_folder: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = [QUARTER, CellPolicy("random", Amount.share(0.25))]
    plain = answers(load(str(model_folder)).pipeline, policies, paths)
    predictor = load(str(model_folder), coarse=16, k=0.25)
    together = answers(predictor.pipeline, policies, paths)
    assert (plain != together).any(axis=2).all()
    for answer, row in zip(together, predictor.classify(paths), strict=True):
        check_row(row, answer[0])
    monkeypatch.setattr(stream, "ACTIVATIONS", 1)
    assert np.allclose(together, answers(predictor.pipeline, policies, paths), atol=1e-5)


def test_a_large_policy_is_computed_in_parts(
    model_folder: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures share a batch, in which activations for a few of all their cells would not fit."""
    pipeline = load(str(model_folder), k=1).pipeline
    sizes: list[int] = []
    answer = type(pipeline.runtime).answer
    monkeypatch.setattr(
        type(pipeline.runtime), "answer", lambda own, chosen: sizes.append(len(chosen.cells)) or answer(own, chosen)
    )
    tokens = pipeline.config.prefix_tokens + 1
    monkeypatch.setattr(stream, "ACTIVATIONS", 4 * stream.WIDTH * pipeline.config.dim * tokens * 4)
    answers(pipeline, [ALL], paths[:1] * 4)
    assert sizes == [1, 1, 1, 1]
    sizes.clear()
    answers(pipeline, [CellPolicy("selector", Amount.cells(1))], paths[:1] * 4)
    assert sizes == [4]


def test_an_unreadable_picture_is_a_sentence_in_its_place(model_folder: Path, paths: list[str]) -> None:
    pipeline = load(str(model_folder)).pipeline
    first, second = run_policies(pipeline, [ALL], probabilities, [paths[0], "none.png"])
    assert isinstance(first, Measured)
    assert first.size == (40, 60)
    assert isinstance(second, str)
    assert "none.png" in second


def test_unreadable_pixels_cost_no_other_picture_its_answer(
    model_folder: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only cutting shows that the third of four pictures in a batch can't be read."""
    pipeline = load(str(model_folder)).pipeline
    same_grid = paths[::4][:3]
    expected = answers(pipeline, [QUARTER], same_grid)
    patches = View.patches

    def failing(own: View, cells: NDArray[Any]) -> NDArray[np.uint8]:
        if own.path == same_grid[1]:
            raise PictureError("torn")
        return patches(own, cells)

    monkeypatch.setattr(View, "patches", failing)
    first, second, third = run_policies(pipeline, [QUARTER], probabilities, same_grid)
    assert second == "torn"
    assert isinstance(first, Measured) and isinstance(third, Measured)
    assert np.allclose([first.outcomes, third.outcomes], expected[[0, 2]], atol=1e-5)


def test_a_cascade_has_no_policies(cascade_folder: Path) -> None:
    with pytest.raises(ModelError, match="an answer at a fixed number of cells"):
        run_policies(load(str(cascade_folder)).pipeline, [ALL], probabilities, [])


def test_stages_and_exits_are_those_of_classify(cascade_folder: Path, paths: list[str]) -> None:
    predictor = load(str(cascade_folder), batch_size=5)
    confidences = list(StagePass(predictor.pipeline).confidences(paths))
    thresholds = [float(np.median([one.confidences[stage] for one in confidences])) for stage in (0, 1)]
    pipeline = with_thresholds(predictor.pipeline, thresholds)
    stage_pass = StagePass(pipeline)
    assert stage_pass.stages == 3
    measured = list(stage_pass.measure(probabilities, paths))
    rows = list(replace_pipeline(predictor, pipeline).classify(paths))
    assert {row.exit for row in rows} == {1, 2, 3}
    for one, answer, row in zip(confidences, measured, rows, strict=True):
        assert isinstance(answer, Measured) and row.exit is not None
        assert one.macs[row.exit - 1] == row.macs
        assert one.confidences == pytest.approx([outcome.max() for outcome in answer.outcomes[:3]], abs=1e-6)
        assert np.array_equal(answer.outcomes[3], answer.outcomes[row.exit - 1])
        check_row(row, answer.outcomes[3])
    counts = stage_pass.exits
    assert sum(counts.values()) == len(paths)
    assert sum(count * pipeline.strategy.stage_macs(grid)[stage] for (grid, stage), count in counts.items()) == sum(
        row.macs for row in rows
    )
    list(stage_pass.measure(probabilities, paths[:2]))
    assert sum(counts.values()) == 2  # of the last pass only


def test_one_stage_is_no_cascade(model_folder: Path) -> None:
    with pytest.raises(ModelError, match="answers in one stage"):
        StagePass(load(str(model_folder)).pipeline)


def replace_pipeline(predictor: Any, pipeline: Pipeline) -> Any:
    return type(predictor)(replace(pipeline, head=replace(pipeline.head, top=5)))
