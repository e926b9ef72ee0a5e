"""A full ViT on tiles: which tiles there are, what they cost, and that merging loses nothing that is not cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.errors import UsageError
from lookwhere_cli.evaluation.evaluate import EvaluationPlan, evaluate
from lookwhere_cli.evaluation.tiles import tile_corners, tiled
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.scores import TrueBoxes
from tests.evaluation.models import DETECTS, DETECTS_FULL, FULL, amounts, boxes, no_progress, save


@given(st.integers(1, 200), st.integers(1, 200), st.integers(8, 64), st.floats(0, 0.9))
def test_tiles_cover_the_picture_and_stay_in_it(height: int, width: int, side: int, overlap: float) -> None:
    seen = np.zeros((height, width), bool)
    for left, top in tile_corners((height, width), side, overlap):
        assert 0 <= left <= max(0, width - side) and 0 <= top <= max(0, height - side)
        seen[top : top + side, left : left + side] = True
    assert seen.all()


def test_neighbours_overlap_by_the_share_and_the_last_tile_ends_with_the_picture() -> None:
    assert tile_corners((20, 52), 20, 0.2).tolist() == [[0, 0], [16, 0], [32, 0]]
    assert tile_corners((20, 50), 20, 0.2).tolist() == [[0, 0], [16, 0], [30, 0]]
    assert tile_corners((15, 10), 20, 0.2).tolist() == [[0, 0]]


def test_a_picture_of_one_tile_is_answered_as_without_tiles(tmp_path: Path) -> None:
    pipeline = load(save(tmp_path / "model", DETECTS_FULL), size=24).pipeline
    pixels = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tiles = tiled(pipeline, 24, 0.2)
    (one,) = tiles.measure([str(tmp_path / "a.png")])
    assert not isinstance(one, str)
    labelled = LabelledSet("boxes", ("cat",), (Example(str(tmp_path / "a.png"), objects=_nothing()),), tmp_path)
    whole = evaluate(EvaluationPlan(pipeline, amounts(1.0), timed=0, tiles=tiles), labelled, no_progress)
    assert one.outcomes[0].shape[1] == 6 and len(one.outcomes[0])
    by = {row.chosen_by: row for row in whole.rows}
    assert by["tiles"].costs == by["all"].costs


def _nothing() -> TrueBoxes:
    return TrueBoxes(np.array([[1, 1, 9, 9]], np.float32), np.zeros(1, np.int64), np.zeros(1, bool))


def test_every_tile_costs_a_pass_and_the_table_has_all_rows(tmp_path: Path) -> None:
    labelled = boxes(tmp_path / "data")
    full = load(save(tmp_path / "full", DETECTS_FULL)).pipeline
    tiles = tiled(full, 24, 0.25)
    plan = EvaluationPlan(load(save(tmp_path / "model", DETECTS)).pipeline, amounts(0.25), full, timed=1, tiles=tiles)
    found = evaluate(plan, labelled, no_progress)
    assert [row.chosen_by for row in found.rows] == ["selector", "random", "centre", "downscaled", "tiles", "full"]
    row, answered = found.rows[4], tiles.answered
    assert row.size == 24 and row.seconds is not None and row.seconds > 0
    assert {answer.tiles for answer in answered} == {6, 9}  # 40 x 60 pixels, 50 x 50
    each = full.head.count_macs(full.config, (6, 6), (1, 1), 36, 0)
    assert row.costs.macs == pytest.approx(np.mean([answer.tiles for answer in answered]) * each)
    assert row.costs.cells == pytest.approx(np.mean([answer.tiles for answer in answered]) * 36)
    assert all(0 <= one.scores.metrics["ap"].value <= 1 for one in found.rows)


def test_a_picture_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    tiles = tiled(load(save(tmp_path / "model", DETECTS_FULL)).pipeline, 24, 0.2)
    (tmp_path / "a.png").write_text("no picture")
    (sentence,) = tiles.measure([str(tmp_path / "a.png")])
    assert isinstance(sentence, str) and "a.png" in sentence


@pytest.mark.parametrize(
    ("side", "overlap", "words"),
    [(25, 0.2, "tiles' size is 25 pixels"), (24, 1.0, "--overlap is 1"), (24, -0.1, "--overlap is -0.1")],
)
def test_impossible_tiles_are_refused(side: int, overlap: float, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        tiled(load(save(tmp_path / "model", DETECTS_FULL)).pipeline, side, overlap)


def test_tiles_are_for_boxes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--tiles merges boxes"):
        tiled(load(save(tmp_path / "model", FULL)).pipeline, 24, 0.2)
