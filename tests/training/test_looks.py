"""A second look in training: both looks learn together, with cells drawn in every step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lookwhere_cli.amounts import Amount
from lookwhere_cli.checkpoints.resolve import load_model
from lookwhere_cli.data.examples import Example, LabelledSet
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.loading import load
from lookwhere_cli.models.chosen import Coarse
from lookwhere_cli.models.normalise import Normaliser
from lookwhere_cli.models.selector import choose
from lookwhere_cli.models.vit import cut
from lookwhere_cli.predictor import Predictor
from lookwhere_cli.strategies.registry import looks_strategy
from lookwhere_cli.training.finetune.batches import AmountRange
from lookwhere_cli.training.finetune.model_config import config_for, with_second_look
from lookwhere_cli.training.finetune.plan import FineTuningPlan, typical_size
from lookwhere_cli.training.finetune.shape import Shape
from lookwhere_cli.training.loop import Run
from lookwhere_cli.training.optim import Rates
from tests.data.labelled import coloured, start
from tests.models.small import ADDING, LABELLED, chosen_at, small
from tests.models.test_looks import masked
from tests.training.test_batches import BATCH_RECIPE, batches, examples  # noqa: F401 (a fixture)
from tests.training.test_finetune import RECIPE, fallen, interrupted_at, same, without_time
from tests.training.test_objective import ALIKE, CELLS, batch_of, cells_read, objective

SINGLE = TRAINING_HEADS["single"]

TWICE = replace(RECIPE, k=(3, 8), added=(4, 12), rates=Rates(peak=1e-3, layer_decay=1.0), average=0.5)


def run_of(labelled: LabelledSet, out: Path, epochs: int = 4) -> Run:
    out.mkdir(exist_ok=True)
    recipe, base = replace(TWICE, epochs=epochs), start()
    config = config_for(base.config, recipe.shape, labelled.kind, labelled.classes, typical_size(labelled))
    plan = FineTuningPlan(recipe, base, with_second_look(replace(config, k=6), 8), labelled)
    return Run(plan, out, 0, device="cpu")


@pytest.mark.parametrize("coarsely", [False, True])
def test_the_loss_is_the_sum_of_both_looks(coarsely: bool) -> None:
    made, batch = objective(config=ADDING), batch_of()._replace(added=5)
    if coarsely:
        batch = batch._replace(coarse=batch.thumbnails)
    model, config = small(ADDING), ADDING
    selection = model.select(Normaliser(config)(batch.thumbnails), (6, 6))
    cells = choose(selection.map, 13)
    chosen = chosen_at(
        cut(Normaliser(config)(batch.pictures), config.patch),
        cells,
        (6, 6),
        selection.prefix_tokens,
        Coarse(cut(Normaliser(config)(batch.thumbnails), config.patch), (3, 3)) if coarsely else None,
    )
    losses = made(batch)
    first, second = (SINGLE.loss(one, batch.targets, ALIKE) for one in masked(model, chosen, (8, 13)))
    assert losses.keys() == {"task"}
    torch.testing.assert_close(losses["task"], first + second, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made(batch._replace(added=0))["task"], first, rtol=1e-4, atol=1e-4)


def test_covered_cells_are_read_in_the_first_look() -> None:
    coverage = torch.zeros(4, CELLS)
    coverage[:, [3, 35]] = 0.5
    made = objective(steering="look", config=ADDING)
    batch = batch_of(coverage=coverage, covered_first=True, k=2)._replace(added=3)
    seen: list[Tensor] = []
    embed = made.model.extractor.embed
    made.model.extractor.embed = lambda patches, grid, cells: seen.append(cells) or embed(patches, grid, cells)  # type: ignore
    assert made(batch).keys() == {"task", "look"}
    assert seen[0].sort().values.tolist() == [[3, 35]] * 4 and seen[1].shape == (4, 3)
    both = torch.cat(seen, dim=1).sort().values
    alone = cells_read(objective(steering="look"), batch._replace(k=5, added=0))
    assert both.equal(alone.sort().values)


def test_added_cells_are_drawn_in_each_step_without_changing_k(examples: list[Example]) -> None:  # noqa: F811
    def drawn(k: AmountRange, added: AmountRange | None) -> list[tuple[int, int]]:
        made = batches(examples, replace(BATCH_RECIPE, k=k, added=added))
        return [(made[step].k, made[step].added) for step in range(6)]

    plain, twice = drawn((2, 6), None), drawn((2, 6), (3, 5))
    assert [k for k, _ in plain] == [k for k, _ in twice] and {added for _, added in plain} == {0}
    assert {added for _, added in twice} == {3, 4, 5}
    cells = batches(examples)[0].random_order.shape[1]
    assert {sum(one) for one in drawn((cells - 2, cells - 1), (8, 9))} == {cells}  # no more than there are


def test_a_model_learns_a_second_look_and_both_looks_are_scored(tmp_path: Path) -> None:
    run = run_of(coloured(tmp_path / "set"), tmp_path / "out")
    moments = list(run.train())
    assert len({moment.step["k"] for moment in moments}) > 1
    assert fallen(run) < 0.7
    last = run.epochs[-1]
    assert last["score"] == last["top1"] == last["exit 2"] > 0.6 and "exit 1" in last

    loaded = load_model(str(tmp_path / "out"))
    assert loaded.config == run.model.config and (loaded.config.looks, loaded.config.second_look) == (
        (Amount.cells(6), Amount.cells(14)),
        "add",
    )
    token = loaded.lookwhere.second_look
    assert token is not None and token.token.any()
    held_back = run.plan.labelled.of("val")
    pipeline = load(str(tmp_path / "out"), device="cpu").pipeline
    predictor = Predictor(replace(pipeline, strategy=looks_strategy(pipeline.config)))
    rows = predictor.classify([example.path for example in held_back])
    right = [row.labels[0].index == example.classes[0] for row, example in zip(rows, held_back, strict=True)]
    assert sum(right) / len(right) == pytest.approx(run.best["top1"])


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    whole, first = (run_of(labelled, tmp_path / name, epochs=2) for name in ("whole", "parts"))
    list(whole.train())
    interrupted_at(first, 1)
    last = run_of(labelled, tmp_path / "parts", epochs=2)
    assert last.resume() == 1
    list(last.train())
    assert without_time(last.steps) == without_time(whole.steps)
    assert without_time(last.epochs) == without_time(whole.epochs)
    assert same(last.model, whole.model) and same(last.averaged, whole.averaged)  # type: ignore[arg-type]


def test_a_new_model_drops_the_calibration_of_its_start() -> None:
    base = replace(ADDING, thresholds=(0.5,), expected_macs=10**6)
    config = config_for(base, Shape(), "multi", LABELLED.labels, (9, 9))
    assert (config.looks, config.second_look, config.thresholds, config.expected_macs) == ((), "restart", (), 0)
    again = with_second_look(replace(LABELLED, k=0.1), 0.2)
    assert again.looks == (Amount.share(0.1), Amount.share(0.3))
