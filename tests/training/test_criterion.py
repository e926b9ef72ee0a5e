"""Distillation: a teacher's answers in place of the labels, for whole pictures and for masks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lookwhere_cli.dvt_predictor import grids_for
from torch import Tensor

from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import Example, Kind, LabelledSet
from lookwhere_cli.errors import UsageError
from lookwhere_cli.models.chosen import Chosen
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.vit import cut
from lookwhere_cli.training.finetune.batches import Batch
from lookwhere_cli.training.finetune.criterion import TeacherCriterion, cell_loss, teacher_of
from lookwhere_cli.training.finetune.finetune import FineTuning, Run, typical_size
from lookwhere_cli.training.finetune.objective import CascadeObjective, Objective
from lookwhere_cli.training.finetune.start import Shape, config_for
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


def said(model: LookWhere, batch: Batch) -> Tensor:
    """What a model without a selector says of all cells: its logits."""
    patches = cut(Normaliser(model.config)(batch.pictures), model.config.patch)
    count = patches.shape[1]
    cells = torch.arange(count).expand(len(patches), count)
    chosen = Chosen(patches, cells, (6, 6), patches.new_zeros(len(patches), 1, model.config.dim))
    return model.segment(chosen) if model.config.task == "segment" else model.logits(model.extract(chosen))


def probabilities(kind: Kind, logits: Tensor) -> Tensor:
    return logits.sigmoid() if kind == "multi" else logits.softmax(1)


@KINDS
def test_what_is_to_be_said_is_what_the_teacher_says_whatever_the_labels_are(kind: Kind) -> None:
    teacher, batch = teacher_for(kind), batch_of(kind, k=3)
    targets = TeacherCriterion(teacher).targets(batch)
    torch.testing.assert_close(targets, probabilities(kind, said(teacher, batch)))
    assert not targets.requires_grad
    assert targets.equal(TeacherCriterion(teacher).targets(batch._replace(targets=batch.targets.flip(0))))


@KINDS
def test_the_loss_is_least_where_all_is_said_as_the_teacher_does(kind: Kind) -> None:
    teacher, batch = teacher_for(kind), batch_of(kind)
    criterion = TeacherCriterion(teacher)
    targets, logits = criterion.targets(batch), said(teacher, batch).detach().requires_grad_(True)
    loss = criterion.whole(logits, targets)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and logits.grad.abs().max() < 1e-7
    entropy = torch.special.entr(targets)
    entropy = (entropy + torch.special.entr(1 - targets)).mean() if kind == "multi" else entropy.sum(1).mean()
    assert loss.item() == pytest.approx(entropy.item(), rel=1e-5)
    assert criterion.whole(noise(*logits.shape), targets) > loss


def test_masks_may_be_said_at_another_scale_than_the_teachers() -> None:
    criterion, batch = TeacherCriterion(teacher_for("masks")), batch_of("masks")
    targets = criterion.targets(batch)
    coarse = noise(4, targets.shape[1], 3, 3)
    fine = F.interpolate(coarse, size=targets.shape[-2:], mode="bilinear")
    assert criterion.whole(coarse, targets).item() == pytest.approx(criterion.whole(fine, targets).item())


def test_a_cells_loss_is_with_the_mean_of_what_the_teacher_says_in_it() -> None:
    criterion, batch = TeacherCriterion(teacher_for("masks")), batch_of("masks")
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
    torch.testing.assert_close(cell_loss(logits, criterion.shares(targets, (3, 3))), wanted)


@pytest.mark.parametrize("model", ["lookwhere", "dvt"])
def test_models_that_choose_and_each_exit_of_a_cascade_are_taught(model: str) -> None:
    batch = batch_of("single", k=8)
    if model == "dvt":
        cascade = small_cascade()
        teacher = small(replace(LABELLED, labels=cascade.config.labels, **WHOLE))  # type: ignore[arg-type]
        criterion = TeacherCriterion(teacher)
        pictures = Normaliser(cascade.config)(batch.pictures)
        answers = cascade(pictures, grids_for(cascade.config, (6, 6)))
        loss = CascadeObjective(cascade, criterion)(batch)["task"]
    else:
        criterion = TeacherCriterion(teacher_for("single"))
        student = Objective(small(LABELLED).train().requires_grad_(True), criterion, "frozen")
        loss, answers = student(batch)["task"], student._answers(batch, (6, 6), *chosen(student, batch))
    asked = criterion.targets(batch)
    torch.testing.assert_close(loss, sum(F.cross_entropy(one, asked) for one in answers))
    assert len(answers) == (1 if model == "lookwhere" else len(cascade.exits))


def chosen(student: Objective, batch: Batch) -> tuple[Tensor, Tensor]:
    selection = student._select(batch, (6, 6))
    return student._cells(batch, selection.map), selection.prefix_tokens


def loaded(model: LookWhere, name: str = "wise") -> Loaded:
    return Loaded(model, model.config, name, "1", Path(), torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"selector_depth": 1, "prefix": "add", "k": 4},
            "wise chooses cells, and does not see the rest; take one .* --method full",
        ),
        ({"labels": ("a", "c", "b")}, "another question .one label of 3 classes; asked is one label of 3 classes"),
        ({"labels": ("a", "b")}, "one label of 2 classes; asked is one label of 3 classes"),
        ({"multi_label": True}, "several labels of 3 classes; asked is one label"),
        ({"patch": 8}, "patches of 8 px, the model of 4 px"),
    ],
)
def test_who_can_be_no_teacher(changes: dict[str, Any], words: str) -> None:
    student = replace(LABELLED, labels=("a", "b", "c"))
    teacher = LookWhere(replace(student, **(WHOLE | changes)))
    with pytest.raises(UsageError, match=words):
        teacher_of(loaded(teacher), student)
    assert isinstance(teacher_of(loaded(LookWhere(replace(student, **WHOLE))), student), LookWhere)  # type: ignore[arg-type]


def test_a_cascade_can_be_no_teacher(cascade_folder: Path) -> None:
    cascade = load_model(str(cascade_folder))
    with pytest.raises(UsageError, match="is a cascade over grids; take one"):
        teacher_of(cascade, cascade.config)


def run_of(recipe: FineTuning, labelled: LabelledSet, out: Path, teacher: Loaded | None = None) -> Run:
    out.mkdir(exist_ok=True)
    base = start(extractor_depth=5)
    config: Config = config_for(base.config, recipe.shape, labelled.kind, labelled.classes, typical_size(labelled))
    return Run(recipe, base, replace(config, k=1.0), labelled, None, out, 0, "cpu", teacher)


def mislabelled(labelled: LabelledSet) -> LabelledSet:
    """With the labels of what is trained on shifted by one, so that who learns them is wrong everywhere."""
    classes = len(COLOURS)

    def shifted(example: Example) -> Example:
        wrong = tuple((label + 1) % classes for label in example.classes)
        return example if example.split == "val" else replace(example, classes=wrong)

    return replace(labelled, examples=tuple(shifted(example) for example in labelled.examples))


def test_a_run_learns_from_its_teacher_and_not_from_the_labels(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    full = run_of(replace(FULL, epochs=6), labelled, tmp_path / "full")
    list(full.train())
    assert full.epochs[-1]["top1"] > 0.8
    wrong = mislabelled(labelled)
    alone = run_of(replace(CROPR, epochs=8), wrong, tmp_path / "alone")
    list(alone.train())
    assert alone.epochs[-1]["top1"] < 0.3
    teacher = load_model(str(tmp_path / "full"), "cpu")
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}
    taught = run_of(replace(CROPR, epochs=8), wrong, tmp_path / "taught", teacher)
    list(taught.train())
    assert taught.epochs[-1]["top1"] > 0.8
    assert all(tensor.equal(before[name]) for name, tensor in teacher.model.state_dict().items())
    saved = load_model(str(tmp_path / "taught"), "cpu")
    assert saved.model.state_dict().keys() == load_model(str(tmp_path / "alone"), "cpu").model.state_dict().keys()


@pytest.mark.parametrize("kind", ["multi", "masks"])
def test_a_run_is_taught_other_tasks_likewise(kind: str, tmp_path: Path) -> None:
    labelled = fields(tmp_path / "set", count=24) if kind == "masks" else replace(coloured(tmp_path / "set"), kind=kind)
    list(run_of(replace(FULL, epochs=6), labelled, tmp_path / "full").train())
    taught = run_of(replace(CROPR, epochs=6), labelled, tmp_path / "out", load_model(str(tmp_path / "full"), "cpu"))
    list(taught.train())
    assert taught.epochs[-1]["score"] > 0.6
    assert taught.epochs[-1]["auxiliary"] < taught.epochs[0]["auxiliary"]


def test_a_taught_run_is_taken_up_with_the_same_teacher_alone(tmp_path: Path) -> None:
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
