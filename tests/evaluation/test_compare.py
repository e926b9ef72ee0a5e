"""Comparisons of small models: the figures are right, paired, and in the pictures' order; the front is the front."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lookwhere_cli.adaptive import AdaptivePredictor
from lookwhere_cli.dvt_predictor import DVTPredictor
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.errors import DataError, ModelError
from lookwhere_cli.evaluation.calibrate import ask_all, calibration
from lookwhere_cli.evaluation.compare.candidates import Settings, entrants
from lookwhere_cli.evaluation.compare.comparison import Comparison, Entrant, Point, compare, front, half_of, judge_for
from lookwhere_cli.evaluation.compare.report import Cost, as_dict
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.intervals import Score
from tests.evaluation.test_evaluate import FULL, SEGMENTS, SEGMENTS_FULL, amounts, folder_of, masks, single, untold
from tests.models.small import CASCADE, LABELLED, PRUNING


def entered(labelled: LabelledSet, *entrants: Entrant) -> Comparison:
    return compare(entrants, labelled, untold)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("models")
    kinds = {"lookwhere": LABELLED, "full": FULL, "segments": SEGMENTS, "segments-full": SEGMENTS_FULL}
    return {name: folder_of(place / name, config) for name, config in kinds.items()}


def test_scores_are_those_of_the_rows_and_differences_are_paired(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single(tmp_path)
    full, mine = load(models["full"]), load(models["lookwhere"], k=0.5)
    first, second = entered(labelled, Entrant("full", "", [full]), Entrant("lookwhere", "50%", [mine])).points
    names = [labelled.classes[example.classes[0]] for example in labelled.examples]
    right = [row.labels[0].label == name for row, name in zip(second.rows, names, strict=True)]
    assert second.score.value == pytest.approx(sum(right) / len(names))
    assert second.macs == pytest.approx(np.mean([row.macs for row in mine.classify(row.path for row in second.rows)]))
    assert first.difference is None
    assert second.difference is not None
    assert second.difference.value == pytest.approx(second.score.value - first.score.value)
    assert second.difference.low is not None and second.difference.low <= second.difference.value


def test_a_model_does_not_differ_from_itself(tmp_path: Path, models: dict[str, str]) -> None:
    full = load(models["full"])
    points = entered(single(tmp_path), Entrant("full", "", [full]), Entrant("full", "again", [full])).points
    assert points[1].difference == Score(0.0, 0.0, 0.0)


def test_halves_are_answered_by_their_own_predictors_in_the_pictures_order(
    tmp_path: Path, models: dict[str, str]
) -> None:
    full, little, much = load(models["full"]), load(models["lookwhere"], k=3), load(models["lookwhere"], k=9)
    points = entered(single(tmp_path), Entrant("full", "", [full]), Entrant("auto", "", [little, much])).points
    assert [row.path for row in points[1].rows] == [row.path for row in points[0].rows]
    assert [row.k for row in points[1].rows] == [3, 9, 3, 9, 3, 9, 3, 9, 3]


def test_a_picture_that_cannot_be_read_counts_for_nobody(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single(tmp_path)
    Path(labelled.examples[3].path).write_bytes(b"no picture")
    little, much = load(models["lookwhere"], k=3), load(models["lookwhere"], k=9)
    comparison = entered(labelled, Entrant("full", "", [load(models["full"])]), Entrant("auto", "", [little, much]))
    assert list(comparison.places) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert len(comparison.failed) == 1 and labelled.examples[3].path in comparison.failed[0]
    assert [row.k for row in comparison.points[1].rows] == [3, 9, 3, 3, 9, 3, 9, 3]


def test_masks_are_scored_as_evaluate_scores_them(tmp_path: Path, models: dict[str, str]) -> None:
    from lookwhere_cli.evaluation.evaluate import Contest, evaluate

    labelled = masks(tmp_path)
    mine, full = load(models["segments"], k=0.5), load(models["segments-full"])
    point = entered(labelled, Entrant("full", "", [full]), Entrant("lookwhere", "", [mine])).points[1]
    line = next(
        one for one in evaluate(Contest(mine, amounts(0.5), timed=0), labelled, untold).lines if one.by == "selector"
    )
    assert point.score.value == pytest.approx(line.scores.figures["miou"].value, abs=1e-9)
    assert point.macs == pytest.approx(line.macs)


def test_a_mask_that_does_not_fit_is_told_and_counts_for_nobody(tmp_path: Path, models: dict[str, str]) -> None:
    first, second = masks(tmp_path / "one"), masks(tmp_path / "two")
    labelled = replace(first, examples=first.examples + second.examples)
    broken = labelled.examples[4]
    assert broken.mask is not None
    Image.new("L", (3, 3)).save(broken.mask)
    comparison = entered(labelled, Entrant("full", "", [load(models["segments-full"])]))
    assert len(comparison.points[0].rows) == len(labelled.examples) - 1
    (sentence,) = comparison.failed
    assert broken.mask in sentence and "is 3 x 3 pixels" in sentence


def test_what_was_never_dropped_is_told(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single(tmp_path / "data")
    full, mine = load(models["full"]), load(folder_of(tmp_path / "pruned", PRUNING), k=16)
    comparison = entered(labelled, Entrant("full", "", [full]), Entrant("pruned", "", [mine]))
    differences = as_dict(comparison, [Cost()] * 2, "all", "")["differences"]
    assert differences
    for one in differences:
        whole, dropping = one["answers"]
        assert whole["left"] is None
        assert 0 < len(dropping["left"]) < 16
        assert all(cell in [list(read) for read in dropping["cells"]] for cell in dropping["left"])


def test_what_can_not_be_compared_ends_in_a_sentence(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single(tmp_path)
    with pytest.raises(ModelError, match="segments, but the data are for one that gives one label"):
        entered(labelled, Entrant("full", "", [load(models["segments-full"])]))
    with pytest.raises(DataError, match="Several labels to a picture can't be compared"):
        judge_for(replace(labelled, kind="multi"))
    for example in labelled.examples:
        Path(example.path).write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the 9 pictures can be read"):
        entered(labelled, Entrant("full", "", [load(models["full"])]))


def test_the_pictures_on_which_they_disagree_are_told(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single(tmp_path)
    entrants = [
        Entrant("full", "", [load(models["full"])]),
        Entrant("lookwhere", "3", [load(models["lookwhere"], k=3)]),
        Entrant("lookwhere", "36", [load(models["lookwhere"], k=36)]),
    ]
    comparison = entered(labelled, *entrants)
    results = as_dict(comparison, [Cost()] * 3, "all", "lookwhere compare")
    answers = zip(*(point.rows for point in comparison.points[:2]), strict=True)
    apart = [mine.path for mine, other in answers if mine.labels[0].label != other.labels[0].label]
    assert [one["path"] for one in results["differences"]] == apart
    assert apart
    documented = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
    first = results["differences"][0]
    for name in (*results, *results["points"][0], *first, *first["answers"][0]):
        assert f"`{name}`" in documented, name
    for one in results["differences"]:
        assert [answer["method"] for answer in one["answers"]] == ["full", "lookwhere"]
        assert all(answer["right"] == (answer["labels"][0]["label"] == one["truth"]) for answer in one["answers"])


spent = st.tuples(st.integers(0, 5), st.integers(1, 5))


@given(st.lists(spent, min_size=1, max_size=12))
def test_the_front_is_what_nobody_beats(pairs: list[tuple[int, int]]) -> None:
    entrant = Entrant("full", "", [])
    points = [Point(entrant, Score(score / 5), None, float(macs), [], np.zeros((0, 1))) for score, macs in pairs]
    for (score, macs), best in zip(pairs, front(points), strict=True):
        better = [pair for pair in pairs if pair[0] >= score and pair[1] <= macs and pair != (score, macs)]
        assert best == (not better)


@given(st.lists(st.integers(0, 50), unique=True).map(sorted))
def test_halves_part_the_pictures(places: list[int]) -> None:
    assert sorted(half_of(places, 0) + half_of(places, 1)) == places


def many(folder: Path) -> LabelledSet:
    """Pictures enough to calibrate on."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.png" for index in range(60)]
    for path in paths:
        pixels = rng.integers(0, 256, 3) + rng.integers(-90, 90, (50, 50, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return LabelledSet("single", CASCADE.labels, tuple(Example(str(path), (0,)) for path in paths), folder)


def test_looking_again_is_from_the_least_share_to_the_largest(tmp_path: Path) -> None:
    models = {name: folder_of(tmp_path / name, one) for name, one in (("full", FULL), ("lookwhere", LABELLED))}
    found = entrants(models, Settings([0.5, 0.25, 0.75], [0.9], [0.5, 0.9]), many(tmp_path), untold, {})
    mine = [one for one in found if one.method == "auto"]
    assert [one.setting for one in mine] == ["again, budget 50%", "again, budget 90%", "again, all stages"]
    for predictor in (predictor for one in mine for predictor in one.predictors):
        assert isinstance(predictor, AdaptivePredictor) and predictor.looks == (Amount(0.25), Amount(0.75))


def test_a_cascade_is_asked_once_and_each_half_has_the_thresholds_of_the_other(
    tmp_path: Path, cascade_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = many(tmp_path)
    paths = [example.path for example in labelled.examples]
    asked: list[str] = []
    glimpse = DVTPredictor.glimpse
    monkeypatch.setattr(DVTPredictor, "glimpse", lambda own, path: asked.append(path) or glimpse(own, path))
    models = {"full": folder_of(tmp_path / "full", FULL), "dvt": str(cascade_folder)}
    found = entrants(models, Settings([0.5], [0.9], [0.01, 0.5, 0.875]), labelled, untold, {})
    mine = [one for one in found if one.method == "dvt"]
    assert sorted(asked) == sorted(paths)
    assert [one.setting for one in mine] == ["budget 50%", "budget 87.5%", "all stages"]
    cascade = load(str(cascade_folder))
    assert isinstance(cascade, DVTPredictor)
    told = ask_all(cascade, paths, untold)
    for half, one in enumerate(mine[0].predictors):
        assert isinstance(one, DVTPredictor)
        assert one.thresholds == calibration(told.at(range(1 - half, 60, 2)), 0.5).thresholds
    (always,) = mine[-1].predictors
    assert {row.exit for row in always.classify(paths[:4])} == {3}
