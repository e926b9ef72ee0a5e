"""Costs that follow from the sizes of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookwhere_cli.amounts import Amount
from lookwhere_cli.images.find import find_pictures
from lookwhere_cli.loading import load
from lookwhere_cli.scoring.costs import costs_of, count_grids, mean_over, size_of_equal_macs
from lookwhere_cli.scoring.variants import at_size, with_k, with_looks

SHAPES = [(40, 60), (60, 40), (50, 50), (30, 90)]


def test_costs_are_the_means_of_rows(model_folder: Path, photos: Path) -> None:
    predictor = load(str(model_folder), k=0.25)
    rows = list(predictor.classify(find_pictures([str(photos)])))
    costs = costs_of(predictor.pipeline, [(row.height, row.width) for row in rows])
    assert costs.macs == pytest.approx(sum(row.macs for row in rows) / len(rows))
    assert costs.macs_full == pytest.approx(sum(row.macs_full for row in rows) / len(rows))
    assert costs.cells == pytest.approx(sum(row.k for row in rows) / len(rows))


def test_costs_of_a_cascade_are_those_of_its_last_stage(model_folder: Path) -> None:
    pipeline = load(str(model_folder)).pipeline
    looks = with_looks(pipeline, [Amount.share(0.25), Amount.share(0.5)])
    assert costs_of(looks, SHAPES).cells == costs_of(with_k(pipeline, Amount.share(0.5)), SHAPES).cells
    assert costs_of(looks, SHAPES).macs > costs_of(with_k(pipeline, Amount.share(0.5)), SHAPES).macs


def test_grids_are_counted(model_folder: Path) -> None:
    counts = count_grids(load(str(model_folder), size=24).pipeline, [*SHAPES, (80, 120)])
    assert counts == {(5, 7): 2, (7, 5): 1, (6, 6): 1, (3, 9): 1}


def test_means_are_weighted() -> None:
    assert mean_over({"a": 3, "b": 1}, {"a": 1.0, "b": 5.0}.__getitem__) == 2


@pytest.mark.parametrize("k", [Amount.share(0.1), Amount.share(0.25), Amount.share(0.5), Amount.cells(7)])
def test_a_smaller_picture_of_equal_macs(model_folder: Path, k: Amount) -> None:
    pipeline = load(str(model_folder)).pipeline
    macs = costs_of(with_k(pipeline, k), SHAPES).macs
    size = size_of_equal_macs(pipeline, macs, SHAPES)
    all_cells = {side: costs_of(at_size(pipeline, side), SHAPES).macs for side in range(4, 25, 4)}
    ratios = {side: max(spent / macs, macs / spent) for side, spent in all_cells.items()}
    assert ratios[size] == min(ratios.values())
