"""A training run: steps, averaged weights, epochs, checkpoints, Ctrl-C and resuming, for every kind of training."""

from __future__ import annotations

import copy
import itertools
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device, set_seed
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset, Subset

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.errors import DataError, LookWhereError
from lookwhere_cli.interrupts import deferred
from lookwhere_cli.models.build import Model
from lookwhere_cli.training.average import AverageRule
from lookwhere_cli.training.checkpoint import load_checkpoint, save_checkpoint
from lookwhere_cli.training.optim import Rates, set_rates

Numbers = Mapping[str, float]
IsInterrupted = Callable[[], bool]
_NOT_LOSSES = ("step", "rate", "k", "seconds")


class LoopBatch(Protocol):
    """What the loop reads of a batch; the rest is between the data and the losses."""

    @property
    def k(self) -> int:
        """The number of cells that are read of each picture."""
        ...


B = TypeVar("B", bound=LoopBatch)


class Recipe(Protocol):
    """What the loop reads of a recipe."""

    @property
    def batch(self) -> int:
        """Pictures in a step, over all processes."""
        ...

    @property
    def rates(self) -> Rates:
        """Learning rates and their schedule."""
        ...

    @property
    def precision(self) -> str:
        """accelerate's mixed precision: no, bf16."""
        ...

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        ...


class Epochs(NamedTuple):
    """How a run with epochs is judged.

    score: returns the figures of the averaged model by name, the one that counts first. patience: epochs without a
    better score after which the run ends; 0 for never.
    """

    score: Callable[[Model], dict[str, float]]
    patience: int


