"""The losses of fine-tuning on hand-made cases, and what each steering does to the selector."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lookwhere_cli.data.examples import Kind
from lookwhere_cli.heads.training.classify import SMOOTHING
from lookwhere_cli.heads.training.registry import TRAINING_HEADS
from lookwhere_cli.models.chosen import Coarse
from lookwhere_cli.models.config import Config
from lookwhere_cli.models.lookwhere import LookWhere
from lookwhere_cli.training.finetune.batches import TrainingBatch
from lookwhere_cli.training.finetune.criterion import LabelCriterion
from lookwhere_cli.training.finetune.objective import Objective
from lookwhere_cli.training.finetune.steering import Steering, coverage_loss, level_loss
from tests.models.small import LABELLED, SEGMENTING, small

MASKS = TRAINING_HEADS["masks"]

CELLS = 36
ALIKE = torch.ones(3)


def batch_of(
    kind: Kind = "single", coverage: Tensor | None = None, k: int = 8, covered_first: bool = False, seed: int = 0
) -> TrainingBatch:
    """Four pictures of noise, 6 x 6 cells of 4 px, with targets of three classes."""
    generator = torch.Generator().manual_seed(seed)
    targets = {
        "single": torch.tensor([0, 1, 2, 0]),
        "multi": torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]),
        "masks": torch.randint(0, 3, (4, 24, 24), generator=generator, dtype=torch.uint8),
    }
    return TrainingBatch(
        torch.randint(0, 256, (4, 3, 24, 24), generator=generator, dtype=torch.uint8),
        torch.randint(0, 256, (4, 3, 12, 12), generator=generator, dtype=torch.uint8),
        None,
        targets[kind],
        coverage,
        torch.stack([torch.randperm(CELLS, generator=generator) for _ in range(4)]),
        k,
        covered_first,
    )


def objective(
    kind: Kind = "single", steering: Steering = "frozen", weights: Tensor = ALIKE, config: Config = LABELLED
) -> Objective:
    criterion = LabelCriterion(TRAINING_HEADS[kind], weights.clone())
    return Objective(small(config).train().requires_grad_(True), criterion, steering)


def cells_read(made: Objective, batch: TrainingBatch) -> Tensor:
    """The cells whose patches the extractor is given."""
    seen: list[Tensor] = []
    made.model.extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].cells))
    made(batch)
    return seen[0]


def map_of(model: LookWhere, batch: TrainingBatch) -> Tensor:
    pixels = (batch.thumbnails.float() / 255 - 0.5) / 0.5
    return model.select(pixels, (6, 6)).map


def moved(made: Objective, batch: TrainingBatch) -> set[str]:
    """The parts that the losses move."""
    torch.stack(list(made(batch).values())).sum().backward()  # type: ignore[no-untyped-call]
    named = made.model.named_parameters()
    moved = {name for name, parameter in named if parameter.grad is not None and parameter.grad.any()}
    return {name.rpartition(".blocks")[0] or name.split(".")[0] + "." + name.split(".")[1] for name in moved}


def test_coverage_loss_is_zero_for_the_coverage_itself() -> None:
    coverage = torch.tensor([[0.0, 1.0, 0.5, 0.5]])
    assert coverage_loss((coverage / 2).clamp_min(1e-9).log(), coverage).item() == pytest.approx(0, abs=1e-6)
    assert coverage_loss(torch.zeros(1, 4), coverage) > 0.1


def test_coverage_loss_ignores_pictures_without_coverage() -> None:
    told, unknown = [1.0, 0.0], [0.0, 0.0]
    assert coverage_loss(torch.zeros(1, 2), torch.tensor([told])).item() == pytest.approx(math.log(2))
    assert coverage_loss(torch.zeros(2, 2), torch.tensor([told, unknown])).item() == pytest.approx(math.log(2) / 2)
    assert coverage_loss(torch.ones(1, 2), torch.tensor([unknown])).item() == 0


def test_level_loss_compares_whole_maps_and_nothing_in_them() -> None:
    coverage = torch.tensor([[0.0, 3.0], [1.0, 0.0], [0.0, 0.0]])
    right = torch.tensor([3.0, 1.0, 1e-9]).log()[:, None]
    assert level_loss(right.expand(3, 2), coverage).item() == pytest.approx(0, abs=1e-6)
    inside = torch.tensor([[0.25, 0.75]]).log()
    assert level_loss(right + inside, coverage).item() == pytest.approx(0, abs=1e-6)
    assert level_loss(torch.zeros(3, 2), coverage) > 0.1
    assert level_loss(torch.zeros(3, 2), torch.zeros(3, 2)).item() == 0


def test_whole_maps_are_compared_only_where_coverage_is_comparable() -> None:
    coverage = torch.rand(4, CELLS, generator=torch.Generator().manual_seed(1))
    coverage[0] = 0
    made = objective(steering="look")
    batch = batch_of(coverage=coverage)
    scores = map_of(made.model, batch)
    unknown, known = (made(batch._replace(comparable=told))["look"].item() for told in (False, True))
    assert unknown == pytest.approx(coverage_loss(scores, coverage).item(), rel=1e-5)
    assert known == pytest.approx(unknown + level_loss(scores, coverage).item(), rel=1e-5)


def test_pixel_loss_of_uniform_and_of_certain_logits() -> None:
    masks = torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)
    assert MASKS.loss(torch.zeros(1, 3, 2, 2), masks, ALIKE).item() == pytest.approx(3 / 4 * math.log(3))
    sure = torch.nn.functional.one_hot(masks[0].long().clamp(max=2), 3).permute(2, 0, 1)[None] * 50.0
    assert MASKS.loss(sure, masks, ALIKE).item() == pytest.approx(0, abs=1e-6)
    assert MASKS.loss(torch.zeros(1, 3, 2, 2), torch.full_like(masks, 255), ALIKE).item() == 0


def test_pixel_loss_weighs_classes_and_resizes_logits_to_the_masks() -> None:
    masks = torch.tensor([[[0, 0], [0, 1]]], dtype=torch.uint8)
    weights = torch.tensor([1.0, 5.0, 1.0])
    assert MASKS.loss(torch.zeros(1, 3, 1, 1), masks, weights).item() == pytest.approx(8 / 4 * math.log(3))
    logits = torch.tensor([0.0, 4.0]).expand(2, 2)  # columns 0 and 1 of 2, seen at 4
    fine = torch.tensor([0.0, 1.0, 3.0, 4.0])
    wanted = torch.nn.functional.softplus(fine).mean().item()  # class 0 against 1 whose logit it is
    both = torch.stack([torch.zeros(2, 2), logits])[None]
    assert MASKS.loss(both, torch.zeros(1, 4, 4, dtype=torch.uint8), torch.ones(2)).item() == pytest.approx(wanted)


@pytest.mark.parametrize(("kind", "loss"), [("single", math.log(3)), ("multi", math.log(2)), ("masks", math.log(3))])
def test_a_zero_head_has_the_loss_of_chance(kind: Kind, loss: float) -> None:
    made = objective(kind, config=SEGMENTING if kind == "masks" else LABELLED)
    head = made.model.decoder.head if kind == "masks" else made.model.head
    with torch.no_grad():
        for parameter in head.parameters():  # type: ignore[union-attr]
            parameter.zero_()
    assert made(batch_of(kind))["task"].item() == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("kind", ["single", "masks"])
def test_the_coarse_thumbnail_changes_the_answer(kind: Kind) -> None:
    made, batch = objective(kind, config=SEGMENTING if kind == "masks" else LABELLED), batch_of(kind)
    coarse = torch.zeros(4, 3, 8, 12, dtype=torch.uint8)
    seen: list[Coarse] = []
    made.model.extractor.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].coarse))
    told = [made(batch._replace(coarse=one))["task"].item() for one in (None, coarse, coarse + 255)]
    assert len(set(told)) == 3
    assert seen[1].grid == (2, 3) and seen[1].patches.shape == (4, 6, 3, 4, 4)
    assert seen[2].patches.eq(1).all()  # 255, normalised


def test_labels_are_smoothed() -> None:
    made = objective()
    with torch.no_grad():
        made.model.head.weight.zero_()  # type: ignore[union-attr]
        made.model.head.bias.copy_(torch.tensor([100.0, 0, 0]))  # type: ignore[union-attr]
    batch = batch_of()._replace(targets=torch.zeros(4, dtype=torch.int64))
    assert made(batch)["task"].item() == pytest.approx(100 * SMOOTHING * 2 / 3)


@pytest.mark.parametrize("kind", ["single", "multi", "masks"])
def test_a_class_weight_applies_only_where_the_class_is_the_target(kind: Kind) -> None:
    config = SEGMENTING if kind == "masks" else LABELLED
    batch = batch_of(kind)
    without = batch._replace(targets=torch.zeros_like(batch.targets))
    if kind == "multi":
        without.targets[:, 0] = 1
    heavy = torch.tensor([1.0, 1.0, 9.0])
    gained = {
        name: objective(kind, "frozen", heavy, config)(one)["task"].item()
        - objective(kind, config=config)(one)["task"].item()
        for name, one in (("absent", without), ("present", batch))
    }
    smoothed = SMOOTHING if kind == "single" else 1e-6  # its share of the answer is every class's
    assert gained["present"] > 0.2
    assert abs(gained["absent"]) < 3 * smoothed * gained["present"]


def test_a_frozen_selector_gets_no_gradient() -> None:
    made = objective()
    parts = moved(made, batch_of())
    assert {part for part in parts if part.startswith("selector")} == set()
    assert parts >= {"extractor", "extractor.handover", "extractor.patch_embed", "head.weight"}
    assert all(p.grad is None and not p.requires_grad for p in made.model.selector.parameters())
    assert "look" not in made(batch_of())


def test_coverage_trains_the_map() -> None:
    coverage = torch.rand(4, CELLS, generator=torch.Generator().manual_seed(1))
    made = objective(steering="look")
    losses = made(batch_of(coverage=coverage))
    assert set(losses) == {"task", "look"}
    assert losses["look"].item() == pytest.approx(
        coverage_loss(map_of(made.model, batch_of()), coverage).item(), rel=1e-5
    )
    assert moved(made, batch_of(coverage=coverage)) >= {
        "selector.head",
        "selector.backbone",
        "extractor",
        "head.weight",
    }


def test_covered_cells_are_read_before_those_of_the_map() -> None:
    coverage = torch.zeros(4, CELLS)
    worth = torch.tensor([[3, 17], [0, 35], [20, 21], [8, 9]])
    coverage.scatter_(1, worth, 0.4)
    best = map_of(small(LABELLED), batch_of())
    told = cells_read(objective(steering="look"), batch_of(coverage=coverage, covered_first=True))
    for cells, first, scores in zip(told, worth, best, strict=True):
        scores[first] = torch.inf
        assert set(cells.tolist()) == set(scores.topk(8).indices.tolist())
    untold = cells_read(objective(steering="look"), batch_of(coverage=coverage))
    assert untold.sort().values.equal(map_of(small(LABELLED), batch_of()).topk(8).indices.sort().values)


@pytest.mark.parametrize("k", [1, 8, CELLS])
def test_under_attention_a_quarter_of_the_cells_is_random(k: int) -> None:
    batch = batch_of(k=k)
    made = objective(steering="attention")
    order = map_of(made.model, batch).argsort(descending=True)
    for cells, best, drawn in zip(cells_read(made, batch), order.tolist(), batch.random_order.tolist(), strict=True):
        chosen = best[: k - k // 4]
        assert set(cells.tolist()) == {*chosen, *[cell for cell in drawn if cell not in chosen][: k // 4]}
        assert len(cells) == k


def attention_of(made: Objective, batch: TrainingBatch, cells: Tensor) -> Tensor:
    """What CLS asks of each of these cells in the last block, (batch, k), computed step by step."""
    extractor, heads = made.model.extractor, LABELLED.heads
    pixels = (batch.pictures.float() / 255 - 0.5) / 0.5
    patches = pixels.unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).transpose(1, 2)
    patches = torch.take_along_dim(patches, cells[:, :, None, None, None], 1)
    prefix = made.model.select((batch.thumbnails.float() / 255 - 0.5) / 0.5, (6, 6)).prefix_tokens
    tokens = extractor.embed(patches, (6, 6), cells)
    tokens = torch.cat([extractor.handover(extractor.prefix(), prefix), tokens], dim=1)
    for block in extractor.blocks[:-1]:
        tokens = block(tokens)
    q, k, _ = extractor.blocks[-1].attn.qkv(extractor.blocks[-1].norm1(tokens)).chunk(3, dim=-1)  # type: ignore
    per_head = [
        (a[:, :1] @ b[:, 1:].mT / a.shape[-1] ** 0.5)[:, 0]
        for a, b in zip(q.chunk(heads, -1), k.chunk(heads, -1), strict=True)
    ]
    return torch.stack(per_head).mean(0).detach()


def test_the_map_moves_towards_the_extractors_attention() -> None:
    made, batch = objective(steering="attention"), batch_of(k=CELLS)
    everywhere = torch.arange(CELLS).expand(4, -1)
    wanted = attention_of(made, batch, everywhere).softmax(-1)

    def distance() -> float:
        return torch.nn.functional.kl_div(
            map_of(made.model, batch).log_softmax(-1), wanted, reduction="batchmean"
        ).item()

    before = distance()
    assert made(batch)["look"].item() == pytest.approx(before, rel=1e-3)
    optimizer = torch.optim.Adam(made.model.selector.head.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        made(batch)["look"].backward()
        optimizer.step()
    assert distance() < 0.5 * before


def test_attention_gets_no_gradient_from_the_map() -> None:
    made = objective(steering="attention")
    made(batch_of())["look"].backward()
    assert all(parameter.grad is None for parameter in made.model.extractor.parameters())


def test_a_model_without_a_selector_is_trained_on_all_cells() -> None:
    full = replace(LABELLED, selector_depth=0, prefix="own", k=1.0)
    made = objective(config=full)
    batch = batch_of(k=CELLS)
    assert cells_read(made, batch).sort().values.equal(torch.arange(CELLS).expand(4, -1))
    assert {name.partition(".")[0] for name in moved(made, batch)} == {"extractor", "head"}
