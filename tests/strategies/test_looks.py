"""`-k auto` as it is used: uncertain pictures are looked at again, and each row says what its picture took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.view import View
from lookwhere_cli.macs import passes
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Row
from lookwhere_cli.strategies.registry import looks_strategy
from tests.macs.test_macs import counted
from tests.models.small import ADDING, LABELLED, small
from tests.strategies.used import confidences, loaded, middling, staged, with_strategy, with_thresholds

RESTARTING = replace(LABELLED, looks=(0.125, 0.375, 0.75))
CONFIGS = {"restart": RESTARTING, "add": replace(ADDING, looks=RESTARTING.looks)}
both = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
Saved = Callable[[Config], str]


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Saves a small model of a config."""

    def save(config: Config) -> str:
        save_model(tmp_path / "model", small(config))
        return str(tmp_path / "model")

    return save


def middle(config: Config, saved: Saved, files: list[str], **options: object) -> str:
    """The folder of a model whose thresholds let some pictures leave at each look."""
    plain = loaded(saved(config), **options)
    coarse = plain.pipeline.reader.reading.coarse_size
    thresholds = middling(with_strategy(plain, looks_strategy(config, coarse)), files)
    return saved(replace(config, thresholds=thresholds))


def alike(one: Row, other: Row) -> None:
    """The same but for the time, probabilities within rounding."""
    assert [b.label for b in one.labels] == [b.label for b in other.labels]
    assert [b.probability for b in one.labels] == pytest.approx([b.probability for b in other.labels], abs=1e-5)
    assert replace(one, seconds=0.0, labels=()) == replace(other, seconds=0.0, labels=())


@both
@pytest.mark.parametrize("coarse", [0, 16])
def test_a_batch_with_mixed_looks_equals_one_by_one(
    config: Config, coarse: int, saved: Saved, files: list[str]
) -> None:
    predictor = loaded(middle(config, saved, files, coarse=coarse), k="auto", coarse=coarse)
    rows = list(predictor.classify(files))
    assert {row.exit for row in rows} == {1, 2, 3}
    for file, row in zip(files, rows, strict=True):
        alike(row, predictor.classify(file))


@both
def test_a_row_says_what_its_picture_took(
    config: Config, saved: Saved, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = loaded(middle(config, saved, files), k="auto")
    strategy = staged(predictor)
    for file in files[:4]:
        rows: list[Row] = []
        spent = counted(lambda file=file, rows=rows: rows.append(predictor.classify(file)))
        (row,) = rows
        assert row.macs == spent == strategy.stage_macs(row.grid)[(row.exit or 0) - 1]
        assert row.k == len(row.cells) == strategy.stage_cells(row.grid)[(row.exit or 0) - 1]
        assert row.cells == loaded(predictor.info.name, k=row.k).classify(file).cells
    read: Counter[str] = Counter()
    patches = View.patches
    monkeypatch.setattr(
        View, "patches", lambda view, cells: read.update({view.path: len(cells)}) or patches(view, cells)
    )
    for row in predictor.classify(files):
        assert read[row.path] == row.k  # each cell once


@both
def test_with_zero_the_first_look_answers_all_and_above_one_the_last(
    config: Config, saved: Saved, files: list[str]
) -> None:
    for thresholds, exit_, k in (((0.0, 0.0), 1, 0.125), ((2.0, 2.0), 3, 0.75)):
        folder = saved(replace(config, thresholds=thresholds))
        rows, fixed = list(loaded(folder, k="auto").classify(files)), list(loaded(folder, k=k).classify(files))
        assert {row.exit for row in rows} == {exit_}
        for row, same in zip(rows, fixed, strict=True):
            assert row.cells == same.cells
            if exit_ == 1 or config.second_look == "restart":
                alike(replace(row, exit=None, macs=same.macs), same)
    assert rows[0].macs > fixed[0].macs or config.second_look == "add"


def test_a_model_that_was_never_calibrated_is_refused_with_what_to_do(saved: Saved) -> None:
    with pytest.raises(ModelError, match=r"has no looks .* lookwhere calibrate .* --looks 12.5%,37.5%"):
        loaded(saved(LABELLED), k="auto")
    with pytest.raises(ModelError, match=r"never calibrated, .* lookwhere calibrate"):
        loaded(saved(RESTARTING), k="auto")
    with pytest.raises(UsageError, match="much is not an amount"):
        loaded(saved(RESTARTING), k="much")
    with pytest.raises(UsageError, match="k = 30 is more than the 16 cells"):
        loaded(saved(replace(LABELLED, looks=(4, 30), thresholds=(0.5,))), k="auto", size=16)


def test_looks_may_be_chosen_before_there_are_thresholds(saved: Saved, files: list[str]) -> None:
    strategy = looks_strategy(replace(LABELLED, looks=(Amount.cells(4), Amount.cells(9))))
    assert strategy.stage_macs((6, 6)) == passes.count_looks(LABELLED, (6, 6), (3, 3), (4, 9))
    predictor = with_strategy(loaded(saved(LABELLED), top=2), strategy)
    rows = list(predictor.classify(files))
    assert {row.exit for row in rows} == {2} and {len(row.labels) for row in rows} == {2}


@both
def test_confidences_are_those_of_the_rows(config: Config, saved: Saved, files: list[str]) -> None:
    predictor = with_strategy(loaded(saved(config)), looks_strategy(config))
    sure = confidences(predictor, files)
    for number in range(3):
        at_this_look = with_thresholds(predictor, (2.0,) * number + (0.0,) * (2 - number))
        for place, row in enumerate(at_this_look.classify(files)):
            assert row.macs == staged(predictor).stage_macs(row.grid)[number]
            assert sure[number, place] == pytest.approx(row.labels[0].probability, abs=1e-5)


@both
def test_an_explanation_shows_the_looks(config: Config, saved: Saved, files: list[str]) -> None:
    predictor = loaded(middle(config, saved, files), k="auto")
    for row in predictor.classify(files[:4]):
        explanation = predictor.explain(row.path)
        alike(explanation.row, row)
        assert explanation.looks == staged(predictor).stage_cells(row.grid)[: row.exit]
        assert [divmod(cell, row.grid[1]) for cell in explanation.order[: row.k]] == list(row.cells)
        assert explanation.predictions[row.k] == explanation.row.labels and explanation.macs[row.k] == row.macs
        assert list(explanation.predictions) == list(explanation.macs) == sorted(explanation.macs)
        assert sum(explanation.seconds.values()) == pytest.approx(explanation.row.seconds)
        assert list(explanation.seconds) == ["open", "thumbnail", "look"]


@both
def test_pictures_of_few_cells_are_looked_at_all_the_same(config: Config, saved: Saved, tmp_path: Path) -> None:
    Image.new("RGB", (300, 1), "red").save(tmp_path / "line.png")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    predictor = loaded(saved(replace(config, thresholds=(2.0, 2.0))), k="auto", size=4)
    for row in predictor.classify([tmp_path / "line.png", tmp_path / "dot.png"]):
        assert (row.k, row.exit, row.error) == (1, 3, None)


def test_features_are_of_a_fixed_k(saved: Saved, files: list[str]) -> None:
    predictor = loaded(saved(replace(RESTARTING, thresholds=(0.5, 0.5))), k="auto")
    with pytest.raises(ModelError, match="give a fixed number of cells or a share"):
        predictor.features(files)