def _sum(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Learner:
    """What is trained, and how a batch becomes a loss.

    Attributes:
        module: computes a batch's losses by name.
        parts: the modules that are trained, by their names in the checkpoint. The model comes first. The gradients of
            each part are clipped on their own, so that no part slows another.
        optimizer: of all parts.
        total: the losses' sum, which is minimised.
        after_step: called after each step.
    """

    module: nn.Module
    parts: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    total: Callable[[Mapping[str, Tensor]], Tensor] = field(default=_sum)
    after_step: Callable[[], None] = field(default=_nothing)


class RunPlan(Protocol[B]):
    """All that differs between kinds of training."""

    @property
    def recipe(self) -> Recipe:
        """The settings."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """All that the result depends on; a checkpoint of another identity is refused."""
        ...

    @property
    def extended_identity(self) -> Mapping[str, Any] | None:
        """The identity of a run that this one goes on from; its checkpoint is accepted, too."""
        ...

    @property
    def history_key(self) -> str:
        """The name of the steps' numbers in the checkpoint."""
        ...

    @property
    def epochs(self) -> Epochs | None:
        """How epochs are judged; None for a run without epochs."""
        ...

    def batches(self, share: tuple[int, int]) -> Dataset[B]:
        """Return a map from each step to its batch; `share` is (rank, processes). Raises UsageError."""
        ...

    def period(self, batches: Dataset[B]) -> int:
        """Return the number of steps in an epoch, or between checkpoints."""
        ...

    def restarts(self, period: int) -> Sequence[int]:
        """Return the steps, rising, at which the schedule of the learning rate begins anew."""
        ...

    def start_model(self) -> Model:
        """Return the model before the first step, on the CPU. Random weights come from torch's generator."""
        ...

    def average_rule(self) -> AverageRule:
        """Return how the average follows the weights."""
        ...

    def learner(self, model: Model, device: torch.device) -> Learner:
        """Return the learner, with all of it but the model on the device."""
        ...

    def begin(
        self, learner: Learner, first: Callable[[int], Iterator[B]], sum_over_processes: Callable[[Tensor], Tensor]
    ) -> None:
        """Prepare a new run's weights; `first(count)` yields the batches of the first `count` steps, on the device."""
        ...


class Moment(NamedTuple):
    """What happened in a step: its numbers, and those of the epoch that ends with it."""

    step: Numbers
    epoch: Numbers | None


class Run(Generic[B]):
    """One training run into the folder `out`, which holds its checkpoint, and its best weights if it has epochs.

    The same plan ends with the same weights, to the bit, however often the run is interrupted and resumed.

    workers: processes that prepare batches; 0 for none beside this one. device: "cpu", or "auto" and others for what
    accelerate chooses.
    """

    def __init__(self, plan: RunPlan[B], out: Path, workers: int, device: str = "auto") -> None:
        self.plan, self.out, self.workers = plan, out, workers
        self.accelerator = Accelerator(mixed_precision=plan.recipe.precision, cpu=device == "cpu")
        self._batches = plan.batches((self.accelerator.process_index, self.accelerator.num_processes))
        self.period = plan.period(self._batches)
        set_seed(plan.recipe.seed)
        self.model = plan.start_model()
        self.average = AveragedModel(self.model, multi_avg_fn=plan.average_rule()).to(self.accelerator.device)
        self.learner = plan.learner(self.model, self.accelerator.device)
        self._module, self.optimizer = self.accelerator.prepare(self.learner.module, self.learner.optimizer)
        self.steps: list[dict[str, float]] = []
        self.epochs: list[dict[str, float]] = []
        self.saved = 0
        """Number of steps in the checkpoint."""

    @property
    def averaged(self) -> Any:
        """The model with the averaged weights: the run's result."""
        return self.average.module.eval()

    @property
    def total(self) -> int:
        """Number of steps, unless patience ends the run early."""
        return len(cast("Any", self._batches))

    @property
    def best(self) -> Numbers:
        """The epoch with the highest score, the first of several."""
        return max(self.epochs, key=lambda epoch: epoch["score"])

    @property
    def is_finished(self) -> bool:
        """True if all steps are done, or patience has run out."""
        return len(self.steps) >= self.total or self._is_out_of_patience()

    def resume(self) -> int:
        """Load the checkpoint in the output folder, if there is one, and return the number of steps it holds.

        Raises UsageError for a checkpoint of another run, DataError for a damaged one.
        """
        state = load_checkpoint(self.out, self.plan.identity, self.plan.extended_identity)
        if state:
            for name, part in self.learner.parts.items():
                part.load_state_dict(state[name])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.epochs = state[self.plan.history_key], state.get("epochs", [])
        self.saved = len(self.steps)
        return self.saved

    def save(self) -> None:
        """Write the checkpoint, completely or not at all. Raises OutputError."""
        if self.accelerator.is_main_process:
            save_checkpoint(self.out, self._state(), self.plan.identity)
        self.saved = len(self.steps)

    def train(self) -> Iterator[Moment]:
        """Train the remaining steps; save a checkpoint after each period, at the end and at Ctrl-C.

        Raises KeyboardInterrupt after Ctrl-C, DataError for a loss or a score that is not a number, and for a picture
        that can't be read any more.
        """
        with deferred() as interrupted:
            with _dropping_broken_steps(interrupted):
                self.begin(interrupted)
            batches = self._load(range(len(self.steps), self.total), interrupted)
            while not (self.is_finished or interrupted()):
                started = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    break
                with _dropping_broken_steps(interrupted):
                    numbers = self._step(len(self.steps), batch)
                self.steps.append(numbers | {"seconds": time.perf_counter() - started})
                yield Moment(self.steps[-1], None if len(self.steps) % self.period else self._end_period())
            if self.saved < len(self.steps):
                self.save()
            if interrupted():
                raise KeyboardInterrupt

    def begin(self, interrupted: IsInterrupted) -> None:
        """Let the plan prepare a new run's weights from the first batches; `train` does so before the first step."""
        if self.steps:
            return

        def first(count: int) -> Iterator[B]:
            batches = self._load(range(min(self.total, count)), interrupted)
            return (send_to_device(batch, self.accelerator.device) for batch in batches)

        self.plan.begin(self.learner, first, lambda tensor: self.accelerator.reduce(tensor, reduction="sum"))

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.learner.parts.items()}
        state |= {"average": self.average.state_dict(), "optimizer": self.optimizer.state_dict()}
        state[self.plan.history_key] = self.steps
        return state if self.plan.epochs is None else state | {"epochs": self.epochs}

    def _load(self, steps: range, interrupted: IsInterrupted) -> Iterator[B]:
        """Yield the batches of these steps; none after Ctrl-C, which may have ended the processes that prepare them."""
        loader = DataLoader(Subset(self._batches, steps), batch_size=None, num_workers=self.workers)
        try:
            yield from itertools.takewhile(lambda _: not interrupted(), loader)
        except LookWhereError as failure:
            raise DataError(_without_traceback(failure)) from failure
        except RuntimeError:
            if not interrupted():
                raise

    def _step(self, step: int, batch: B) -> dict[str, float]:
        rates = self.plan.recipe.rates
        self._module.train()
        first, last = self._schedule_of(step)
        share = set_rates(self.optimizer, rates, step - first, last - first)
        on_device = send_to_device(batch, self.accelerator.device)
        with self.accelerator.autocast():
            losses = self._module(on_device)
            loss = self.learner.total(losses)
        means = self._mean_over_processes({"loss": loss, **losses})
        if not np.isfinite(means["loss"]):
            raise DataError(f"The loss is {means['loss']} at step {step}; try a lower --lr.")
        self.accelerator.backward(loss)
        for part in self.learner.parts.values():
            self.accelerator.clip_grad_norm_(part.parameters(), rates.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.learner.after_step()
        self.average.update_parameters(self.model)
        return {"step": step + 1, **means, "rate": share * rates.peak, "k": batch.k}

    def _schedule_of(self, step: int) -> tuple[int, int]:
        """Return the first step of the schedule that a step belongs to, and the first one after it."""
        edges = [0, *self.plan.restarts(self.period), self.total]
        place = bisect_right(edges, step)
        return edges[place - 1], edges[place]

    def _mean_over_processes(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """Return the losses of the whole batch, of which each process has a part."""
        means = self.accelerator.reduce(torch.stack(list(losses.values())).detach(), "mean")
        return dict(zip(losses, means.tolist(), strict=True))

    def _end_period(self) -> Numbers | None:
        epoch = None if self.plan.epochs is None else self._end_epoch(self.plan.epochs)
        self.save()
        return epoch

    def _end_epoch(self, epochs: Epochs) -> Numbers:
        """Score the averaged weights and, if they are the best so far, write them to the output folder."""
        # Processes must agree on the best epoch to the last digit, so all take the first one's scores.
        scores = broadcast_object_list([epochs.score(self.averaged)])[0]
        numbers = self._epoch_numbers(scores)
        if not np.isfinite(numbers["score"]):
            raise DataError("The validation pictures show none of the classes, so no epoch can be scored.")
        self.epochs.append(numbers)
        if self.accelerator.is_main_process and self.best is numbers:
            save_model(self.out, copy.deepcopy(self.averaged).to(torch.float16))
        return numbers

    def _epoch_numbers(self, scores: Mapping[str, float]) -> dict[str, float]:
        recent = self.steps[-self.period :]
        losses = {
            name: float(np.mean([step[name] for step in recent])) for name in recent[0] if name not in _NOT_LOSSES
        }
        return {
            "epoch": len(self.epochs) + 1,
            "step": len(self.steps),
            **losses,
            "images_per_second": self.plan.recipe.batch * len(recent) / sum(step["seconds"] for step in recent),
            "score": next(iter(scores.values())),
            **scores,
        }

    def _is_out_of_patience(self) -> bool:
        if self.plan.epochs is None or not self.epochs:
            return False
        return len(self.epochs) - self.best["epoch"] >= self.plan.epochs.patience > 0


@contextmanager
def _dropping_broken_steps(interrupted: IsInterrupted) -> Iterator[None]:
    """Raise KeyboardInterrupt for a step that fails because Ctrl-C ended another process of the run in it."""
    try:
        yield
    except RuntimeError as failure:
        if interrupted():
            raise KeyboardInterrupt from failure
        raise


def _without_traceback(failure: LookWhereError) -> str:
    """Return the message of an exception from a loader's process, which torch puts below a traceback."""
    return str(failure).strip().rpartition(f"{type(failure).__name__}: ")[2]
