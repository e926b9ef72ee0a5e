"""Training cascades over grids: exits start from a plain model, learn together, resume and are scored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lookwhere_cli.amounts import ALL_CELLS
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import Kind, LabelledSet
from lookwhere_cli.errors import ModelError, UsageError
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.loading import load
from lookwhere_cli.models.cascade.dvt import DVT
from lookwhere_cli.models.cascade.shapes import shapes_of
from lookwhere_cli.models.config import Config
from lookwhere_cli.training.augment import Augmentation
from lookwhere_cli.training.finetune.batches import TrainingBatch
from lookwhere_cli.training.finetune.cascade import CascadeObjective, start_cascade
from lookwhere_cli.training.finetune.criterion import LabelCriterion
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.plan import FineTuningPlan, typical_size
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.loop import Run
from lookwhere_cli.training.optim import FRESH, Rates, optimizer_of
from tests.data.labelled import coloured, start
from tests.models.small import CASCADE, LABELLED, small, small_cascade
from tests.training.test_finetune import fallen, interrupted_at, without_time

SINGLE = TRAINING_HEADS["single"]

NAMES = ("a", "b")
RECIPE = FineTuning(
    epochs=4,
    batch=6,
    k=(1.0, 1.0),
    shape=Shape(method="dvt", exits=(2, 4, 6)),
    augmentation=Augmentation(area=(0.8, 1.0), colour=0.1),
    rates=Rates(peak=1e-3, layer_decay=1.0),
    average=0.5,
)


def config(shape: Shape, kind: Kind = "single", picture: tuple[int, int] = (9, 9)) -> Config:
    return config_for(LABELLED, replace(shape, method="dvt"), kind, NAMES, picture)


def run_of(labelled: LabelledSet, out: Path, epochs: int = 4) -> Run:
    out.mkdir(exist_ok=True)
    base, recipe = start(), replace(RECIPE, epochs=epochs)
    described = config_for(base.config, recipe.shape, labelled.kind, labelled.classes, typical_size(labelled))
    return Run(FineTuningPlan(recipe, base, described, labelled), out, 0, device="cpu")


def test_by_default_exits_have_the_published_shares_of_the_grid() -> None:
    assert config(Shape()).exits == ((3, 3, 4, 0), (4, 4, 4, 0), (6, 6, 4, 0))
    assert config(Shape(size=56)).exits == ((7, 7, 4, 0), (10, 10, 4, 0), (14, 14, 4, 0))
    wide = config(Shape(size=56), picture=(300, 400))
    assert wide.exits == ((6, 8, 4, 0), (9, 11, 4, 0), (12, 16, 4, 0)) and wide.grid == (12, 16)
    assert config(Shape(exits=(5, (6, 6)))).exits == ((5, 5, 4, 0), (6, 6, 4, 0))
    assert (wide.selector_depth, wide.prefix, wide.k, wide.coarse_size) == (0, "own", ALL_CELLS, 0)


@pytest.mark.parametrize(
    ("shape", "kind", "words"),
    [
        (Shape(exits=(4, 4, 6)), "single", "--exits: a grid of 4 x 4 cells can't be followed by one of 4 x 4"),
        (Shape(exits=(6,)), "single", "--exits: a cascade needs two grids or more"),
        (Shape(exits=(4, 7)), "single", "ends with 7 x 7 cells, but the model reads 6 x 6; end with 6"),
        (Shape(exits=((2, 3), (5, 7))), "single", "ends with 5 x 7 cells, but the model reads 6 x 6"),
        (Shape(size=4), "single", "--exits: a grid of 1 x 1 cells can't be followed"),
        (Shape(), "multi", "needs one label per picture"),
        (Shape(), "masks", "needs one label per picture"),
        (Shape(pool="max"), "single", "--pool cls"),
    ],
)
def test_an_impossible_cascade_is_refused(shape: Shape, kind: Kind, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        config(shape, kind)


def test_exits_start_with_the_extractors_weights_in_float32() -> None:
    base, described = small(LABELLED).half(), config(Shape())
    model = start_cascade(base, described)
    assert isinstance(model, DVT) and model.config == described
    assert all(one.requires_grad and one.dtype == torch.float32 for one in model.parameters())
    for exit_ in model.exits:
        assert exit_.blocks[1].attn.qkv.weight.equal(base.extractor.blocks[1].attn.qkv.weight)
    assert model.exits[-1].pos_embed.equal(base.extractor.pos_embed)
    kept = start_cascade(base, replace(described, labels=base.config.labels))
    assert isinstance(kept, DVT) and isinstance(base.head, nn.Linear)
    assert all(exit_.head.weight.equal(base.head.weight) for exit_ in kept.exits)
    assert all(exit_.head.bias.equal(base.head.bias) for exit_ in kept.exits)
    other = start_cascade(base, replace(described, labels=tuple(reversed(base.config.labels))))
    assert isinstance(other, DVT) and not other.exits[0].head.weight.equal(base.head.weight)


def test_a_cascade_is_refused_as_a_start(cascade_folder: Path, tmp_path: Path) -> None:
    plan = FineTuningPlan(RECIPE, load_model(str(cascade_folder)), CASCADE, coloured(tmp_path / "set"))
    with pytest.raises(ModelError, match="is a cascade over grids"):
        Run(plan, tmp_path, 0, "cpu")


def test_each_exit_has_the_rates_of_a_vit_and_fresh_weights_a_higher_one() -> None:
    rates = Rates(peak=1.0, layer_decay=0.5, fresh=10.0, weight_decay=0.1)
    model = small_cascade().requires_grad_(True)
    factors = {
        id(parameter): (group["factor"], group["weight_decay"])
        for group in optimizer_of(model, rates, (*FRESH[1:], "head.", "reuse.")).param_groups
        for parameter in group["params"]
    }
    assert len(factors) == len(list(model.parameters()))
    for exit_ in model.exits:
        named = {name: factors[id(parameter)] for name, parameter in exit_.named_parameters()}
        assert named["blocks.2.mlp.fc1.weight"] == (1.0, 0.1) and named["blocks.0.mlp.fc1.weight"] == (0.25, 0.1)
        assert named["patch_embed.proj.weight"] == (0.125, 0.1) and named["pos_embed"] == (0.125, 0.0)
        assert named["head.weight"] == (10.0, 0.1) and named["norm.weight"] == (1.0, 0.0)
        assert {value for name, value in named.items() if name.startswith("reuse.")} <= {(10.0, 0.1), (10.0, 0.0)}


def batch(height: int, width: int, count: int = 4) -> TrainingBatch:
    pictures = torch.randint(
        256, (count, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    nothing = torch.zeros(count, 0, dtype=torch.int64)
    return TrainingBatch(pictures, pictures, None, torch.arange(count) % 3, None, nothing, 0, covered_first=False)


@pytest.mark.parametrize(("height", "width", "grids"), [(24, 24, ((2, 2), (4, 4))), (20, 28, ((2, 2), (3, 4)))])
def test_the_loss_is_the_sum_over_the_exits(height: int, width: int, grids: tuple[tuple[int, int], ...]) -> None:
    model, given, weights = small_cascade(), batch(height, width), torch.tensor([1.0, 2.0, 0.5])
    shown = (given.pictures.float() / 255 - 0.5) / 0.5
    answers = model(shown, (*grids, (height // 4, width // 4)))
    losses = CascadeObjective(model, LabelCriterion(SINGLE, weights))(given)
    assert losses.keys() == {"task"}
    wanted = sum(SINGLE.loss(one, given.targets, weights) for one in answers)
    torch.testing.assert_close(losses["task"], torch.as_tensor(wanted))


@pytest.mark.slow
def test_a_cascade_learns_and_every_exit_is_scored(tmp_path: Path) -> None:
    run = run_of(coloured(tmp_path / "set"), tmp_path / "out")
    moments = list(run.train())
    assert len(moments) == 12 and {moment.step["k"] for moment in moments} == {36}
    assert fallen(run) < 0.7
    last = run.epochs[-1]
    assert last["score"] == last["top1"] == last["exit 3"] > 0.6
    assert {"exit 1", "exit 2"} < last.keys()

    loaded = load_model(str(tmp_path / "out"))
    assert loaded.config == run.model.config and isinstance(loaded.model, DVT)
    assert loaded.config.exits == tuple((*shape.grid, shape.patch, 0) for shape in shapes_of(loaded.config))
    held_back = run.plan.labelled.of("val")
    rows = load(str(tmp_path / "out")).classify([example.path for example in held_back])
    right = [row.labels[0].index == example.classes[0] for row, example in zip(rows, held_back, strict=True)]
    assert sum(right) / len(right) == pytest.approx(run.best["top1"])


@pytest.mark.slow
def test_an_interrupted_cascade_ends_with_the_same_weights(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    whole, first = (run_of(labelled, tmp_path / name, epochs=2) for name in ("whole", "parts"))
    list(whole.train())
    interrupted_at(first, 1)
    last = run_of(labelled, tmp_path / "parts", epochs=2)
    assert last.resume() == 1
    list(last.train())
    assert without_time(last.steps) == without_time(whole.steps)
    assert without_time(last.epochs) == without_time(whole.epochs)
    for ours, theirs in ((last.model, whole.model), (last.averaged, whole.averaged)):
        named = theirs.state_dict()
        assert all(value.equal(named[name]) for name, value in ours.state_dict().items())
