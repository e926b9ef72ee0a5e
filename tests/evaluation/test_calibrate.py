"""Thresholds for a budget: what they come to is what is then spent, whatever has the stages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lookwhere_cli.dvt_predictor import DVTPredictor
from lookwhere_cli.staged import NEVER, StagedPredictor
from PIL import Image

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.checkpoints.sums import changed_files
from lookwhere_cli.errors import UsageError
from lookwhere_cli.evaluation.calibrate import Sure, ask_all, calibration, pictures_of, save_calibrated
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.exits import Exits
from tests.evaluation.test_evaluate import untold
from tests.models.small import CASCADE, small_cascade


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures of noise and of one colour, of two shapes, in a folder without labels."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for index in range(40):
        height, width = ((40, 60), (50, 50))[index % 2]
        pixels = rng.integers(0, 256, 3) + rng.integers(-90, 90, (height, width, 3)) * (index % 5 > 0)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return folder


def sure_of(firsts: Sequence[float], places: Sequence[int] | None = None) -> Sure:
    """Two stages: so sure is the first one of each picture, and the last one takes 35.5 times its multiply-adds."""
    sure = torch.tensor([firsts, [0.5] * len(firsts)], dtype=torch.float64)
    macs = torch.tensor([[10.0], [355.0]], dtype=torch.float64).expand(2, len(firsts))
    return Sure(range(len(firsts)) if places is None else places, sure, macs)


def paths_of(folder: Path) -> list[str]:
    return sorted(os.fspath(file) for file in folder.iterdir())


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_what_is_calibrated_is_what_is_spent(
    share: float, cascade_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    predictor, out = load(str(cascade_folder)), tmp_path / "out"
    assert isinstance(predictor, StagedPredictor)
    found = calibration(ask_all(predictor, paths_of(pictures), untold), share)
    save_calibrated(predictor.loaded, found, out, "lookwhere calibrate ...")
    rows = list(load(str(out)).classify(paths_of(pictures)))
    spent = sum(row.macs for row in rows) / len(rows)
    assert spent == pytest.approx(found.macs) and load_model(str(out)).config.expected_macs == round(spent)
    assert found.shares == tuple(sum(row.exit == exit_ for row in rows) / len(rows) for exit_ in (1, 2, 3))
    assert found.macs / found.costs[-1] == pytest.approx(share, abs=0.08)  # forty pictures, of two costs


def test_the_folder_is_the_model_with_thresholds(cascade_folder: Path, pictures: Path, tmp_path: Path) -> None:
    base = load(str(cascade_folder))
    assert isinstance(base, DVTPredictor)
    (tmp_path / "deep").mkdir()
    first, again = tmp_path / "deep" / "first", tmp_path / "again"
    save_calibrated(base.loaded, calibration(ask_all(base, paths_of(pictures), untold), 0.9), first, "one")
    other = load(str(first))
    assert isinstance(other, DVTPredictor)
    save_calibrated(other.loaded, calibration(ask_all(other, paths_of(pictures), untold), 0.3), again, "two")
    for folder in (first, again):
        assert sorted(file.name for file in folder.iterdir()) == [
            *("README.md", "SHA256SUMS", "config.json", "model.safetensors")
        ]
        assert not changed_files(folder) and load_model(str(folder)).revision == base.loaded.revision
        assert replace(load_model(str(folder)).config, thresholds=(), expected_macs=0) == CASCADE
    card = (again / "README.md").read_text()
    assert card.startswith("# cascade\n") and card.count("## Calibrated") == 1
    assert "two" in card and "one\n" not in card.partition("```")[2]
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["first"]


def test_a_card_of_our_own_tells_the_new_cost(pictures: Path, tmp_path: Path) -> None:
    from lookwhere_cli.card import describe, full_card

    model = small_cascade()
    save_model(tmp_path / "base", model, full_card("base", CASCADE, {}, {}))
    base = load(str(tmp_path / "base"))
    assert isinstance(base, DVTPredictor)
    found = calibration(ask_all(base, paths_of(pictures), untold), 0.5)
    (tmp_path / "out").mkdir()
    for name in ("results.json", "notes.txt"):
        (tmp_path / "out" / name).write_text("{}")
    save_calibrated(base.loaded, found, tmp_path / "out", "...")
    card = (tmp_path / "out" / "README.md").read_text()
    assert describe(load_model(str(tmp_path / "out")).config) in card and describe(CASCADE) not in card
    assert (tmp_path / "out" / "notes.txt").exists() and not (tmp_path / "out" / "results.json").exists()


def test_what_is_asked_of_pictures_that_can_be_read(cascade_folder: Path, pictures: Path, tmp_path: Path) -> None:
    predictor, paths = load(str(cascade_folder)), paths_of(pictures)
    assert isinstance(predictor, StagedPredictor)
    (tmp_path / "bad.png").touch()
    told = ask_all(predictor, [paths[0], str(tmp_path / "bad.png"), *paths[1:]], untold)
    assert told.places == [0, *range(2, 41)] and len(told.failed) == 1 and "bad.png" in told.failed[0]
    for place in range(40):
        grid = predictor.view(paths[place]).grid
        assert tuple(told.macs[:, place].tolist()) == predictor.stage_macs(grid)
    assert told.sure.shape == (3, 40) and calibration(told, 0.6).failed == told.failed
    some = told.at([2, 1, 40])
    assert some.places == [2, 40] and torch.equal(some.sure, told.sure[:, [1, 39]])
    assert torch.equal(some.macs, told.macs[:, [1, 39]])
    with pytest.raises(UsageError, match=r"None of the 2 pictures can be read: .*bad\.png"):
        ask_all(predictor, [str(tmp_path / "bad.png")] * 2, untold)


def test_the_costs_are_means_and_the_shares_those_that_leave() -> None:
    sure = [index / 39 for index in range(39)]
    told = sure_of(sure)._replace(macs=torch.tensor([[10.0] * 39, [350.0] * 19 + [360.0] * 20], dtype=torch.float64))
    found = calibration(told, 0.5)
    assert found.costs == pytest.approx((10, (19 * 350 + 20 * 360) / 39)) and found.pictures == 39
    left = [one for one in sure if one >= found.thresholds[0]]
    assert found.shares == pytest.approx((len(left) / 39, 1 - len(left) / 39))


def test_a_budget_in_multiply_adds_and_a_threshold_that_nobody_reaches() -> None:
    told = sure_of([index / 40 for index in range(40)])
    assert calibration(told, 354).thresholds == (NEVER,)
    half = calibration(told, 182)
    assert half.shares == (0.5, 0.5) and half.thresholds == pytest.approx((0.5,), abs=1.01e-4)
    assert 19 / 40 < half.thresholds[0] < 0.5  # who is as sure but for rounding leaves as well


@pytest.mark.parametrize(
    ("budget", "count", "words"),
    [
        (1.0, 40, "a budget of 355 can't be met: the first exit costs 10 and the last 355"),
        (0.01, 40, "a budget of 3.55 can't be met"),
        (10**9, 40, r"a budget of 1e\+09 can't be met"),
        (0.5, 19, "19 calibration pictures are too few for 2 exits; there must be at least 20"),
    ],
)
def test_what_can_not_be_calibrated(budget: int | float, count: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        calibration(sure_of([0.5] * count), budget)


def test_labels_are_needed_only_for_a_part(pictures: Path, tmp_path: Path) -> None:
    assert pictures_of(pictures, None, None, None, tmp_path)[1] == "all"
    assert len(pictures_of(pictures, None, None, None, tmp_path)[0]) == 40
    with pytest.raises(UsageError, match="has no labelled pictures"):
        pictures_of(pictures, None, "val", None, tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        pictures_of(tmp_path / "none", None, None, None, tmp_path)
    lines = [f"{path},{index % 2},{'val' if index < 4 else 'train'}" for index, path in enumerate(paths_of(pictures))]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *lines]))
    found, part = pictures_of(tmp_path / "labels.csv", None, None, None, tmp_path)
    assert part == "val" and set(found) == set(paths_of(pictures)[:4])


def test_running_everything_says_who_leaves_where(cascade_folder: Path, pictures: Path) -> None:
    predictor, paths = load(str(cascade_folder)), paths_of(pictures)
    assert isinstance(predictor, DVTPredictor)
    predictor.thresholds = calibration(ask_all(predictor, paths, untold), 0.5).thresholds
    exits = Exits(predictor)
    measured = list(exits(paths))
    rows = list(predictor.classify(paths))
    assert exits.macs(None) == pytest.approx(sum(row.macs for row in rows) / 40)
    assert exits.cells(None) == pytest.approx(sum(row.k for row in rows) / 40)
    assert exits.macs(0) < exits.macs(1) < exits.macs(2)
    for one, row in zip(measured, rows, strict=True):
        assert not isinstance(one, str) and row.exit is not None
        assert torch.equal(one.outcomes[-1], one.outcomes[row.exit - 1])
        assert row.labels[0].probability == pytest.approx(float(one.outcomes[-1].max()), abs=1e-5)
    assert exits.lap(None, paths[0]) > 0
