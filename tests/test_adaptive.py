"""`-k auto` as it is used: whoever is unsure is looked at again, and each row says what its picture took."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lookwhere_cli.adaptive import AdaptivePredictor, adaptive
from lookwhere_cli.staged import Stages
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.images.view import View
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes as macs
from lookwhere_cli.models.config import Config
from lookwhere_cli.output.rows import Row
from tests.macs.test_macs import counted
from tests.models.small import ADDING, LABELLED, SEGMENTING, small

RESTARTING = replace(LABELLED, looks=(0.125, 0.375, 0.75))
KINDS = {"restart": RESTARTING, "add": replace(ADDING, looks=RESTARTING.looks)}
kinds = pytest.mark.parametrize("kind", KINDS)
Saved = Callable[[Config], str]


@pytest.fixture
def files(photos: Path) -> list[str]:
    return sorted(os.fspath(file) for file in photos.iterdir())


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    """Saves a small model of a config."""

    def save(config: Config) -> str:
        save_model(tmp_path / "model", small(config))
        return str(tmp_path / "model")

    return save


def used(folder: str, **how: object) -> AdaptivePredictor:
    predictor = load(folder, k="auto", device="cpu", **how)  # type: ignore[arg-type]
    assert isinstance(predictor, AdaptivePredictor)
    return predictor


def middling(config: Config, saved: Saved, files: list[str], **how: object) -> str:
    """The folder of a model whose thresholds let some pictures leave at each look, none being just so."""
    uncalibrated = adaptive(load(saved(config), device="cpu", **how))  # type: ignore[arg-type]
    sure = np.array([one.sure for one in uncalibrated.stages(files) if isinstance(one, Stages)])
    first = np.sort(sure[:, 0])[7:9].mean()
    second = np.sort(sure[sure[:, 0] < first, 1])[3:5].mean()
    return saved(replace(config, thresholds=(float(first), float(second))))


def alike(one: Row, other: Row) -> None:
    """The same but for the time, probabilities within rounding."""
    assert [b.label for b in one.labels] == [b.label for b in other.labels]
    assert [b.probability for b in one.labels] == pytest.approx([b.probability for b in other.labels], abs=1e-5)
    assert replace(one, seconds=0.0, labels=()) == replace(other, seconds=0.0, labels=())


@kinds
@pytest.mark.parametrize("coarse", [0, 16])
def test_a_batch_with_mixed_exits_equals_one_by_one(kind: str, coarse: int, saved: Saved, files: list[str]) -> None:
    predictor = used(middling(KINDS[kind], saved, files, coarse=coarse), coarse=coarse)
    rows = list(predictor.classify(files))
    assert {row.exit for row in rows} == {1, 2, 3}
    for file, row in zip(files, rows, strict=True):
        alike(row, predictor.classify(file))


@kinds
def test_a_row_says_what_its_picture_took(
    kind: str, saved: Saved, files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = used(middling(KINDS[kind], saved, files))
    for file in files[:4]:
        rows: list[Row] = []
        spent = counted(lambda file=file, rows=rows: rows.append(predictor.classify(file)))
        (row,) = rows
        assert row.macs == spent == predictor.stage_macs(row.grid)[(row.exit or 0) - 1]
        assert row.k == len(row.cells) == predictor.ks(row.grid)[(row.exit or 0) - 1]
        assert row.cells == load(predictor.loaded.name, k=row.k, device="cpu").classify(file).cells
    read: Counter[str] = Counter()
    patches = View.patches
    monkeypatch.setattr(
        View, "patches", lambda view, cells: read.update({view.path: len(cells)}) or patches(view, cells)
    )
    for row in predictor.classify(files):
        assert read[row.path] == row.k  # each cell once


@kinds
def test_with_zero_the_first_look_answers_all_and_above_one_the_last(kind: str, saved: Saved, files: list[str]) -> None:
    for thresholds, exit_, k in (((0.0, 0.0), 1, 0.125), ((2.0, 2.0), 3, 0.75)):
        folder = saved(replace(KINDS[kind], thresholds=thresholds))
        rows, fixed = list(used(folder).classify(files)), list(load(folder, k=k, device="cpu").classify(files))
        assert {row.exit for row in rows} == {exit_}
        for row, same in zip(rows, fixed, strict=True):
            assert row.cells == same.cells
            if exit_ == 1 or kind == "restart":
                alike(replace(row, exit=None, macs=same.macs), same)
    assert rows[0].macs > fixed[0].macs or kind == "add"


def test_a_model_that_was_never_calibrated_is_refused_with_what_to_do(saved: Saved) -> None:
    with pytest.raises(ModelError, match=r"has no looks .* lookwhere calibrate .* --looks 12.5%,37.5%"):
        used(saved(LABELLED))
    with pytest.raises(ModelError, match=r"never calibrated, .* lookwhere calibrate"):
        used(saved(RESTARTING))
    with pytest.raises(UsageError, match="much is not an amount to read"):
        load(saved(RESTARTING), k="much")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="k = 30 is more than the 16 cells"):
        used(saved(replace(LABELLED, looks=(4, 30), thresholds=(0.5,))), size=16)


def test_looks_may_be_chosen_before_there_are_thresholds(saved: Saved, files: list[str]) -> None:
    predictor = adaptive(load(saved(LABELLED), device="cpu", top=2), (4, 9))
    assert predictor.looks == predictor.config.looks == (Amount.cells(4), Amount.cells(9)) and predictor.top == 2
    assert predictor.stage_macs((6, 6)) == macs.count_looks(LABELLED, (6, 6), (3, 3), (4, 9))
    assert {row.exit for row in predictor.classify(files)} == {2}
    calibrated = replace(RESTARTING, thresholds=(0.5, 0.5), expected_macs=5)
    again = adaptive(load(saved(calibrated), device="cpu"))
    assert (again.looks, again.config.thresholds, again.config.expected_macs) == (RESTARTING.looks, (), 0)
    with pytest.raises(UsageError, match=r"looks is 9, 4; .* each above the one before"):
        adaptive(load(saved(LABELLED), device="cpu"), (9, 4))
    with pytest.raises(UsageError, match="one label per picture"):
        adaptive(load(saved(SEGMENTING), device="cpu"), (4, 9))


@kinds
def test_confidences_are_those_of_the_rows(kind: str, saved: Saved, files: list[str]) -> None:
    predictor = adaptive(load(saved(KINDS[kind]), device="cpu"))
    *told, sentence = predictor.stages([*files, "nowhere.jpg"])
    assert isinstance(sentence, str) and "nowhere.jpg" in sentence
    for number in range(3):
        predictor.thresholds = (2.0,) * number + (0.0,) * (2 - number)
        for one, row in zip(told, predictor.classify(files), strict=True):
            assert isinstance(one, Stages) and one.macs[number] == row.macs
            assert one.sure[number] == pytest.approx(row.labels[0].probability, abs=1e-5)


@kinds
def test_an_explanation_shows_the_looks(kind: str, saved: Saved, files: list[str]) -> None:
    predictor = used(middling(KINDS[kind], saved, files))
    for row in predictor.classify(files[:4]):
        explanation = predictor.explain(row.path)
        alike(explanation.row, row)
        assert explanation.looks == predictor.ks(row.grid)[: row.exit]
        assert [divmod(cell, row.grid[1]) for cell in explanation.order[: row.k]] == list(row.cells)
        assert explanation.predictions[row.k] == explanation.row.labels and explanation.macs[row.k] == row.macs
        assert list(explanation.predictions) == list(explanation.macs) == sorted(explanation.macs)
        assert sum(explanation.seconds.values()) == pytest.approx(explanation.row.seconds)
        assert list(explanation.seconds) == ["open", "thumbnail", "look"]


@kinds
def test_pictures_of_few_cells_are_looked_at_all_the_same(kind: str, saved: Saved, tmp_path: Path) -> None:
    Image.new("RGB", (300, 1), "red").save(tmp_path / "line.png")
    Image.new("RGB", (1, 1), "red").save(tmp_path / "dot.png")
    predictor = used(saved(replace(KINDS[kind], thresholds=(2.0, 2.0))), size=4)
    for row in predictor.classify([tmp_path / "line.png", tmp_path / "dot.png"]):
        assert (row.k, row.exit, row.error) == (1, 3, None)


def test_features_are_of_a_fixed_k(saved: Saved, files: list[str]) -> None:
    with pytest.raises(UsageError, match="give a number of cells or a share"):
        used(saved(replace(RESTARTING, thresholds=(0.5, 0.5)))).features(files)
