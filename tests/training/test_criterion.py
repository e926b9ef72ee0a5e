"""Distillation: a teacher's answers replace the labels, for whole pictures and for masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import Example, Kind, LabelledSet
from lookwhere_cli.errors import UsageError
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.vit import cut
from lookwhere_cli.strategies.grids import grids_for
from lookwhere_cli.training.finetune.batches import TrainingBatch
from lookwhere_cli.training.finetune.cascade import CascadeObjective
from lookwhere_cli.training.finetune.criterion import TeacherCriterion, teacher_of
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.objective import Objective
from lookwhere_cli.training.finetune.plan import FineTuningPlan, typical_size
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.loop import Run
from tests.data.labelled import COLOURS, coloured, fields, start
from tests.models.small import LABELLED, SEGMENTING, noise, small, small_cascade
from tests.training.test_finetune import RECIPE, same, without_time
from tests.training.test_objective import batch_of

WHOLE = {"selector_depth": 0, "prefix": "own", "k": 1.0}
FULL = replace(RECIPE, k=(1.0, 1.0), shape=Shape(method="full", decoder_channels=8))
CROPR = replace(FULL, shape=Shape(method="cropr", prune=0.6, decoder_channels=8))
KINDS = pytest.mark.parametrize("kind", ["single", "multi", "masks"])


def teacher_for(kind: Kind) -> LookWhere:
    base = SEGMENTING if kind == "masks" else LABELLED
    return small(replace(base, multi_label=kind == "multi", **WHOLE))  # type: ignore[arg-type]


def said(model: LookWhere, batch: TrainingBatch) -> Tensor:
    """What a model without a selector says of all cells: its logits."""
    patches = cut(Normaliser(model.config)(batch.pictures), model.config.patch)
    count = patches.shape[1]
    cells = torch.arange(count).expand(len(patches), count)
    chosen = Chosen(patches, cells, (6, 6), patches.new_zeros(len(patches), 1, model.config.dim))
    return model.segment(chosen) if model.config.task == "segment" else model.logits(model.extract(chosen))


def probabilities(kind: Kind, logits: Tensor) -> Tensor:
    return logits.sigmoid() if kind == "multi" else logits.softmax(1)


@KINDS
def test_targets_are_the_teachers_probabilities_whatever_the_labels(kind: Kind) -> None:
    teacher, batch = teacher_for(kind), batch_of(kind, k=3)
    targets = TeacherCriterion(TRAINING_HEADS[kind], teacher).targets(batch)
    torch.testing.assert_close(targets, probabilities(kind, said(teacher, batch)))
    assert not targets.requires_grad
    assert targets.equal(
        TeacherCriterion(TRAINING_HEADS[kind], teacher).targets(batch._replace(targets=batch.targets.flip(0)))
    )


@KINDS
def test_the_loss_is_smallest_at_the_teachers_answer(kind: Kind) -> None:
    teacher, batch = teacher_for(kind), batch_of(kind)
    criterion = TeacherCriterion(TRAINING_HEADS[kind], teacher)
    targets, logits = criterion.targets(batch), said(teacher, batch).detach().requires_grad_(True)
    loss = criterion.loss(logits, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.abs().max() < 1e-7
    entropy = torch.special.entr(targets)
    entropy = (entropy + torch.special.entr(1 - targets)).mean() if kind == "multi" else entropy.sum(1).mean()
    assert loss.item() == pytest.approx(entropy.item(), rel=1e-5)
    assert criterion.loss(noise(*logits.shape), targets) > loss


def test_masks_are_compared_at_the_teachers_resolution() -> None:
    criterion, batch = TeacherCriterion(TRAINING_HEADS["masks"], teacher_for("masks")), batch_of("masks")
    targets = criterion.targets(batch)
    coarse = noise(4, targets.shape[1], 3, 3)
    fine = F.interpolate(coarse, size=targets.shape[-2:], mode="bilinear")
    assert criterion.loss(coarse, targets).item() == pytest.approx(criterion.loss(fine, targets).item())


def test_an_auxiliary_target_is_the_teachers_mean_in_each_cell() -> None:
    criterion, batch = TeacherCriterion(TRAINING_HEADS["masks"], teacher_for("masks")), batch_of("masks")
    targets = criterion.targets(batch)
    logits = noise(4, 9, targets.shape[1])
    rows, columns = targets.shape[-2] // 3, targets.shape[-1] // 3
    cells = torch.stack(
        [
            targets[:, :, row * rows : (row + 1) * rows, column * columns : (column + 1) * columns].mean((2, 3))
            for row in range(3)
            for column in range(3)
        ],
        dim=1,
    )
    wanted = F.cross_entropy(logits.flatten(0, 1), cells.flatten(0, 1))
    torch.testing.assert_close(criterion.auxiliary_loss(logits, targets, (3, 3)), wanted)


@pytest.mark.parametrize("model", ["lookwhere", "dvt"])
def test_selector_models_and_each_exit_of_a_cascade_learn_from_a_teacher(model: str) -> None:
    batch = batch_of("single", k=8)
    if model == "dvt":
        cascade = small_cascade()
        teacher = small(replace(LABELLED, labels=cascade.config.labels, **WHOLE))  # type: ignore[arg-type]
        criterion = TeacherCriterion(TRAINING_HEADS["single"], teacher)
        pictures = Normaliser(cascade.config)(batch.pictures)
        answers = cascade(pictures, grids_for(cascade.config, (6, 6)))
        loss = CascadeObjective(cascade, criterion)(batch)["task"]
    else:
        criterion = TeacherCriterion(TRAINING_HEADS["single"], teacher_for("single"))
        student = Objective(small(LABELLED).train().requires_grad_(True), criterion, "frozen")
        loss, answers = student(batch)["task"], student._answers(batch, (6, 6), *chosen(student, batch))
    asked = criterion.targets(batch)
    torch.testing.assert_close(loss, sum(F.cross_entropy(one, asked) for one in answers))
    assert len(answers) == (1 if model == "lookwhere" else len(cascade.exits))


def chosen(student: Objective, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
    selection = student._select(batch, (6, 6))
    return student.steerer.choose(batch, selection.map), selection.prefix_tokens


def loaded(model: LookWhere, name: str = "wise") -> Loaded:
    return Loaded(model, model.config, name, "1", Path(), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"selector_depth": 1, "prefix": "add", "k": 4},
            "'wise' reads 4 of the cells; choose a teacher .* --method full",
        ),
        ({"labels": ("a", "c", "b")}, "other labels .3 labels. than the data .3 labels."),
        ({"labels": ("a", "b")}, "other labels .2 labels. than the data .3 labels."),
        ({"multi_label": True}, "3 labels, several to a picture. than the data .3 labels."),
        ({"patch": 8}, "patches of 8 pixels, the new model of 4 pixels"),
    ],
)
def test_an_unsuitable_teacher_is_refused(changes: dict[str, Any], words: str) -> None:
    student = replace(LABELLED, labels=("a", "b", "c"))
    teacher = LookWhere(replace(student, **(WHOLE | changes)))
    with pytest.raises(UsageError, match=words):
        teacher_of(loaded(teacher), student)
    assert isinstance(teacher_of(loaded(LookWhere(replace(student, **WHOLE))), student), LookWhere)  # type: ignore[arg-type]


def test_a_cascade_is_refused_as_a_teacher(cascade_folder: Path) -> None:
    cascade = load_model(str(cascade_folder))
    with pytest.raises(UsageError, match=r"is a cascade over grids .*; choose a teacher"):
        teacher_of(cascade, cascade.config)


def run_of(recipe: FineTuning, labelled: LabelledSet, out: Path, teacher: Loaded | None = None) -> Run:
    out.mkdir(exist_ok=True)
    base = start(extractor_depth=5)
    config: Config = config_for(base.config, recipe.shape, labelled.kind, labelled.classes, typical_size(labelled))
    return Run(FineTuningPlan(recipe, base, replace(config, k=1.0), labelled, teacher=teacher), out, 0, "cpu")


def mislabelled(labelled: LabelledSet) -> LabelledSet:
    """With the labels of what is trained on shifted by one, so that who learns them is wrong everywhere."""
    classes = len(COLOURS)

    def shifted(example: Example) -> Example:
        wrong = tuple((label + 1) % classes for label in example.classes)
        return example if example.split == "val" else replace(example, classes=wrong)

    return replace(labelled, examples=tuple(shifted(example) for example in labelled.examples))


@pytest.mark.slow
def test_a_run_learns_from_its_teacher_and_not_from_the_labels(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    full = run_of(replace(FULL, epochs=4), labelled, tmp_path / "full")
    list(full.train())
    assert full.epochs[-1]["top1"] > 0.8
    wrong = mislabelled(labelled)
    alone = run_of(replace(CROPR, epochs=4), wrong, tmp_path / "alone")
    list(alone.train())
    assert alone.epochs[-1]["top1"] < 0.3
    teacher = load_model(str(tmp_path / "full"), "cpu")
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}
    taught = run_of(replace(CROPR, epochs=5), wrong, tmp_path / "taught", teacher)
    list(taught.train())
    assert taught.epochs[-1]["top1"] > 0.8
    assert all(tensor.equal(before[name]) for name, tensor in teacher.model.state_dict().items())
    saved = load_model(str(tmp_path / "taught"), "cpu")
    assert saved.model.state_dict().keys() == load_model(str(tmp_path / "alone"), "cpu").model.state_dict().keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["multi", "masks"])
def test_a_run_learns_other_tasks_from_a_teacher(kind: str, tmp_path: Path) -> None:
    labelled = fields(tmp_path / "set", count=24) if kind == "masks" else replace(coloured(tmp_path / "set"), kind=kind)
    list(run_of(replace(FULL, epochs=4), labelled, tmp_path / "full").train())
    taught = run_of(replace(CROPR, epochs=4), labelled, tmp_path / "out", load_model(str(tmp_path / "full"), "cpu"))
    list(taught.train())
    assert taught.epochs[-1]["score"] > 0.6
    assert taught.epochs[-1]["auxiliary"] < taught.epochs[0]["auxiliary"]


@pytest.mark.slow
def test_a_run_with_a_teacher_resumes_with_the_same_teacher_only(tmp_path: Path) -> None:
    labelled, recipe = coloured(tmp_path / "set"), replace(CROPR, epochs=2)
    wise, other = loaded(teacher_like(labelled)), replace(loaded(teacher_like(labelled)), revision="2")
    whole = run_of(recipe, labelled, tmp_path / "whole", wise)
    list(whole.train())
    half = run_of(recipe, labelled, tmp_path / "half", wise)
    for moment in half.train():
        if moment.epoch:
            break
    again = run_of(recipe, labelled, tmp_path / "half", wise)
    assert again.resume() == 3
    list(again.train())
    assert same(again.averaged, whole.averaged) and without_time(again.epochs) == without_time(whole.epochs)
    with pytest.raises(UsageError, match=r"other settings .teacher."):
        run_of(recipe, labelled, tmp_path / "half", other).resume()


def teacher_like(labelled: LabelledSet) -> LookWhere:
    """A teacher of these classes that has learnt nothing."""
    torch.manual_seed(1)
    return small(replace(LABELLED, labels=labelled.classes, **WHOLE))  # type: ignore[arg-type]
