"""Evaluations of small models: which rows there are, what they cost, and that scores are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.errors import DataError, ModelError, UsageError
from lookwhere_cli.evaluation.evaluate import Evaluation, EvaluationPlan, amounts_for, evaluate
from lookwhere_cli.evaluation.report import as_dict
from lookwhere_cli.evaluation.timm_classifier import TimmClassifier
from lookwhere_cli.loading import load
from lookwhere_cli.segmenter import Segmenter
from lookwhere_cli.training.timm_models import load_vit
from tests.evaluation.models import (
    FULL,
    SEGMENTS,
    SEGMENTS_FULL,
    SEVERAL,
    amounts,
    masks,
    no_progress,
    pictures,
    save,
    several_labels,
    single_labels,
)
from tests.models.small import LABELLED
from tests.training.tiny import CLASSES, teacher_file

QUARTER_AND_ALL = amounts(0.25, 1.0)


def measured(plan: EvaluationPlan, labelled: LabelledSet) -> Evaluation:
    return evaluate(plan, labelled, no_progress)


def kinds(evaluation: Evaluation) -> list[tuple[str, int | float | None]]:
    return [(row.chosen_by, row.k and row.k.value) for row in evaluation.rows]


def paths_of(labelled: LabelledSet) -> list[str]:
    return [example.path for example in labelled.examples]


def plan_for(folder: Path, ks: Sequence[Amount], **changes: object) -> EvaluationPlan:
    """A plan without timing, for a small classifier."""
    plan = EvaluationPlan(load(save(folder, LABELLED)).pipeline, ks, timed=0)
    return replace(plan, **changes)  # type: ignore[arg-type]


def test_every_amount_has_every_chooser_and_a_smaller_picture_and_all_cells_only_one(tmp_path: Path) -> None:
    predictor, labelled = load(save(tmp_path / "model", LABELLED), size=48), single_labels(tmp_path / "data")
    found = measured(EvaluationPlan(predictor.pipeline, QUARTER_AND_ALL, timed=2), labelled)
    assert kinds(found) == [
        *(("selector", 0.25), ("random", 0.25), ("centre", 0.25)),
        *(("all", 1.0), ("downscaled", 0.25)),
    ]
    classified = load(str(tmp_path / "model"), size=48, k=0.25).classify(paths_of(labelled))
    names = [labelled.classes[example.classes[0]] for example in labelled.examples]
    correct = sum(row.labels[0].label == name for row, name in zip(classified, names, strict=True))
    rows = {row.chosen_by: row for row in found.rows}
    assert rows["selector"].scores.metrics["top1"].value == pytest.approx(correct / 9)
    assert found.headline is rows["selector"]
    costs = {name: row.costs for name, row in rows.items()}
    assert costs["selector"] == costs["random"] == costs["centre"]
    assert costs["selector"].macs < costs["all"].macs
    assert rows["downscaled"].size < 48
    assert 0.5 < costs["downscaled"].macs / costs["selector"].macs < 2
    assert [row.seconds is not None for row in found.rows] == [True, False, False, True, True]
    assert found.timed == 2 and found.decode is not None


def test_the_coarse_thumbnail_is_in_the_rows_that_read_it(tmp_path: Path) -> None:
    predictor, labelled = load(save(tmp_path / "model", LABELLED), size=48, coarse=16), single_labels(tmp_path / "data")
    found = measured(EvaluationPlan(predictor.pipeline, QUARTER_AND_ALL, timed=1), labelled)
    coarse = {row["chosen_by"]: row["coarse"] for row in as_dict(found, "all", "")["rows"]}
    assert coarse == {"selector": 16, "random": 16, "centre": 16, "all": 16, "downscaled": 0}
    rows = list(load(str(tmp_path / "model"), size=48, coarse=16, k=0.25).classify(paths_of(labelled)))
    assert found.headline.costs.macs == pytest.approx(sum(row.macs for row in rows) / len(rows))


def test_a_full_vit_and_a_teacher(tmp_path: Path) -> None:
    labels = tuple("abcd")
    assert len(labels) == CLASSES
    plan = EvaluationPlan(
        load(save(tmp_path / "model", replace(LABELLED, labels=labels))).pipeline,
        QUARTER_AND_ALL[:1],
        load(save(tmp_path / "full", replace(FULL, labels=labels[::-1])), k=1.0).pipeline,
        TimmClassifier(load_vit(str(teacher_file(tmp_path)))),
        timed=1,
    )
    found = measured(plan, single_labels(tmp_path / "data", labels))
    assert kinds(found)[3:] == [("downscaled", 0.25), ("full", None), ("teacher", None)]
    downscaled, full, teacher = found.rows[3:]
    assert downscaled.model == full.model == str(tmp_path / "full")
    assert downscaled.costs.macs < full.costs.macs <= full.costs.macs_full
    assert (teacher.size, teacher.costs.cells, teacher.costs.macs) == (32, 16, teacher.costs.macs_full)
    assert all(row.seconds for row in found.rows[3:])


def test_a_teacher_scores_by_its_own_logits(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data", tuple("abcd"))
    Path(labelled.examples[4].path).write_bytes(b"no picture")
    teacher = TimmClassifier(load_vit(str(teacher_file(tmp_path))))
    answers = list(teacher.logits(paths_of(labelled)))
    assert isinstance(answers[4], str) and "4.png" in answers[4]
    plan = EvaluationPlan(
        load(save(tmp_path / "model", replace(LABELLED, labels=tuple("abcd")))).pipeline,
        QUARTER_AND_ALL[1:],
        teacher=teacher,
        timed=0,
    )
    correct = [
        answer[1].argmax() == example.classes[0]
        for answer, example in zip(answers, labelled.examples, strict=True)
        if not isinstance(answer, str)
    ]
    row = measured(plan, labelled).rows[-1]
    assert row.chosen_by == "teacher"
    assert row.scores.metrics["top1"].value == pytest.approx(np.mean(correct))


def test_a_teacher_must_have_the_models_classes(tmp_path: Path) -> None:
    teacher = TimmClassifier(load_vit(str(teacher_file(tmp_path))))
    with pytest.raises(ModelError, match=r"has 4 classes, but '.*' has 3 labels"):
        measured(plan_for(tmp_path / "model", QUARTER_AND_ALL[1:], teacher=teacher), single_labels(tmp_path / "data"))


def test_a_teacher_gives_no_masks(tmp_path: Path) -> None:
    teacher = TimmClassifier(load_vit(str(teacher_file(tmp_path))))
    plan = EvaluationPlan(load(save(tmp_path / "model", SEGMENTS)).pipeline, QUARTER_AND_ALL, teacher=teacher)
    with pytest.raises(UsageError, match="leave --teacher out"):
        measured(plan, masks(tmp_path / "data"))


def test_several_labels(tmp_path: Path) -> None:
    plan = EvaluationPlan(load(save(tmp_path / "model", SEVERAL)).pipeline, amounts(0.5), timed=0)
    found = measured(plan, several_labels(tmp_path / "data"))
    assert list(found.headline.scores.metrics) == ["map", "f1"]
    assert found.headline.scores.support.tolist() == [6, 3]
    assert found.decode is None
    assert all(row.seconds is None for row in found.rows)


def test_masks_are_scored_at_their_own_resolution(tmp_path: Path) -> None:
    labelled = masks(tmp_path / "data")
    plan = EvaluationPlan(
        load(save(tmp_path / "model", SEGMENTS)).pipeline,
        amounts(0.5, 1.0),
        load(save(tmp_path / "full", SEGMENTS_FULL), k=1.0).pipeline,
        timed=1,
    )
    found = measured(plan, labelled)
    pixels = sum(int((np.asarray(Image.open(str(example.mask))) != 255).sum()) for example in labelled.examples)
    for row in found.rows:
        assert list(row.scores.metrics) == ["miou", "pixel_accuracy"]
        assert row.scores.confusion is not None
        assert row.scores.confusion.sum() == pixels
    assert found.headline.scores.support.sum() == pixels
    assert kinds(found)[-2:] == [("downscaled", 0.5), ("full", None)]


def test_masks_are_compared_with_what_segment_writes(tmp_path: Path) -> None:
    predictor, labelled = load(save(tmp_path / "model", SEGMENTS), k=0.5), masks(tmp_path / "data")
    counts = np.zeros((3, 3), int)
    for example, answer in zip(labelled.examples, Segmenter(predictor).segment(paths_of(labelled)), strict=True):
        truth = np.asarray(Image.open(str(example.mask)))
        labels = np.array([1, 0])[truth.clip(0, 1)]  # dog is the model's second label, cat its first
        assert answer.classes is not None
        np.add.at(counts, (labels[truth != 255], answer.classes[truth != 255]), 1)
    found = measured(EvaluationPlan(predictor.pipeline, amounts(0.5), timed=0), labelled)
    assert found.headline.scores.confusion is not None
    assert found.headline.scores.confusion.tolist() == counts.tolist()


def test_unreadable_pictures_are_named_and_left_out(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data")
    Path(labelled.examples[4].path).write_bytes(b"no picture")
    plan = plan_for(tmp_path / "model", amounts(0.5))
    found = measured(plan, labelled)
    assert found.pictures == 8
    assert len(found.failed) == 1
    assert "4.png" in found.failed[0]
    for example in labelled.examples:
        Path(example.path).write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the 9 pictures"):
        measured(plan, labelled)


def test_a_mask_that_does_not_fit_is_named_and_left_out(tmp_path: Path) -> None:
    first, second = masks(tmp_path / "one"), masks(tmp_path / "two")
    labelled = replace(first, examples=first.examples + second.examples)
    broken = str(labelled.examples[4].mask)
    Image.new("L", (3, 3)).save(broken)
    plan = EvaluationPlan(load(save(tmp_path / "model", SEGMENTS)).pipeline, amounts(0.5), timed=0)
    found = measured(plan, labelled)
    assert found.pictures == len(labelled.examples) - 1
    (sentence,) = found.failed
    assert broken in sentence and "is 3 x 3 pixels" in sentence


def test_amounts_are_the_models_own_and_some_shares_each_once(tmp_path: Path) -> None:
    pipeline = load(save(tmp_path / "model", LABELLED)).pipeline
    assert amounts_for(pipeline, []) == amounts(0.5, 0.1, 0.25, 1.0)
    assert amounts_for(pipeline, amounts(9, 0.25, 1.0, 36)) == amounts(9, 1.0)  # 9 are 25 % of 36
    assert amounts_for(pipeline, amounts(0.25, 0.5)) == amounts(0.5, 0.25)
    full = load(save(tmp_path / "full", FULL)).pipeline
    assert amounts_for(full, []) == amounts(1.0)
    with pytest.raises(UsageError, match="no selector"):
        amounts_for(full, amounts(0.5))


def test_the_record_has_all_values(tmp_path: Path) -> None:
    found = as_dict(
        measured(plan_for(tmp_path / "model", amounts(0.5, 3, 1.0)), single_labels(tmp_path / "data")),
        "all",
        "the command",
    )
    assert found["command"] == "the command"
    assert [row["patches"] for row in found["rows"] if row["chosen_by"] in ("selector", "all")] == ["50%", "3", "all"]
    assert [row["headline"] for row in found["rows"]] == [True] + [False] * (len(found["rows"]) - 1)
    assert sum(count for _, _, count in found["confusion"]["counts"]) == found["pictures"] == 9


def test_the_confusion_has_only_labels_that_occur(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data", ("dog", "cat"))
    found = measured(plan_for(tmp_path / "model", amounts(1.0)), labelled)
    confusion = as_dict(found, "all", "")["confusion"]
    counts = found.headline.scores.confusion
    assert counts is not None
    labels = confusion["labels"]
    assert set(labels) == {LABELLED.labels[index] for index in {*np.argwhere(counts).flatten().tolist()}}
    assert confusion["counts"] == [
        [labels.index(LABELLED.labels[truth]), labels.index(LABELLED.labels[answer]), int(counts[truth, answer])]
        for truth, answer in np.argwhere(counts)
    ]


def test_folders_on_disk(tmp_path: Path) -> None:
    for place, path in enumerate(pictures(tmp_path / "new")):
        folder = tmp_path / "data" / ("cat", "dog", "bird")[place % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Path(path).rename(folder / Path(path).name)
    assert measured(plan_for(tmp_path / "model", amounts(0.5)), read_examples(tmp_path / "data")).pictures == 9
