"""The loop itself, on a model of three weights: it ends with the same weights however often it is stopped."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import Dataset

from lookwhere_cli.errors import DataError, PictureError, UsageError
from lookwhere_cli.training.average import AverageRule, growing_decay
from lookwhere_cli.training.loop import Learner, Run
from lookwhere_cli.training.optim import Rates


class Points(NamedTuple):
    x: Tensor
    y: Tensor
    k: int
    skipped: tuple[tuple[str, str], ...] = ()


class PointSet(Dataset[Points]):
    """Random points for each step; one step may fail."""

    def __init__(self, steps: int, failing: int | None = None) -> None:
        self.steps, self.failing = steps, failing

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Points:
        if step == self.failing:
            raise PictureError("'a.jpg' is empty.")
        x = torch.randn(4, 2, generator=torch.Generator().manual_seed(step))
        return Points(x, x.sum(1, keepdim=True), step % 3)


class SquaredError(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Points) -> dict[str, Tensor]:
        return {"error": (self.model(batch.x) - batch.y).square().mean()}


@dataclass(frozen=True)
class ToyRecipe:
    steps: int = 12
    batch: int = 4
    rates: Rates = field(default_factory=lambda: Rates(peak=0.1))
    precision: str = "no"
    seed: int = 3


@dataclass(frozen=True)
class ToyPlan:
    recipe: ToyRecipe = field(default_factory=ToyRecipe)
    save_every: int = 4
    failing: int | None = None
    begun: list[int] = field(default_factory=list)

    history_key = "log"
    epochs = None
    extended_identity = None
    picture_count = 40
    pictures = None

    @property
    def identity(self) -> dict[str, Any]:
        return {"steps": self.recipe.steps, "seed": self.recipe.seed}

    def batches(self, share: tuple[int, int]) -> PointSet:
        return PointSet(self.recipe.steps, self.failing)

    def period(self, batches: object) -> int:
        return self.save_every

    def restarts(self, period: int) -> tuple[int, ...]:
        return ()

    def start_model(self) -> Any:
        return nn.Linear(2, 1)

    def average_rule(self) -> AverageRule:
        return growing_decay(0.5)

    def learner(self, model: Any, device: torch.device) -> Learner:
        groups = [{"params": list(model.parameters()), "lr": 0.1, "factor": 1.0}]
        return Learner(SquaredError(model), {"line": model}, torch.optim.AdamW(groups))

    def begin(
        self, learner: Learner, first: Callable[[int], Iterator[Points]], sum_over_processes: Callable[[Tensor], Tensor]
    ) -> None:
        self.begun.extend(batch.k for batch in first(2))


def weights(run: Run[Points]) -> list[Tensor]:
    tensors = [*run.model.state_dict().values(), *run.averaged.state_dict().values()]
    return [tensor.clone() for tensor in tensors]


def whole_run(out: Path) -> list[Tensor]:
    run = Run(ToyPlan(), out, 0, "cpu")
    list(run.train())
    return weights(run)


@cache
def expected_weights() -> list[Tensor]:
    """The weights of the run that nothing interrupts, for all examples."""
    with tempfile.TemporaryDirectory() as folder:
        return whole_run(Path(folder))


def train_and_stop(run: Run[Points], steps: int, by_ctrl_c: bool) -> None:
    with suppress(KeyboardInterrupt):
        for count, _ in enumerate(run.train(), start=1):
            if count == steps and not by_ctrl_c:
                return
            if count == steps:
                signal.raise_signal(signal.SIGINT)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=4), st.integers(1, 13))
def test_any_interruptions_end_with_the_same_weights(stops: list[tuple[int, bool]], save_every: int) -> None:
    """Each stop is a number of steps, and True for Ctrl-C, which saves, or False for a crash, which does not."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "stopped"
        out.mkdir()
        for steps, by_ctrl_c in stops:
            run = Run(ToyPlan(save_every=save_every), out, 0, "cpu")
            run.resume()
            train_and_stop(run, steps, by_ctrl_c)
            assert not by_ctrl_c or run.saved == len(run.steps)
        last = Run(ToyPlan(save_every=save_every), out, 0, "cpu")
        last.resume()
        list(last.train())
        assert [step["step"] for step in last.steps] == list(range(1, 13))
        assert all(map(torch.equal, weights(last), expected_weights()))


def test_the_checkpoint_has_the_names_of_the_plan(tmp_path: Path) -> None:
    whole_run(tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state.keys() == {"line", "average", "optimizer", "log", "pictures", "identity"}
    assert state["log"][0].keys() == {"step", "loss", "error", "rate", "k", "seconds"}


def test_only_a_new_run_begins_and_with_its_first_batches(tmp_path: Path) -> None:
    first, second = ToyPlan(), ToyPlan()
    list(Run(first, tmp_path, 0, "cpu").train())
    assert first.begun == [0, 1]
    run = Run(second, tmp_path, 0, "cpu")
    assert run.resume() == 12 and list(run.train()) == [] and second.begun == []


def test_a_run_of_another_identity_is_refused(tmp_path: Path) -> None:
    whole_run(tmp_path)
    with pytest.raises(UsageError, match=r"other settings \(seed\)"):
        Run(ToyPlan(ToyRecipe(seed=4)), tmp_path, 0, "cpu").resume()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_fails_stops_the_run_with_its_sentence(workers: int, tmp_path: Path) -> None:
    run = Run(ToyPlan(failing=3), tmp_path, workers, "cpu")
    with pytest.raises(DataError, match=r"^'a\.jpg' is empty\.$") as stopped:
        list(run.train())
    assert len(run.steps) == 3
    assert stopped.tb is not None  # whoever keeps the error
    assert multiprocessing.active_children() == []  # torch would wait five seconds for each


@given(st.floats(0, 0.999), st.integers(1, 10**6))
def test_a_growing_decay_reaches_its_limit_and_no_further(decay: float, steps: int) -> None:
    averaged, current = [torch.zeros(1)], [torch.ones(1)]
    growing_decay(decay)(averaged, current, steps)
    assert averaged[0].item() == pytest.approx(1 - min(decay, (1 + steps) / (10 + steps)), abs=1e-6)
