"""Comparisons of small models: scores are right, paired, and in the pictures' order; the front is the front."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.errors import DataError, ModelError, UsageError
from lookwhere_cli.evaluation.calibrate import calibrate, measure_confidences
from lookwhere_cli.evaluation.compare import report
from lookwhere_cli.evaluation.compare.candidates import CandidateMaker, ComparisonSettings
from lookwhere_cli.evaluation.compare.comparison import Candidate, Comparison, Point, compare, half_of, pareto_front
from lookwhere_cli.evaluation.compare.report import MachineCosts, as_dict
from lookwhere_cli.evaluation.evaluate import EvaluationPlan, evaluate
from lookwhere_cli.loading import load
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.intervals import Score
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.reader import PictureReader
from lookwhere_cli.scoring.variants import staged_strategy
from lookwhere_cli.segmenter import Segmenter
from lookwhere_cli.show.comparison_page import comparison_page
from tests.evaluation.models import (
    DETECTS,
    DETECTS_FULL,
    FULL,
    SEGMENTS,
    SEGMENTS_FULL,
    SEVERAL,
    amounts,
    boxes,
    masks,
    no_progress,
    save,
    several_labels,
    single_labels,
)
from tests.images.large.files import write_raster
from tests.models.small import CASCADE, LABELLED, PRUNING


def compared(labelled: LabelledSet, *predictors: Predictor | tuple[Predictor, ...]) -> Comparison:
    candidates = [
        Candidate("any", str(number), one if isinstance(one, tuple) else [one]) for number, one in enumerate(predictors)
    ]
    return compare(candidates, labelled, no_progress)


def made(
    models: dict[str, str], labelled: LabelledSet, amounts: list[float], prunes: list[float], budgets: list[float]
) -> list[Candidate]:
    return CandidateMaker(ComparisonSettings(amounts, prunes, budgets), labelled, {}, no_progress).make(models)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    configs = {"lookwhere": LABELLED, "full": FULL, "segments": SEGMENTS, "segments-full": SEGMENTS_FULL}
    return {name: save(folder / name, config) for name, config in configs.items()}


def test_scores_are_those_of_the_rows_and_differences_are_paired(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single_labels(tmp_path)
    full, half = load(models["full"]), load(models["lookwhere"], k=0.5)
    first, second = compared(labelled, full, half).points
    names = [labelled.classes[example.classes[0]] for example in labelled.examples]
    correct = [row.labels[0].label == name for row, name in zip(second.rows, names, strict=True)]
    assert second.score.value == pytest.approx(sum(correct) / len(names))
    assert second.macs == pytest.approx(np.mean([row.macs for row in half.classify(row.path for row in second.rows)]))
    assert first.difference is None
    assert second.difference is not None
    assert second.difference.value == pytest.approx(second.score.value - first.score.value)
    assert second.difference.low is not None and second.difference.low <= second.difference.value


def test_a_model_does_not_differ_from_itself(tmp_path: Path, models: dict[str, str]) -> None:
    full = load(models["full"])
    assert compared(single_labels(tmp_path), full, full).points[1].difference == Score(0.0, 0.0, 0.0)


def test_each_half_is_answered_by_its_own_predictor_in_the_pictures_order(
    tmp_path: Path, models: dict[str, str]
) -> None:
    full, few, many = load(models["full"]), load(models["lookwhere"], k=3), load(models["lookwhere"], k=9)
    points = compared(single_labels(tmp_path), full, (few, many)).points
    assert [row.path for row in points[1].rows] == [row.path for row in points[0].rows]
    assert [row.k for row in points[1].rows] == [3, 9, 3, 9, 3, 9, 3, 9, 3]


def test_an_unreadable_picture_counts_for_no_candidate(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single_labels(tmp_path)
    Path(labelled.examples[3].path).write_bytes(b"no picture")
    few, many = load(models["lookwhere"], k=3), load(models["lookwhere"], k=9)
    comparison = compared(labelled, load(models["full"]), (few, many))
    assert list(comparison.places) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert len(comparison.failed) == 1 and labelled.examples[3].path in comparison.failed[0]
    assert [row.k for row in comparison.points[1].rows] == [3, 9, 3, 3, 9, 3, 9, 3]


def test_masks_are_scored_as_evaluate_scores_them(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = masks(tmp_path)
    half = load(models["segments"], k=0.5)
    point = compared(labelled, load(models["segments-full"]), half).points[1]
    row = evaluate(EvaluationPlan(half.pipeline, amounts(0.5), timed=0), labelled, no_progress).headline
    assert point.score.value == pytest.approx(row.scores.metrics["miou"].value, abs=1e-9)
    assert point.macs == pytest.approx(row.costs.macs)


def test_rasters_are_scored_as_evaluate_scores_them(tmp_path: Path, models: dict[str, str]) -> None:
    """Also where they have no data, and where they have more pixels than a grid of the model."""
    labelled = masks(tmp_path)
    for example in labelled.examples:
        with Image.open(example.path) as picture:
            pixels = np.asarray(picture.convert("RGB").resize((80, 60)))
        write_raster(example.path, np.where(np.arange(80)[:, None] < 20, 255, pixels), overviews=(), nodata=255)
        with Image.open(example.mask) as mask:
            truth = mask.resize((80, 60), Image.Resampling.NEAREST)
        truth.save(example.mask)
    assert (next(Segmenter(load(models["segments-full"])).segment(labelled.examples[0].path)).classes == 255).any()
    half = load(models["segments"], k=0.5)
    point = compared(labelled, load(models["segments-full"]), half).points[1]
    row = evaluate(EvaluationPlan(half.pipeline, amounts(0.5), timed=0), labelled, no_progress).headline
    assert point.score.value == pytest.approx(row.scores.metrics["miou"].value, abs=1e-9)


def test_a_mask_that_does_not_fit_is_named_and_counts_for_no_candidate(tmp_path: Path, models: dict[str, str]) -> None:
    first, second = masks(tmp_path / "one"), masks(tmp_path / "two")
    labelled = replace(first, examples=first.examples + second.examples)
    broken = str(labelled.examples[4].mask)
    Image.new("L", (3, 3)).save(broken)
    comparison = compared(labelled, load(models["segments-full"]))
    assert len(comparison.points[0].rows) == len(labelled.examples) - 1
    (sentence,) = comparison.failed
    assert broken in sentence and "is 3 x 3 pixels" in sentence


def test_data_and_models_that_can_not_be_compared(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single_labels(tmp_path / "data")
    with pytest.raises(ModelError, match="segments, but the data have one label for each picture"):
        compared(labelled, load(models["segments-full"]))
    with pytest.raises(DataError, match="Several labels for each picture can't be compared"):
        compared(several_labels(tmp_path / "several"), load(save(tmp_path / "model", SEVERAL)))
    for example in labelled.examples:
        Path(example.path).write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the 9 pictures can be read"):
        compared(labelled, load(models["full"]))


def test_the_report_has_the_cells_that_were_never_dropped(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single_labels(tmp_path / "data")
    pruned = load(save(tmp_path / "pruned", PRUNING), k=16)
    candidates = [Candidate("full", "", [load(models["full"])]), Candidate("pruned", "", [pruned])]
    comparison = compare(candidates, labelled, no_progress)
    results = as_dict(comparison, [MachineCosts()] * 2, "all", "lookwhere compare")
    assert results["differences"]
    for one in results["differences"]:
        full, other = one["answers"]
        explanation = pruned.explain(str(labelled.root / one["path"]))
        assert full["left"] is None and explanation.survivors is not None
        survivors = [list(divmod(cell, other["grid"][1])) for cell in sorted(explanation.survivors)]
        assert other["left"] == survivors
        assert 0 < len(other["left"]) < other["k"]


def test_the_report_has_the_pictures_on_which_methods_disagree(tmp_path: Path, models: dict[str, str]) -> None:
    candidates = [
        Candidate("full", "", [load(models["full"])]),
        Candidate("lookwhere", "3", [load(models["lookwhere"], k=3)]),
        Candidate("lookwhere", "36", [load(models["lookwhere"], k=36)]),
    ]
    comparison = compare(candidates, single_labels(tmp_path), no_progress)
    results = as_dict(comparison, [MachineCosts()] * 3, "all", "lookwhere compare")
    full, typical = comparison.points[:2]
    apart = [
        Path(other.path).name
        for one, other in zip(full.rows, typical.rows, strict=True)
        if one.labels[0].label != other.labels[0].label
    ]
    assert apart
    assert [one["path"] for one in results["differences"]] == apart
    documented = (Path(__file__).parents[2] / "docs" / "compare.md").read_text()
    first = results["differences"][0]
    for name in (*results, *results["points"][0], *first, *first["answers"][0]):
        assert f"`{name}`" in documented, name
    for one in results["differences"]:
        assert [answer["method"] for answer in one["answers"]] == ["full", "lookwhere"]
        assert all(answer["right"] == (answer["labels"][0]["label"] == one["truth"]) for answer in one["answers"])


@pytest.mark.slow
def test_masks_disagree_by_their_shares_of_correct_pixels(tmp_path: Path, models: dict[str, str]) -> None:
    candidates = [
        Candidate("full", "", [load(models["segments-full"])]),
        Candidate("lookwhere", "", [load(models["segments"], k=3)]),
    ]
    results = as_dict(compare(candidates, masks(tmp_path), no_progress), [MachineCosts()] * 2, "all", "")
    ranges = []
    for one in results["differences"]:
        assert one["truth"] is None and one["mask"]
        shares = [answer["right"] for answer in one["answers"]]
        ranges.append(max(shares) - min(shares))
    assert ranges and ranges == sorted(ranges, reverse=True) and min(ranges) > 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), min_size=1, max_size=12))
def test_the_front_has_what_no_other_point_dominates(pairs: list[tuple[int, int]]) -> None:
    candidate = Candidate("full", "", [])
    points = [Point(candidate, Score(score / 5), None, float(macs), [], np.zeros((0, 1))) for score, macs in pairs]
    for (score, macs), on_front in zip(pairs, pareto_front(points), strict=True):
        better = [pair for pair in pairs if pair[0] >= score and pair[1] <= macs and pair != (score, macs)]
        assert on_front == (not better)


@given(st.lists(st.integers(0, 50), unique=True).map(sorted))
def test_halves_part_the_pictures(places: list[int]) -> None:
    assert sorted(half_of(places, 0) + half_of(places, 1)) == places


def enough_to_calibrate(folder: Path, count: int = 60) -> LabelledSet:
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.png" for index in range(count)]
    for path in paths:
        pixels = rng.integers(0, 256, 3) + rng.integers(-90, 90, (50, 50, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return LabelledSet("single", CASCADE.labels, tuple(Example(str(path), (0,)) for path in paths), folder)


def test_the_baselines_are_made_of_the_full_vit(tmp_path: Path, models: dict[str, str]) -> None:
    labelled = single_labels(tmp_path)
    candidates = made({"full": models["full"]}, labelled, [0.5], [0.6, 0.9], [0.5])
    assert [(one.method, one.setting) for one in candidates] == [
        *(("full", ""), ("smaller", "20 px"), ("smaller", "16 px"), ("smaller", "12 px")),
        *(("random", "60% of MACs"), ("random", "90% of MACs"), ("tome", "r = 5")),  # none merges as much as 60 % asks
    ]
    macs = {one.setting: one.predictor.classify(labelled.examples[1].path).macs for one in candidates}
    full = macs[""]
    assert macs["12 px"] < macs["16 px"] < macs["20 px"] < full
    assert macs["60% of MACs"] < macs["90% of MACs"] < full
    merged = {rate: passes.count_merged(FULL, FULL.grid, rate).total for rate in (0, 4, 5)}
    assert macs["r = 5"] == merged[5] <= 0.9 * merged[0] < merged[4]
    labels = {one.setting: one.predictor.classify(labelled.examples[1].path).labels for one in candidates}
    assert len({answer[0].probability for answer in labels.values()}) == len(candidates)  # they differ in what they do


def test_masks_have_baselines_with_a_place_for_every_cell(tmp_path: Path, models: dict[str, str]) -> None:
    candidates = made({"full": models["segments-full"]}, masks(tmp_path), [0.5], [0.9], [0.5])
    (dropping,) = (one for one in candidates if one.method == "random")
    assert dropping.predictor.config.prune_fusion
    comparison = compare(candidates, masks(tmp_path / "more"), no_progress)
    assert len(comparison.points) == len(candidates)


def test_shares_of_the_cells_and_the_models_own_k(tmp_path: Path, models: dict[str, str]) -> None:
    names = {"full": models["full"], "lookwhere": models["lookwhere"]}
    candidates = made(names, single_labels(tmp_path), [0.25, 0.75], [0.9], [0.5])
    mine = [one for one in candidates if one.method == "lookwhere"]
    assert [one.setting for one in mine] == ["25%", "50%", "75%"]
    assert [one.options for one in mine] == [{"k": 0.25}, {"k": 0.5}, {"k": 0.75}]
    assert not [one for one in candidates if one.method == "auto"]  # nine pictures are too few to calibrate


def test_pruning_is_tried_at_every_share(tmp_path: Path, models: dict[str, str]) -> None:
    pruned = save(tmp_path / "pruned", PRUNING)
    cropr = save(tmp_path / "cropr", replace(PRUNING, selector_depth=0, prefix="own"))
    names = {"full": models["full"], "pruned": pruned, "cropr": cropr}
    candidates = made(names, single_labels(tmp_path / "data"), [0.5, 1.0], [0.8, 0.9], [0.5])
    assert [one.setting for one in candidates if one.method == "pruned"] == [
        *("50%, 80% of MACs", "50%, 90% of MACs", "100%, 80% of MACs", "100%, 90% of MACs")
    ]
    assert [one.setting for one in candidates if one.method == "cropr"] == ["80% of MACs", "90% of MACs"]


def test_looking_twice_goes_from_the_smallest_share_to_the_largest(tmp_path: Path, models: dict[str, str]) -> None:
    names = {"full": models["full"], "lookwhere": models["lookwhere"]}
    candidates = made(names, enough_to_calibrate(tmp_path, 40), [0.5, 0.25, 0.75], [0.9], [0.5, 0.9])
    mine = [one for one in candidates if one.method == "auto"]
    assert [one.setting for one in mine] == ["again, budget 50%", "again, budget 90%", "again, all stages"]
    for predictor in (predictor for one in mine for predictor in one.predictors):
        assert staged_strategy(predictor.pipeline).config.looks == (Amount.share(0.25), Amount.share(0.75))
    few = made(names, enough_to_calibrate(tmp_path, 39), [0.5, 0.25], [0.9], [0.5])
    assert not [one for one in few if one.method == "auto"]
    one_amount = made(names, enough_to_calibrate(tmp_path, 40), [0.5], [0.9], [0.5])
    assert not [one for one in one_amount if one.method == "auto"]


def test_a_second_look_that_adds(tmp_path: Path, models: dict[str, str]) -> None:
    looks = replace(LABELLED, looks=(0.125, 0.375), second_look="add")
    names = {"full": models["full"], "auto": save(tmp_path / "auto", looks)}
    candidates = made(names, enough_to_calibrate(tmp_path, 40), [0.5], [0.9], [0.9])
    assert [one.setting for one in candidates if one.method == "auto"] == ["adding, budget 90%", "adding, all stages"]


def test_a_cascade_runs_once_and_each_half_has_the_thresholds_of_the_other(
    tmp_path: Path, models: dict[str, str], cascade_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = enough_to_calibrate(tmp_path)
    paths = [example.path for example in labelled.examples]
    opened: list[str] = []
    prepare = PictureReader.prepare
    monkeypatch.setattr(
        PictureReader, "prepare", lambda own, path, *rest: opened.append(path) or prepare(own, path, *rest)
    )
    names = {"full": models["full"], "dvt": str(cascade_folder)}
    candidates = made(names, labelled, [0.5], [0.9], [0.01, 0.5, 0.875])
    mine = [one for one in candidates if one.method == "dvt"]
    assert sorted(opened) == sorted(paths)
    assert [one.setting for one in mine] == ["budget 50%", "budget 87.5%", "all stages"]
    measured = measure_confidences(load(str(cascade_folder)).pipeline, paths, no_progress)
    for half, predictor in enumerate(mine[0].predictors):
        others = measured.at(range(1 - half, 60, 2))
        assert staged_strategy(predictor.pipeline).thresholds == calibrate(others, 0.5).thresholds
    assert {row.exit for row in mine[-1].predictor.classify(paths[:4])} == {3}


@pytest.mark.parametrize(
    ("method", "name", "sentence"),
    [
        ("full", "lookwhere", "is not a full ViT"),
        ("full", "cascade", "is not a full ViT"),
        ("lookwhere", "full", "has no selector, so it can't be the one for lookwhere"),
        ("cropr", "pruned", "has a selector, so it can't be the one for cropr"),
        ("auto", "lookwhere", "has no second look"),
        ("dvt", "lookwhere", "is not a cascade over grids"),
    ],
)
def test_models_of_another_method(
    tmp_path: Path, models: dict[str, str], cascade_folder: Path, method: str, name: str, sentence: str
) -> None:
    known = models | {"cascade": str(cascade_folder), "pruned": save(tmp_path / "pruned", PRUNING)}
    with pytest.raises(ModelError, match=sentence):
        made({"full": models["full"], method: known[name]}, single_labels(tmp_path), [0.5], [0.9], [0.5])


def test_pruning_to_an_impossible_share(tmp_path: Path, models: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="give larger shares with --prune"):
        made({"full": models["full"]}, single_labels(tmp_path), [0.5], [0.01], [0.5])


@pytest.mark.slow
def test_boxes_are_compared_by_all_boxes_and_shown_by_the_confident_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_disagreement", lambda *_: 1.0)  # models with random weights all find nothing
    labelled = boxes(tmp_path / "data")
    names = {"full": save(tmp_path / "full", DETECTS_FULL), "lookwhere": save(tmp_path / "model", DETECTS)}
    candidates = made(names, labelled, [0.25], [0.8], [0.5])
    assert {one.method for one in candidates} == {"full", "smaller", "random", "tome", "lookwhere"}
    found = compare(candidates, labelled, no_progress)
    assert found.metric.name == "ap50"
    for point in found.points:
        plan = EvaluationPlan(point.candidate.predictor.pipeline, [Amount.share(1.0)], timed=0)
        if point.candidate.method == "full":
            scored = evaluate(plan, labelled, no_progress).headline.scores.metrics["ap50"].value
            assert point.score.value == pytest.approx(scored, abs=0.02)
    results = as_dict(found, [MachineCosts()] * len(found.points), "all", "command")
    assert results["kind"] == "boxes"
    for difference in results["differences"]:
        for answer in difference["answers"]:
            assert all(one["score"] >= 0.25 for one in answer["boxes"]) and len(answer["size"]) == 2
    true_boxes = {labelled.name(example): example.objects for example in labelled.examples}
    assert len(results["differences"]) == len(labelled.examples)
    for difference in results["differences"]:
        objects = true_boxes[difference["path"]]
        assert objects is not None and [one["box"] for one in difference["boxes"]] == objects.boxes.tolist()
        assert [one["label"] for one in difference["boxes"]] == [labelled.classes[one] for one in objects.classes]
        assert [one["index"] for one in difference["boxes"]] == [
            DETECTS.labels.index(labelled.classes[one]) for one in objects.classes
        ]
    truths = {one["path"]: one["truth"] for one in results["differences"]}
    assert all(truth == "nothing" or truth[0].isdigit() for truth in truths.values())
    pictures = {one["path"]: Image.new("RGB", (60, 40)) for one in results["differences"]}
    html = comparison_page(results, pictures, {})
    assert "F1" in html and html.count("1 true box<") == html.count("2 true boxes") == 3
