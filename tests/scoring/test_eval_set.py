"""Labelled sets under several policies: which pictures count, and what the truth is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.data.examples import LabelledSet
from lookwhere_cli.errors import DataError, ModelError, UsageError
from lookwhere_cli.loading import load
from lookwhere_cli.models.config import Config
from lookwhere_cli.scoring import eval_set
from lookwhere_cli.scoring.eval_set import EvalSet, ScoringTask
from lookwhere_cli.scoring.passes import CellPolicy, Measured
from tests.evaluation.models import SEGMENTS, SEVERAL, amounts, masks, no_progress, save, single_labels
from tests.models.small import LABELLED, SMALL

POLICIES = [CellPolicy("selector", k) for k in amounts(0.5, 1.0)]


def test_pictures_that_can_not_be_read_drop_out_in_the_first_pass(tmp_path: Path) -> None:
    labelled = single_labels(tmp_path / "data")
    Path(labelled.examples[4].path).write_bytes(b"no picture")
    pictures, opened = EvalSet(labelled, no_progress), []
    task = ScoringTask(load(save(tmp_path / "model", LABELLED)).pipeline, labelled)

    def run(paths):
        opened.append(list(paths))
        return [
            "4.png is damaged" if "4.png" in path else Measured([np.eye(3, dtype=np.float32)[0]], (1, place + 1))
            for place, path in enumerate(paths)
        ]

    (scores,) = pictures.score(task, 1, run, "")
    assert scores.metrics["top1"].value == 2 / 8  # of three cats, the model's first label, one can't be read
    assert pictures.failed == ["4.png is damaged"]
    assert list(pictures.sizes) == [0, 1, 2, 3, 5, 6, 7, 8]
    assert pictures.sizes[8] == (1, 9)
    pictures.score(task, 1, run, "")
    assert opened == [[example.path for example in labelled.examples], pictures.paths]
    assert pictures.failed == ["4.png is damaged"]


def test_scores_do_not_depend_on_how_many_pictures_are_scored_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, labelled = load(save(tmp_path / "model", LABELLED)).pipeline, single_labels(tmp_path / "data")
    scores = EvalSet(labelled, no_progress).score_policies(pipeline, POLICIES, "")
    monkeypatch.setattr(eval_set, "BATCH", 2)
    again = EvalSet(labelled, no_progress).score_policies(pipeline, POLICIES, "")
    for one, other in zip(scores, again, strict=True):
        assert one.metrics["top1"] == other.metrics["top1"]
        assert one.confusion is not None and other.confusion is not None
        assert one.confusion.tolist() == other.confusion.tolist()


def test_no_picture_at_all(tmp_path: Path) -> None:
    pipeline, labelled = load(save(tmp_path / "model", LABELLED)).pipeline, single_labels(tmp_path / "data")
    for example in labelled.examples:
        Path(example.path).write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"None of the 9 pictures can be read: .*0\.png"):
        EvalSet(labelled, no_progress).score_policies(pipeline, POLICIES, "")


def test_labels_are_the_models(tmp_path: Path) -> None:
    pipeline = load(save(tmp_path / "model", LABELLED)).pipeline
    task = ScoringTask(pipeline, single_labels(tmp_path / "data"))  # bird, cat, dog; the model has cat, dog, bird
    assert [task.truth(place).labels for place in range(3)] == [(2,), (0,), (1,)]


def test_masks_are_read_once_and_in_the_models_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled, read = masks(tmp_path / "data"), []
    load_mask = eval_set.load_mask
    monkeypatch.setattr(eval_set, "load_mask", lambda path: read.append(path) or load_mask(path))
    task = ScoringTask(load(save(tmp_path / "model", SEGMENTS)).pipeline, labelled)
    stored = np.asarray(Image.open(str(labelled.examples[3].mask)))
    for _ in range(2):
        mask = task.truth(3).mask()
        assert np.array_equal(mask, np.array([1, 0])[stored.clip(0, 1)] * (stored < 255) + 255 * (stored == 255))
    assert read == [labelled.examples[3].mask]


@pytest.mark.parametrize(
    ("config", "kind", "sentence"),
    [
        (SMALL, "single", "no labels, so there is nothing to measure"),
        (LABELLED, "multi", "gives one label, but the data have several labels for each picture; choose another model"),
        (SEVERAL, "single", r"gives several labels, but the data have one label .*read them with --multi-label"),
        (SEGMENTS, "single", "segments, but the data have one label for each picture"),
        (LABELLED, "masks", "gives one label, but the data have masks"),
        (SEVERAL, "masks", "gives several labels, but the data have masks"),
    ],
)
def test_a_model_of_another_task(tmp_path: Path, config: Config, kind: Any, sentence: str) -> None:
    pipeline = load(save(tmp_path / "model", config)).pipeline
    with pytest.raises(ModelError, match=sentence):
        ScoringTask(pipeline, LabelledSet(kind, ("cat",), (), Path()))


def test_cropped_pictures_have_no_answer_for_some_pixels(tmp_path: Path) -> None:
    name = save(tmp_path / "model", SEGMENTS)
    with pytest.raises(UsageError, match="leaves pixels without a class"):
        ScoringTask(load(name, mode="crop").pipeline, LabelledSet("masks", ("cat",), (), Path()))
    ScoringTask(load(name, mode="stretch").pipeline, LabelledSet("masks", ("cat",), (), Path()))


def test_classes_that_the_model_lacks(tmp_path: Path) -> None:
    pipeline = load(save(tmp_path / "model", LABELLED)).pipeline
    labelled = replace(single_labels(tmp_path / "data"), classes=("bird", "cat", "dogs"))
    with pytest.raises(DataError, match=r"no class 'dogs'\. Did you mean 'dog'\?"):
        ScoringTask(pipeline, labelled)
