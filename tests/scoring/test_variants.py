"""Pipelines that differ from another one in how the model is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from lookwhere_cli.amounts import Amount
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.loading import load
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.scoring.variants import (
    at_size,
    default_amount,
    staged_strategy,
    with_k,
    with_looks,
    with_thresholds,
)
from lookwhere_cli.strategies import registry

LOOKS = (Amount.share(0.125), Amount.share(0.5))


def test_another_amount_is_what_load_makes_of_it(model_folder: Path, photos: Path) -> None:
    picture = photos / "0.png"
    pipeline = with_k(load(str(model_folder), coarse=16).pipeline, Amount.cells(3))
    row, expected = Predictor(pipeline).classify(picture), load(str(model_folder), coarse=16, k=3).classify(picture)
    assert (row.k, row.macs, row.labels) == (3, expected.macs, expected.labels)


def test_the_default_amount_is_what_is_read(model_folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = load(str(model_folder)).config.k
    assert default_amount(load(str(model_folder)).pipeline) == own
    assert default_amount(load(str(model_folder), k=0.25).pipeline) == Amount.share(0.25)
    monkeypatch.setattr(registry, "MOST", 20)
    huge = load(str(model_folder), size=96).pipeline
    amount = default_amount(huge)
    assert not amount.is_share and amount.value < own.resolve(24 * 24)
    row, measured = (
        Predictor(huge).classify(photos / "0.png"),
        Predictor(with_k(huge, amount)).classify(photos / "0.png"),
    )
    assert (row.k, row.labels) == (measured.k, measured.labels)


def test_another_size_is_what_load_makes_of_it_without_a_coarse_thumbnail(model_folder: Path, photos: Path) -> None:
    picture = photos / "0.png"
    row = Predictor(at_size(load(str(model_folder), coarse=16, k=2).pipeline, 20)).classify(picture)
    expected = load(str(model_folder), size=20, k="all").classify(picture)
    assert row.coarse is None
    assert (row.grid, row.k, row.macs, row.labels) == (expected.grid, expected.k, expected.macs, expected.labels)


def test_looks_without_calibration_end_with_the_last(model_folder: Path, photos: Path) -> None:
    pipeline = with_looks(load(str(model_folder), coarse=16).pipeline, LOOKS)
    strategy = staged_strategy(pipeline)
    assert strategy.config.looks == LOOKS and strategy.config.thresholds == ()
    row = Predictor(pipeline).classify(photos / "0.png")
    assert row.exit == 2
    assert row.labels == load(str(model_folder), coarse=16, k=0.5).classify(photos / "0.png").labels


def test_thresholds(model_folder: Path, photos: Path) -> None:
    pipeline = with_thresholds(with_looks(load(str(model_folder)).pipeline, LOOKS), [0.0])
    assert Predictor(pipeline).classify(photos / "0.png").exit == 1


@pytest.mark.parametrize(
    ("looks", "sentence"),
    [
        (LOOKS[::-1], "looks is 50%, 12.5%; it must be at least two counts of cells"),
        ((Amount.cells(2), Amount.cells(37)), "k = 37 is more than the 36 cells of 24 x 24 pixels"),
    ],
)
def test_impossible_looks(model_folder: Path, looks: tuple[Amount, ...], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        with_looks(load(str(model_folder)).pipeline, looks)


def test_a_strategy_that_can_not_do_it(model_folder: Path, cascade_folder: Path) -> None:
    with pytest.raises(ModelError, match="an answer at a fixed number of cells"):
        with_k(load(str(cascade_folder)).pipeline, Amount.cells(3))
    with pytest.raises(ModelError, match="answers in one stage, so there is nothing to calibrate"):
        with_thresholds(load(str(model_folder)).pipeline, [0.5])
