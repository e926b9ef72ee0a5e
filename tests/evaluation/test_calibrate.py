"""Thresholds for a budget: the cost that calibration predicts is the cost of classifying the same pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.card import describe, full_card
from lookwhere_cli.checkpoints.folder import read_config, save_model
from lookwhere_cli.checkpoints.sums import changed_files
from lookwhere_cli.errors import UsageError
from lookwhere_cli.evaluation.calibrate import (
    StageConfidences,
    calibrate,
    measure_confidences,
    pictures_of,
    save_calibrated,
)
from lookwhere_cli.loading import load
from lookwhere_cli.pipeline import Pipeline
from lookwhere_cli.scoring.variants import with_thresholds
from lookwhere_cli.strategies.stages import DISABLED
from tests.evaluation.models import no_progress
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


def two_stages(firsts: Sequence[float]) -> StageConfidences:
    """Confidences of the first stage; the second one costs 35.5 times as much."""
    confidences = np.array([firsts, [0.5] * len(firsts)])
    return StageConfidences(range(len(firsts)), confidences, np.tile([[10.0], [355.0]], len(firsts)))


def paths_of(folder: Path) -> list[str]:
    return sorted(os.fspath(file) for file in folder.iterdir())


def measured(pipeline: Pipeline, folder: Path) -> StageConfidences:
    return measure_confidences(pipeline, paths_of(folder), no_progress)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_the_predicted_cost_is_the_cost_of_classifying(
    share: float, cascade_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    pipeline, out = load(str(cascade_folder)).pipeline, tmp_path / "out"
    calibration = calibrate(measured(pipeline, pictures), share)
    save_calibrated(pipeline, calibration, out, "lookwhere calibrate ...")
    rows = list(load(str(out)).classify(paths_of(pictures)))
    spent = sum(row.macs for row in rows) / len(rows)
    assert spent == pytest.approx(calibration.macs) and read_config(out).expected_macs == round(spent)
    assert calibration.shares == tuple(sum(row.exit == number for row in rows) / len(rows) for number in (1, 2, 3))
    assert calibration.macs / calibration.costs[-1] == pytest.approx(share, abs=0.08)  # forty pictures, of two costs


def test_the_folder_is_the_model_with_thresholds(cascade_folder: Path, pictures: Path, tmp_path: Path) -> None:
    base = load(str(cascade_folder)).pipeline
    (tmp_path / "deep").mkdir()
    first, again = tmp_path / "deep" / "first", tmp_path / "again"
    save_calibrated(base, calibrate(measured(base, pictures), 0.9), first, "one")
    other = load(str(first)).pipeline
    save_calibrated(other, calibrate(measured(other, pictures), 0.3), again, "two")
    for folder in (first, again):
        assert sorted(file.name for file in folder.iterdir()) == [
            *("README.md", "SHA256SUMS", "config.json", "model.safetensors")
        ]
        assert not changed_files(folder) and load(str(folder)).info.revision == base.info.revision
        assert replace(read_config(folder), thresholds=(), expected_macs=0) == CASCADE
    card = (again / "README.md").read_text()
    assert card.startswith("# cascade\n") and card.count("## Calibrated") == 1
    assert "two" in card and "one\n" not in card.partition("```")[2]
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["first"]


def test_a_card_of_ours_describes_the_new_cost(pictures: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "base", small_cascade(), full_card("base", CASCADE, {}, {}))
    base = load(str(tmp_path / "base")).pipeline
    (tmp_path / "out").mkdir()
    for name in ("results.json", "notes.txt"):
        (tmp_path / "out" / name).write_text("{}")
    save_calibrated(base, calibrate(measured(base, pictures), 0.5), tmp_path / "out", "...")
    card = (tmp_path / "out" / "README.md").read_text()
    assert describe(read_config(tmp_path / "out")) in card and describe(CASCADE) not in card
    assert (tmp_path / "out" / "notes.txt").exists() and not (tmp_path / "out" / "results.json").exists()


def test_a_model_without_a_card_gets_one(pictures: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "base", small_cascade())
    base = load(str(tmp_path / "base")).pipeline
    save_calibrated(base, calibrate(measured(base, pictures), 0.5), tmp_path / "out", "...")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("# base\n") and describe(read_config(tmp_path / "out")) in card


def test_confidences_of_the_pictures_that_can_be_read(cascade_folder: Path, pictures: Path, tmp_path: Path) -> None:
    pipeline, paths = load(str(cascade_folder)).pipeline, paths_of(pictures)
    (tmp_path / "bad.png").touch()
    found = measure_confidences(pipeline, [paths[0], str(tmp_path / "bad.png"), *paths[1:]], no_progress)
    assert found.places == [0, *range(2, 41)] and len(found.failed) == 1 and "bad.png" in found.failed[0]
    for place in range(40):
        grid = pipeline.reader.open(paths[place]).grid
        assert tuple(found.macs[:, place].tolist()) == pipeline.strategy.stage_macs(grid)
    assert found.confidences.shape == (3, 40) and calibrate(found, 0.6).failed == found.failed
    some = found.at([2, 1, 40])
    assert some.places == [2, 40] and np.array_equal(some.confidences, found.confidences[:, [1, 39]])
    assert np.array_equal(some.macs, found.macs[:, [1, 39]])
    with pytest.raises(UsageError, match=r"None of the 2 pictures can be read: .*bad\.png"):
        measure_confidences(pipeline, [str(tmp_path / "bad.png")] * 2, no_progress)


def test_costs_are_means_and_shares_are_those_that_leave() -> None:
    firsts = [index / 39 for index in range(39)]
    macs = np.array([[10.0] * 39, [350.0] * 19 + [360.0] * 20])
    calibration = calibrate(two_stages(firsts)._replace(macs=macs), 0.5)
    assert calibration.costs == pytest.approx((10, (19 * 350 + 20 * 360) / 39)) and calibration.pictures == 39
    leaving = [one for one in firsts if one >= calibration.thresholds[0]]
    assert calibration.shares == pytest.approx((len(leaving) / 39, 1 - len(leaving) / 39))
    later = macs[1, [one < calibration.thresholds[0] for one in firsts]]
    assert calibration.macs == pytest.approx((10 * len(leaving) + later.sum()) / 39)


def test_a_budget_in_multiply_adds() -> None:
    half = calibrate(two_stages([index / 40 for index in range(40)]), 182)
    assert half.shares == (0.5, 0.5) and half.thresholds == pytest.approx((0.5,), abs=1.01e-4)
    assert 19 / 40 < half.thresholds[0] < 0.5  # a confidence that differs only by rounding leaves, too


def test_a_threshold_is_lowered_by_at_most_half_of_the_distance_to_the_next_picture() -> None:
    firsts = [0.5 - index * 1e-5 for index in range(40)]
    threshold = calibrate(two_stages(firsts), 182).thresholds[0]
    assert threshold == pytest.approx((firsts[19] + firsts[20]) / 2, abs=1e-9)


def test_a_threshold_is_never_negative() -> None:
    assert calibrate(two_stages([0.00005] * 40), 11).thresholds == (0.0,)


def test_no_picture_leaves_at_a_disabled_exit(cascade_folder: Path, pictures: Path, tmp_path: Path) -> None:
    """A budget near the cost of all stages leaves no picture for the first one, not even one with confidence 1."""
    calibration = calibrate(two_stages([1.0, *(index / 40 for index in range(39))]), 354)
    assert calibration.thresholds == (DISABLED,)
    assert calibration.shares == (0.0, 1.0) and calibration.macs == 355
    pipeline = with_thresholds(load(str(cascade_folder)).pipeline, (DISABLED, 0.0))
    save_calibrated(
        pipeline, replace(calibration, thresholds=(DISABLED, 0.0), costs=(1.0, 2.0, 3.0)), tmp_path / "out", ""
    )
    assert json.loads((tmp_path / "out" / "config.json").read_text())["thresholds"] == [2.0, 0.0]  # no infinity in JSON
    assert {row.exit for row in load(str(tmp_path / "out")).classify(paths_of(pictures))} == {2}


@pytest.mark.parametrize(
    ("budget", "count", "words"),
    [
        (1.0, 40, "a budget of 355 can't be met: the first stage costs 10 and the last 355"),
        (0.01, 40, "a budget of 3.55 can't be met"),
        (10**9, 40, r"a budget of 1e\+09 can't be met"),
        (0.5, 19, "2 stages need at least 20 calibration pictures, and there are 19"),
    ],
)
def test_impossible_calibrations(budget: int | float, count: int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        calibrate(two_stages([0.5] * count), budget)


def test_labels_are_needed_only_for_a_split(pictures: Path, tmp_path: Path) -> None:
    assert pictures_of(pictures, None, None, None, tmp_path)[1] == "all"
    assert len(pictures_of(pictures, None, None, None, tmp_path)[0]) == 40
    with pytest.raises(UsageError, match="has no labelled pictures"):
        pictures_of(pictures, None, "val", None, tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        pictures_of(tmp_path / "none", None, None, None, tmp_path)
    lines = [f"{path},{index % 2},{'val' if index < 4 else 'train'}" for index, path in enumerate(paths_of(pictures))]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,split", *lines]))
    paths, part = pictures_of(tmp_path / "labels.csv", None, None, None, tmp_path)
    assert part == "val" and set(paths) == set(paths_of(pictures)[:4])
