"""The first queries of pruning modules predict the later attention of CLS."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lookwhere_cli.errors import DataError
from lookwhere_cli.models.config import Config
from lookwhere_cli.training.finetune.batches import Batches, TrainingBatch
from lookwhere_cli.training.finetune.first_queries import LEAST, RIDGE, start_queries
from lookwhere_cli.training.finetune.objective import Objective
from lookwhere_cli.training.finetune.recipe import FineTuning
from lookwhere_cli.training.loop import Run
from lookwhere_cli.training.optim import Rates
from tests.data.labelled import coloured, fields, start
from tests.models.small import PRUNING
from tests.training.test_finetune import run_of, same
from tests.training.test_objective import batch_of, objective
from tests.training.test_pruning import BOTH, CROPR, taught

READ = 20
BATCHES = [batch_of(k=READ, seed=seed) for seed in range(3)]


def queries_of(one: Objective) -> list[Tensor]:
    return [teacher.cross_attn.queries.detach().flatten() for teacher in one.auxiliaries]


def later_attention(one: Objective, batch: TrainingBatch) -> Tensor:
    """CLS' attention to the cells in the later half of the blocks, mean over heads and blocks; nothing is pruned."""
    config, each = one.model.config, []
    tokens = one.inputs_of_pruning(batch)
    for place in range(config.extractor_depth // 2, config.extractor_depth):
        block, x = one.model.extractor.blocks[place], tokens[place - 1]
        qkv = block.attn.qkv(block.norm1(x)).unflatten(-1, (3, config.heads, -1)).permute(2, 0, 3, 1, 4)
        logits = torch.einsum("bhd,bhnd->bhn", qkv[0][:, :, 0], qkv[1]) * (config.dim // config.heads) ** -0.5
        each.append(logits.softmax(-1).mean(1))
    return torch.stack(each).mean(0)[:, config.prefix_tokens :]


def differences(values: Tensor) -> Tensor:
    return (values - values.mean(1, keepdim=True)).flatten(0, 1)


def test_inputs_of_pruning_modules_are_all_tokens() -> None:
    one = objective(config=PRUNING)
    seen = one.inputs_of_pruning(BATCHES[0])
    assert [tuple(tokens.shape) for tokens in seen] == [(4, 1 + READ, PRUNING.dim)] * (PRUNING.extractor_depth - 1)
    assert not any(tokens.requires_grad for tokens in seen)


@pytest.mark.parametrize(
    "config",
    [PRUNING, replace(PRUNING, prune_norm=True), replace(PRUNING, registers=2)],
    ids=["plain", "normed", "registers"],
)
@torch.no_grad()
def test_first_queries_are_the_least_squares_solution_for_later_attention(config: Config) -> None:
    one = objective(config=config)
    start_queries(one, BATCHES, lambda tensor: tensor)
    wanted = torch.cat([differences(later_attention(one, batch).clamp_min(LEAST).log()) for batch in BATCHES])
    seen = [torch.cat(parts) for parts in zip(*map(one.inputs_of_pruning, BATCHES), strict=True)]
    for tokens, query, module in zip(seen, queries_of(one), one.model.extractor.cropr, strict=True):
        assert torch.equal(module.query, query)
        cells = differences(module.norm(tokens)[:, config.prefix_tokens :])
        damping = (RIDGE * cells.square().sum(0).mean()).sqrt() * torch.eye(PRUNING.dim)
        solved = torch.linalg.lstsq(torch.cat([cells, damping]), torch.cat([wanted, torch.zeros(PRUNING.dim)])[:, None])
        torch.testing.assert_close(query, solved.solution[:, 0] * PRUNING.dim**0.5, rtol=1e-3, atol=1e-3)
        assert torch.corrcoef(torch.stack([cells @ query, wanted]))[0, 1] > 0.3


def test_processes_add_up_their_sums() -> None:
    whole, one, other = (objective(config=PRUNING) for _ in range(3))
    start_queries(whole, BATCHES, lambda tensor: tensor)
    theirs: list[Tensor] = []
    start_queries(other, BATCHES[2:], lambda tensor: theirs.append(tensor) or tensor)
    seen = iter(theirs)
    start_queries(one, BATCHES[:2], lambda tensor: tensor + next(seen))
    for together, alone, split in zip(queries_of(whole), queries_of(other), queries_of(one), strict=True):
        torch.testing.assert_close(split, together, rtol=1e-4, atol=1e-4)
        assert (alone - together).abs().max() > 0.01


@pytest.mark.parametrize("recipe", [CROPR, BOTH], ids=["cropr", "lookwhere"])
def test_first_queries_are_computed_for_labels_and_random_for_masks(recipe: FineTuning, tmp_path: Path) -> None:
    still = replace(recipe, rates=Rates(peak=0.0))
    for labelled, begun in ((coloured(tmp_path / "labels"), True), (fields(tmp_path / "masks"), False)):
        run = run_of(still, labelled, tmp_path / f"out-{begun}", base=start(extractor_depth=5))
        drawn = [query.clone() for query in taught(run)]
        next(iter(run.train()))
        assert [not torch.equal(*pair) for pair in zip(drawn, taught(run), strict=True)] == [begun] * len(drawn)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_becomes_unreadable_stops_the_run(workers: int, tmp_path: Path) -> None:
    labelled = coloured(tmp_path / "set")
    run = run_of(CROPR, labelled, tmp_path / "out", base=start(extractor_depth=5), workers=workers)
    for example in labelled.of("train"):
        Path(example.path).write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"^None of the training pictures .*: '\S+/set/\S+' is not a picture of a known format"
    ):
        next(iter(run.train()))


def interrupted_as_served(run: Run, count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Ctrl-C while the run's batch of this number is made; how many were made in all."""
    made, make = 0, Batches.__getitem__

    def counted(batches: Batches, step: int) -> TrainingBatch:
        nonlocal made
        made += 1
        if made == count:
            signal.raise_signal(signal.SIGINT)
        return make(batches, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Batches, "__getitem__", counted)
        list(run.train())
    return made


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, pytest.param(1, marks=pytest.mark.slow)])  # torch takes seconds to say "singular"
def test_ctrl_c_before_the_first_step_leaves_no_trace(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled, base = coloured(tmp_path / "set"), start(extractor_depth=5)
    whole = run_of(CROPR, labelled, tmp_path / "whole", base=base)
    list(whole.train())
    broken = run_of(CROPR, labelled, tmp_path / "parts", base=base)
    assert interrupted_as_served(broken, count, monkeypatch) == count and not broken.steps
    again = run_of(CROPR, labelled, tmp_path / "parts", base=base)
    assert again.resume() == 0
    list(again.train())
    assert same(again.averaged, whole.averaged)
