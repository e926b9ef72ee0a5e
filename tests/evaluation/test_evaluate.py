"""Evaluations of small models: which lines there are, what they cost, and that the figures are right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.data.read import read_examples
from lookwhere_cli.data.splits import split_examples, write_split
from lookwhere_cli.errors import DataError, ModelError, UsageError
from lookwhere_cli.evaluation.evaluate import Contest, Evaluation, amounts_for, evaluate
from lookwhere_cli.evaluation.report import as_dict
from lookwhere_cli.evaluation.timm_classifier import Full
from lookwhere_cli.loading import load
from lookwhere_cli.metrics.eval_set import part_of, task_for
from lookwhere_cli.models.config import Config
from lookwhere_cli.training.timm_models import load_vit
from tests.models.small import LABELLED, SMALL, small
from tests.training.tiny import CLASSES, teacher_file

SEVERAL = replace(LABELLED, multi_label=True)
FULL = replace(LABELLED, selector_depth=0, prefix="own")
SEGMENTS = replace(LABELLED, task="segment", decoder_scale=2)
SEGMENTS_FULL = replace(FULL, task="segment", decoder_scale=2)


def amounts(*values: int | float) -> list[Amount]:
    return [Amount.parse(value) for value in values]


AMOUNTS = amounts(0.25, 1.0)


def untold(items: Iterable[Any], total: int, title: str) -> Iterable[Any]:
    return items


def folder_of(place: Path, config: Config, seed: int = 0) -> str:
    save_model(place, small(config, seed))
    return str(place)


def pictures(root: Path, count: int = 9) -> list[str]:
    root.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = []
    for index in range(count):
        height, width = ((40, 60), (50, 50))[index % 2]
        paths.append(str(root / f"{index}.png"))
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(paths[-1])
    return paths


def single(root: Path, classes: tuple[str, ...] = ("bird", "cat", "dog")) -> LabelledSet:
    examples = (Example(path, (place % len(classes),)) for place, path in enumerate(pictures(root)))
    return LabelledSet("single", classes, tuple(examples), root)


def masks(root: Path) -> LabelledSet:
    """Masks of two classes, some pixels ignored."""
    examples = []
    (root / "masks").mkdir(parents=True)
    for place, path in enumerate(pictures(root / "images")):
        height, width = np.asarray(Image.open(path)).shape[:2]
        mask = np.random.default_rng(place).choice([0, 1, 255], (height, width)).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{place}.png")
        examples.append(Example(path, mask=str(root / "masks" / f"{place}.png")))
    return LabelledSet("masks", ("dog", "cat"), tuple(examples), root)


def kinds(evaluation: Evaluation) -> list[tuple[str, int | float | None]]:
    return [(line.by, line.k and line.k.value) for line in evaluation.lines]


def test_every_amount_by_every_chooser_and_downscaled_and_all_once(tmp_path: Path) -> None:
    predictor = load(folder_of(tmp_path / "model", LABELLED), size=48)
    labelled = single(tmp_path / "data")
    found = evaluate(Contest(predictor, AMOUNTS, timed=2), labelled, untold)
    assert kinds(found) == [
        *(("selector", 0.25), ("random", 0.25), ("centre", 0.25)),
        *(("all", 1.0), ("downscaled", 0.25)),
    ]
    right = sum(
        row.labels[0].label == labelled.classes[example.classes[0]]
        for example, row in zip(
            labelled.examples,
            load(str(tmp_path / "model"), size=48, k=0.25).classify([example.path for example in labelled.examples]),
            strict=True,
        )
    )
    by = {line.by: line for line in found.lines}
    assert by["selector"].scores.figures["top1"].value == pytest.approx(right / 9)
    assert found.headline is by["selector"]
    assert by["selector"].macs == by["random"].macs == by["centre"].macs < by["all"].macs
    assert by["downscaled"].size < 48
    assert 0.5 < by["downscaled"].macs / by["selector"].macs < 2
    assert [line.seconds is not None for line in found.lines] == [True, False, False, True, True]
    assert found.decode is not None


def test_what_is_read_coarsely_is_told_of_the_lines_that_read_it(tmp_path: Path) -> None:
    predictor = load(folder_of(tmp_path / "model", LABELLED), size=48, coarse=16)
    found = evaluate(Contest(predictor, AMOUNTS, timed=1), single(tmp_path / "data"), untold)
    told = {row["chosen_by"]: row["coarse"] for row in as_dict(found, "all", "")["rows"]}
    assert told == {"selector": 16, "random": 16, "centre": 16, "all": 16, "downscaled": 0}
    rows = list(load(str(tmp_path / "model"), size=48, coarse=16, k=0.25).classify(pictures(tmp_path / "data")))
    assert found.headline.macs == pytest.approx(sum(row.macs for row in rows) / len(rows))


def test_the_full_vit_and_a_teacher_stand_beside(tmp_path: Path) -> None:
    labels = tuple("abcd")
    assert len(labels) == CLASSES
    predictor = load(folder_of(tmp_path / "model", replace(LABELLED, labels=labels)))
    full = load(folder_of(tmp_path / "full", replace(FULL, labels=labels[::-1])), k=1.0)
    teacher = Full(load_vit(str(teacher_file(tmp_path))))
    found = evaluate(Contest(predictor, AMOUNTS[:1], full, teacher, timed=1), single(tmp_path / "data", labels), untold)
    assert kinds(found)[3:] == [("downscaled", 0.25), ("full", None), ("teacher", None)]
    smaller, whole, other = found.lines[3:]
    assert smaller.model == whole.model == str(tmp_path / "full")
    assert smaller.macs < whole.macs <= whole.macs_full
    assert (other.size, other.cells, other.macs) == (32, 16, other.macs_full)
    assert all(line.seconds for line in found.lines[3:])


def test_a_teacher_must_have_the_same_classes(tmp_path: Path) -> None:
    predictor = load(folder_of(tmp_path / "model", LABELLED))
    contest = Contest(predictor, AMOUNTS[1:], teacher=Full(load_vit(str(teacher_file(tmp_path)))), timed=0)
    with pytest.raises(ModelError, match=r"has 4 classes, but '.*' has 3 labels"):
        evaluate(contest, single(tmp_path / "data"), untold)


def test_several_labels(tmp_path: Path) -> None:
    paths = pictures(tmp_path / "data")
    examples = tuple(Example(path, ((), (0,), (0, 1))[place % 3]) for place, path in enumerate(paths))
    labelled = LabelledSet("multi", ("dog", "cat"), examples, tmp_path / "data")
    predictor = load(folder_of(tmp_path / "model", SEVERAL))
    found = evaluate(Contest(predictor, amounts(0.5), timed=0), labelled, untold)
    scores = found.headline.scores
    assert list(scores.figures) == ["map", "f1"]
    assert scores.support.tolist() == [6, 3]
    assert found.decode is None
    assert all(line.seconds is None for line in found.lines)


def test_masks_are_counted_at_their_own_resolution(tmp_path: Path) -> None:
    predictor = load(folder_of(tmp_path / "model", SEGMENTS))
    full = load(folder_of(tmp_path / "full", SEGMENTS_FULL), k=1.0)
    labelled = masks(tmp_path / "data")
    found = evaluate(Contest(predictor, amounts(0.5, 1.0), full, timed=1), labelled, untold)
    counted = sum(int((np.asarray(Image.open(str(one.mask))) != 255).sum()) for one in labelled.examples)
    for line in found.lines:
        assert list(line.scores.figures) == ["miou", "pixel_accuracy"]
        assert line.scores.confusion is not None
        assert line.scores.confusion.sum() == counted
    assert found.lines[0].scores.support.sum() == counted
    assert kinds(found)[-2:] == [("downscaled", 0.5), ("full", None)]


def test_masks_are_compared_with_what_segment_gives(tmp_path: Path) -> None:
    from lookwhere_cli.segmenter import Segmenter

    predictor = load(folder_of(tmp_path / "model", SEGMENTS), k=0.5)
    labelled = masks(tmp_path / "data")
    answers = Segmenter(predictor).segment([one.path for one in labelled.examples])
    counts = np.zeros((3, 3), int)
    for one, answer in zip(labelled.examples, answers, strict=True):
        truth = np.asarray(Image.open(str(one.mask)))
        names = np.array([1, 0])[truth.clip(0, 1)]  # dog is the model's second label, cat its first
        np.add.at(counts, (names[truth != 255], answer.classes[truth != 255]), 1)
    found = evaluate(Contest(predictor, amounts(0.5), timed=0), labelled, untold)
    assert found.headline.scores.confusion is not None
    assert found.headline.scores.confusion.tolist() == counts.tolist()


def test_what_cant_be_read_is_told_and_left_out(tmp_path: Path) -> None:
    labelled = single(tmp_path / "data")
    Path(labelled.examples[4].path).write_bytes(b"no picture")
    predictor = load(folder_of(tmp_path / "model", LABELLED))
    found = evaluate(Contest(predictor, amounts(0.5), timed=0), labelled, untold)
    assert found.pictures == 8
    assert len(found.failed) == 1
    assert "4.png" in found.failed[0]
    for example in labelled.examples:
        Path(example.path).write_bytes(b"no picture")
    with pytest.raises(DataError, match="None of the 9 pictures"):
        evaluate(Contest(predictor, amounts(0.5), timed=0), labelled, untold)


@pytest.mark.parametrize(
    ("config", "kind", "sentence"),
    [
        (SMALL, "single", "no labels"),
        (LABELLED, "multi", "gives one label, but the data are for one that gives several labels"),
        (SEVERAL, "single", "read them with --multi-label"),
        (SEGMENTS, "single", "segments, but the data are for one that gives one label"),
        (LABELLED, "masks", "gives one label, but the data are for one that segments"),
    ],
)
def test_a_model_of_another_task(config: Config, kind: Any, sentence: str) -> None:
    with pytest.raises(ModelError) as raised:
        task_for(LabelledSet(kind, ("cat",), (), Path()), config, "it")
    assert sentence in str(raised.value)


def test_amounts_are_the_models_own_and_some_shares_each_once(tmp_path: Path) -> None:
    predictor = load(folder_of(tmp_path / "model", LABELLED))
    assert amounts_for(predictor, []) == amounts(0.5, 0.1, 0.25, 1.0)
    assert amounts_for(predictor, amounts(9, 0.25, 1.0, 36)) == amounts(9, 1.0)  # 9 are 25 % of 36
    assert amounts_for(predictor, amounts(0.25, 0.5)) == amounts(0.5, 0.25)
    full = load(folder_of(tmp_path / "full", FULL))
    assert amounts_for(full, []) == amounts(1.0)
    with pytest.raises(UsageError, match="no selector"):
        amounts_for(full, amounts(0.5))


def test_the_part_that_is_measured(tmp_path: Path) -> None:
    labelled = single(tmp_path / "data")
    model = tmp_path / "model"
    model.mkdir()
    assert part_of(labelled, None, None, model) == (labelled, "all")
    with pytest.raises(UsageError, match="no split 'val'"):
        part_of(labelled, "val", None, model)
    split = split_examples(labelled, val_share=0.34)
    write_split(model, split)
    held, part = part_of(labelled, None, None, model)  # the model was trained on these
    assert (part, held.examples) == ("val", split.of("val"))
    assert part_of(labelled, "train", model / "split.csv", tmp_path)[0].examples == split.of("train")
    given = replace(labelled, examples=tuple(replace(one, split="val") for one in labelled.examples))
    assert part_of(given, None, None, model) == (given, "val")  # the data's own word comes first
    other = single(tmp_path / "other")
    other = replace(other, examples=other.examples[:1])
    assert part_of(other, None, None, model) == (other, "all")  # another set


def test_the_record_has_all_figures(tmp_path: Path) -> None:
    predictor = load(folder_of(tmp_path / "model", LABELLED))
    found = as_dict(
        evaluate(Contest(predictor, amounts(0.5, 3, 1.0), timed=0), single(tmp_path / "data"), untold),
        "all",
        "the command",
    )
    assert found["command"] == "the command"
    assert [row["patches"] for row in found["rows"] if row["chosen_by"] in ("selector", "all")] == ["50%", "3", "all"]
    assert [row["headline"] for row in found["rows"]].count(True) == 1
    assert sum(count for _, _, count in found["confusion"]["counts"]) == found["pictures"] == 9


def test_data_on_disk(tmp_path: Path) -> None:
    for place, path in enumerate(pictures(tmp_path / "new")):
        home = tmp_path / "data" / ("cat", "dog", "bird")[place % 3]
        home.mkdir(parents=True, exist_ok=True)
        Path(path).rename(home / Path(path).name)
    predictor = load(folder_of(tmp_path / "model", LABELLED))
    assert evaluate(Contest(predictor, amounts(0.5), timed=0), read_examples(tmp_path / "data"), untold).pictures == 9
