"""Training models that prune: auxiliary heads train the modules, and are not saved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lookwhere_cli.amounts import ALL_CELLS, MacsShare, PruneAmount
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import Kind
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.heads.training.segment import cell_loss, class_shares
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.training.finetune.batches import TrainingBatch
from lookwhere_cli.training.finetune.criterion import LabelCriterion
from lookwhere_cli.training.finetune.model_config import config_for
from lookwhere_cli.training.finetune.objective import SCORES_WEIGHT, Objective
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.finetune.start import start_of
from lookwhere_cli.training.finetune.steering import coverage_loss
from lookwhere_cli.training.loop import Run
from lookwhere_cli.training.optim import Rates, optimizer_of
from tests.data.labelled import coloured, fields, start
from tests.models.small import DETECTING, PRUNING, SEGMENTING, noise
from tests.training.test_finetune import RECIPE, fallen, run_of, same, without_time
from tests.training.test_objective import batch_of, objective

MASKS = TRAINING_HEADS["masks"]

DENSE = replace(SEGMENTING, extractor_depth=5, prune=3, prune_fusion=True)
CROPR = replace(RECIPE, k=(1.0, 1.0), shape=Shape(method="cropr", prune=0.6, decoder_channels=8))
BOTH = replace(RECIPE, k=(14, 20), shape=Shape(prune=2, decoder_channels=8))
KINDS = pytest.mark.parametrize("kind", ["single", "multi", "masks"])


def made(kind: Kind) -> Objective:
    return objective(kind, config=DENSE if kind == "masks" else PRUNING)


def gradients(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


@KINDS
def test_each_modules_loss_is_the_tasks_and_trains_its_auxiliary_head_only(kind: Kind) -> None:
    one, batch = made(kind), batch_of(kind, k=20)
    losses = one(batch)
    assert set(losses) == {"task", "auxiliary"}
    losses["auxiliary"].backward()  # type: ignore[no-untyped-call]
    assert gradients(one.model) == {}
    assert gradients(one.auxiliaries).keys() == dict(one.auxiliaries.named_parameters()).keys()
    one(batch)["task"].backward()
    alone = gradients(one.model)
    one.zero_grad()
    sum(one(batch).values()).backward()  # type: ignore[union-attr]
    assert alone.keys() == gradients(one.model).keys() and "extractor.blocks.0.attn.qkv.weight" in alone
    assert all(torch.equal(value, alone[name]) for name, value in gradients(one.model).items())


@KINDS
def test_zero_auxiliary_heads_have_the_loss_of_chance(kind: Kind) -> None:
    one = made(kind)
    with torch.no_grad():
        for teacher in one.auxiliaries:
            teacher.head.head.weight.zero_()
            teacher.head.head.bias.zero_()
    expected = torch.tensor(2.0 if kind == "multi" else 3.0).log().item()
    assert one(batch_of(kind, k=20))["auxiliary"].item() == pytest.approx(expected * len(one.auxiliaries), rel=1e-5)


def test_the_loss_of_a_cell_is_the_mean_loss_of_its_pixels() -> None:
    masks = torch.randint(0, 3, (2, 8, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    masks[0, :3, :5] = 255
    logits, weights = noise(2, 3, 8, 12), torch.tensor([1.0, 2.0, 0.5])
    each_pixel_a_cell = cell_loss(logits.flatten(2).mT, class_shares(masks, 3, (8, 12)) * weights)
    torch.testing.assert_close(each_pixel_a_cell, MASKS.loss(logits, masks, weights))
    coarse = logits[:, :, ::4, ::4]
    as_pixels = coarse.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    by_cell = cell_loss(coarse.flatten(2).mT, class_shares(masks, 3, (2, 3)) * weights)
    torch.testing.assert_close(by_cell, MASKS.loss(as_pixels, masks, weights))


def test_class_shares_are_on_the_models_own_grid() -> None:
    masks = torch.zeros(1, 8, 20, dtype=torch.uint8)
    masks[:, :, 10:] = 1
    shares = class_shares(masks, 2, (2, 2))
    assert torch.equal(shares, F.one_hot(torch.tensor([[0, 1, 0, 1]]), 2).float())


def seen_by_the_last_module(one: Objective, progress: float, kind: Kind) -> int:
    seen: list[int] = []
    one.auxiliaries[-1].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].shape[1]))
    one(batch_of(kind, k=20)._replace(progress=progress))
    return seen[0]


def test_pruning_begins_gently_on_masks() -> None:
    assert [seen_by_the_last_module(made("masks"), progress, "masks") for progress in (0, 0.25, 0.5, 1)] == [
        *(21, 17, 14, 14)  # all tokens, then ever fewer before the third module
    ]
    assert [seen_by_the_last_module(made("single"), progress, "single") for progress in (0, 1)] == [11, 11]


def test_pruning_modules_have_their_queries_before_the_first_step() -> None:
    one = made("single")
    for module, teacher in zip(one.model.extractor.cropr, one.auxiliaries, strict=True):
        assert torch.equal(module.query, teacher.cross_attn.queries.sum((0, 1))) and module.query.any()
    assert objective().auxiliaries is None


def test_auxiliary_heads_have_the_rate_of_fresh_weights() -> None:
    one = Objective(LookWhere(PRUNING), LabelCriterion(TRAINING_HEADS["single"], torch.ones(3)), "frozen")
    optimizer = optimizer_of(one.model, Rates(), ("head.",), one.auxiliaries)
    settings = {
        parameter: (group["factor"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    names = dict(one.auxiliaries.named_parameters())
    assert names and all(settings[parameter][0] == 10 for parameter in names.values())
    assert {name for name, parameter in names.items() if settings[parameter][1] and name.startswith("0.")} == {
        *("0.cross_attn.mlp.fc1.weight", "0.cross_attn.mlp.fc2.weight", "0.head.head.weight")
    }
    assert settings[one.model.head.weight][0] == 10
    assert not any(parameter is module.query for module in one.model.extractor.cropr for parameter in settings)


def taught(run: Run) -> list[Tensor]:
    return [teacher.cross_attn.queries.detach().sum((0, 1)) for teacher in run.learner.parts["auxiliaries"]]  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [CROPR, BOTH], ids=["cropr", "lookwhere"])
def test_a_run_trains_the_modules_and_saves_only_their_averaged_queries(recipe: FineTuning, tmp_path: Path) -> None:
    run = run_of(replace(recipe, epochs=6), coloured(tmp_path / "set"), tmp_path / "out", base=start(extractor_depth=5))
    before, means, moments = taught(run), [], 0
    for moments, _ in enumerate(run.train(), 1):
        decay = 0.0 if moments == 1 else min(0.9, moments / (9 + moments))
        means = [
            decay * mean + (1 - decay) * query for mean, query in zip(means or taught(run), taught(run), strict=True)
        ]
        for module, query in zip(run.model.extractor.cropr, taught(run), strict=True):
            assert torch.equal(module.query, query)
    assert moments == 18 and not any(map(torch.equal, before, taught(run)))
    for module, mean in zip(run.averaged.extractor.cropr, means, strict=True):
        torch.testing.assert_close(module.query.data, mean, rtol=1e-4, atol=1e-5)
    assert fallen(run, "auxiliary") < 0.8 and fallen(run, "task") < 0.8
    assert run.epochs[-1]["top1"] > 0.6
    saved = load_model(str(tmp_path / "out"), "cpu")
    assert {name for name in saved.model.state_dict() if "cropr" in name} == {
        f"extractor.cropr.{place}.query" for place in range(4)
    }
    assert saved.config == run.averaged.config and saved.config.prune == PruneAmount.parse(recipe.shape.prune)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "recipe"), [("single", BOTH), ("masks", CROPR)], ids=["lookwhere", "cropr"])
def test_an_interrupted_run_ends_with_the_same_weights(kind: str, recipe: FineTuning, tmp_path: Path) -> None:
    labelled = fields(tmp_path / "set") if kind == "masks" else coloured(tmp_path / "set")
    recipe, base = replace(recipe, epochs=3, average=0.5), start(extractor_depth=5)
    whole = run_of(recipe, labelled, tmp_path / "whole", base=base)
    list(whole.train())
    first = run_of(recipe, labelled, tmp_path / "parts", base=base)
    for moment in first.train():
        if moment.epoch:
            break
    last = run_of(recipe, labelled, tmp_path / "parts", base=base)
    assert last.resume() == whole.period
    list(last.train())
    assert without_time(last.steps) == without_time(whole.steps)
    assert without_time(last.epochs) == without_time(whole.epochs)
    assert same(last.model, whole.model) and same(last.averaged, whole.averaged)
    assert all(
        map(
            torch.equal,
            last.learner.parts["auxiliaries"].state_dict().values(),
            whole.learner.parts["auxiliaries"].state_dict().values(),
        )
    )


@pytest.mark.slow
def test_masks_are_learned_with_fusion(tmp_path: Path) -> None:
    recipe = replace(CROPR, epochs=8, rates=Rates(peak=1e-3, layer_decay=1.0))
    run = run_of(recipe, fields(tmp_path / "set", count=24), tmp_path / "out", base=start(extractor_depth=5))
    assert run.averaged.config.prune_fusion
    list(run.train())
    assert fallen(run, "task") < 0.5 and fallen(run, "auxiliary") < 0.95
    assert run.epochs[-1]["miou"] > 0.6


def test_pruning_modules_can_be_removed_and_added() -> None:

    pruning = start(extractor_depth=5, prune=3).model
    for shape, modules in ((Shape(), 0), (Shape(prune=2), 4), (Shape(method="cropr", prune=0.5), 4)):
        config = config_for(pruning.config, shape, "single", pruning.config.labels, (24, 24))
        model = start_of(pruning, config)
        assert sum("cropr" in name for name in model.state_dict()) == modules
        assert (config.selector_depth == 0) == (shape.method == "cropr")


def test_the_config_has_fusion_for_masks_by_default() -> None:
    def configured(shape: Shape, kind: Kind) -> Config:
        return config_for(SEGMENTING, shape, kind, ("a", "b"), (24, 24))

    assert configured(Shape(), "masks").prune is None and not configured(Shape(), "masks").prune_fusion
    assert configured(Shape(prune=0.5), "masks").prune_fusion
    assert not configured(Shape(prune=0.5, prune_fusion=False), "masks").prune_fusion
    cropr = configured(Shape(method="cropr", prune=0.5), "single")
    assert (cropr.prune, cropr.prune_fusion, cropr.prefix, cropr.k) == (MacsShare(0.5), False, "own", ALL_CELLS)
    assert isinstance(LookWhere(configured(Shape(prune=0.8, prune_fusion=True), "single")), LookWhere)


DETECTING_BY_HALF = replace(DETECTING, extractor_depth=5, prune=3, prune_fusion=True)


def boxes_batch(coverage: Tensor) -> TrainingBatch:
    boxes = torch.tensor([[[1.0, 1, 3, 3, 0, 0], [0, 0, 0, 0, -1, -1]]]).expand(4, -1, -1)
    return batch_of("single", coverage, k=36)._replace(targets=boxes, progress=1.0)


def test_boxes_train_the_queries_and_the_blocks_and_there_are_no_auxiliary_heads() -> None:
    one = objective("boxes", config=DETECTING_BY_HALF)
    assert one.auxiliaries is None and not one.has_single_queries
    coverage = torch.zeros(4, 36)
    coverage[:, [7, 8, 13, 14]] = 1.0
    losses = one(boxes_batch(coverage))
    losses["auxiliary"].backward()
    cropr = one.model.extractor.cropr
    assert cropr is not None
    assert all(module.query.grad is not None for module in cropr)
    found = {name for name, grad in gradients(one.model.extractor.blocks).items() if grad.any()}
    assert any(name.startswith("0.") for name in found)


def test_scores_are_compared_with_the_coverage_of_the_cells_that_are_left() -> None:
    one = objective("boxes", config=DETECTING_BY_HALF)
    cropr, prefix = one.model.extractor.cropr, DETECTING_BY_HALF.prefix_tokens
    assert cropr is not None
    with torch.no_grad():
        for module in cropr:
            module.query.normal_()
    coverage = torch.rand(4, 36)
    batch = boxes_batch(coverage)
    loss = one(batch)["auxiliary"]
    cells = one.steerer.choose(batch, one._select(batch, (6, 6)).map)
    with torch.no_grad(), one._watch_pruning(1.0) as inputs:
        one._answers(batch, (6, 6), cells, one._select(batch, (6, 6)).prefix_tokens)
    wanted = []
    for scores, places in zip(cropr.scores(inputs), inputs.places, strict=True):
        left = [
            torch.stack([coverage[picture, cells[picture, place - prefix]] for place in row[prefix:]])
            for picture, row in enumerate(places)
        ]
        wanted.append(coverage_loss(scores[:, prefix:], torch.stack(left)))
    assert len({len(places[0]) for places in inputs.places}) > 1  # something was dropped
    torch.testing.assert_close(loss, SCORES_WEIGHT * torch.stack(wanted).mean())


def test_queries_that_boxes_train_have_the_rate_of_fresh_weights() -> None:
    one = objective("boxes", config=DETECTING_BY_HALF)
    groups = optimizer_of(one.model, Rates(), ("extractor.cropr.",)).param_groups
    queries = {id(module.query) for module in one.model.extractor.cropr or ()}
    factors = {group["factor"] for group in groups for parameter in group["params"] if id(parameter) in queries}
    assert len(queries) == 3 and factors == {Rates().fresh}
