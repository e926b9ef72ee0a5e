"""A training run: steps, averaged weights, epochs, checkpoints, Ctrl-C and resuming, for every kind of training."""

from __future__ import annotations

import copy
import itertools
import time
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, send_to_device, set_seed
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from lookwhere_cli.checkpoints.folder import save_model
from lookwhere_cli.checkpoints.layout import CHECKPOINT
from lookwhere_cli.checkpoints.numbers import not_finite
from lookwhere_cli.errors import DataError, LookWhereError
from lookwhere_cli.interrupts import deferred
from lookwhere_cli.training.checkpoint import load_checkpoint, save_checkpoint
from lookwhere_cli.training.contract import B as B
from lookwhere_cli.training.contract import Epochs as Epochs
from lookwhere_cli.training.contract import Learner as Learner
from lookwhere_cli.training.contract import RunPlan as RunPlan
from lookwhere_cli.training.optim import set_rates
from lookwhere_cli.training.skipped import Skipped
from lookwhere_cli.training.transfer import SHARED_MEMORY, TransferableBatches, unpacked

Numbers = Mapping[str, float]
IsInterrupted = Callable[[], bool]
_NOT_LOSSES = ("step", "rate", "k", "seconds")


class Moment(NamedTuple):
    """What happened in a step: its numbers, those of the epoch that ends with it, and why pictures are now skipped."""

    step: Numbers
    epoch: Numbers | None
    skipped: tuple[str, ...] = ()


class DivergenceError(LookWhereError):
    """Weights, gradients or losses became NaN or infinite."""


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
        self.skipped = Skipped(plan.picture_count)
        self._pictures = plan.pictures

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

    def train(self) -> Generator[Moment, None, None]:
        """Train the remaining steps; save a checkpoint after each period, at the end and at Ctrl-C.

        Pictures that can't be read any more are skipped. Raises KeyboardInterrupt after Ctrl-C, DataError for a run
        that diverged or a score that is not a number, and if more than a tenth of the pictures can't be read; what was
        finite until then is kept.
        """
        with deferred() as interrupted:
            with _dropping_broken_steps(interrupted):
                self.begin(interrupted)
            batches = self._load(range(len(self.steps), self.total), interrupted)
            while not (self.is_finished or interrupted()):
                started = time.perf_counter()
                batch = self._next(batches)
                if batch is None:
                    break
                skipped = self._skip(batch)
                with _dropping_broken_steps(interrupted), self._keeping_finite():
                    numbers = self._step(len(self.steps), batch)
                self.steps.append(numbers | {"seconds": time.perf_counter() - started})
                with self._keeping_finite():
                    epoch = None if len(self.steps) % self.period else self._end_period()
                    if epoch is not None and self.plan.epochs is not None:
                        skipped += self.skipped.new((sentence, sentence) for sentence in self.plan.epochs.failed)
                yield Moment(self.steps[-1], epoch, skipped)
            if self.saved < len(self.steps):
                self.save()
            if interrupted():
                raise KeyboardInterrupt

    def begin(self, interrupted: IsInterrupted) -> None:
        """Let the plan prepare a new run's weights from the first batches; `train` does so before the first step."""
        if self.steps:
            return

        def first(count: int) -> Iterator[B]:
            """Yield the run's first `count` batches, or fewer in a shorter run, on its device."""
            batches = self._load(range(min(self.total, count)), interrupted)
            return (send_to_device(batch, self.accelerator.device) for batch in batches)

        self.plan.begin(self.learner, first, lambda tensor: self.accelerator.reduce(tensor, reduction="sum"))

    def _next(self, batches: Iterator[B]) -> B | None:
        """Return the next batch, None after the last. If it can't be made, the steps so far are saved."""
        try:
            return next(batches, None)
        except LookWhereError:
            if self.saved < len(self.steps):
                self.save()
            raise

    def _skip(self, batch: B) -> tuple[str, ...]:
        """Return a sentence for each picture that this batch is the first to miss. Raises DataError for too many."""
        sentences = self.skipped.new(batch.skipped)
        if self.skipped.are_too_many and self.saved < len(self.steps):
            self.save()
        self.skipped.check()
        return sentences

    @contextmanager
    def _keeping_finite(self) -> Iterator[None]:
        """If the run diverges in the block, keep the last finite weights, and say where they are."""
        try:
            yield
        except DivergenceError as failure:
            raise DataError(f"{failure} {self._keep_finite()} Try a lower --lr, into another folder.") from failure

    def _keep_finite(self) -> str:
        state = self._weights()
        if self.saved < len(self.steps) and not not_finite(state):
            self.save()
        if self.epochs:
            return f"{str(self.out)!r} keeps the weights of epoch {self.best['epoch']:.0f}."
        half = copy.deepcopy(self.averaged).to(torch.float16)
        if self.steps and self.plan.epochs is not None and not not_finite(half.state_dict()):
            if self.accelerator.is_main_process:
                save_model(self.out, half)
            return f"{str(self.out)!r} keeps the last finite weights, of step {len(self.steps)}."
        return f"{str(self.out / CHECKPOINT)!r} keeps step {self.saved}." if self.saved else "Nothing is kept."

    def _weights(self) -> dict[str, Tensor]:
        """Return all weights, averaged ones too, by name."""
        parts = {**self.learner.parts, "average": self.average}
        return {f"{name}.{key}": one for name, part in parts.items() for key, one in part.state_dict().items()}

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.learner.parts.items()}
        state |= {"average": self.average.state_dict(), "optimizer": self.optimizer.state_dict()}
        state |= {self.plan.history_key: self.steps, "pictures": self._pictures}
        return state if self.plan.epochs is None else state | {"epochs": self.epochs}

    def _load(self, steps: range, interrupted: IsInterrupted) -> Iterator[B]:
        """Yield the batches of these steps; none after Ctrl-C, which may have ended the processes that prepare them."""
        loader = DataLoader(TransferableBatches(self._batches, steps), batch_size=None, num_workers=self.workers)
        try:
            arriving = iter(loader)
        except OSError as failure:  # there is no room even for the locks between the processes
            raise DataError(_no_shared_memory(self.workers, failure.strerror or str(failure))) from failure
        try:
            yield from map(unpacked, itertools.takewhile(lambda _: not interrupted(), arriving))
        except LookWhereError as failure:
            # The frames of its traceback, and of the error's, would keep the loader until they are collected as
            # garbage; its processes end at once only if it goes before, else torch waits five seconds for each.
            origin = failure.with_traceback(None) if self.workers else failure
            raise DataError(_without_traceback(failure)) from origin
        except RuntimeError as failure:
            if interrupted():
                return
            if "shared memory" in str(failure):
                raise DataError(_no_shared_memory(self.workers, "it is full")) from failure
            raise
        finally:
            del arriving

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
            raise DivergenceError(f"The training diverged: the loss is {means['loss']} at step {step}.")
        self.accelerator.backward(loss)
        for part in self.learner.parts.values():
            norm = self.accelerator.clip_grad_norm_(part.parameters(), rates.clip)
            if norm is not None and not np.isfinite(float(norm)):
                raise DivergenceError(f"The training diverged: the gradient is {float(norm)} at step {step}.")
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
        if names := not_finite(self._weights()):
            raise DivergenceError(f"The training diverged: {names[0]!r} is not finite after step {len(self.steps)}.")
        epochs, done = self.plan.epochs, len(self.steps)
        is_scored = epochs is not None and (done // self.period % epochs.every == 0 or done >= self.total)
        epoch = self._end_epoch(epochs) if epochs is not None and is_scored else None
        self.save()
        return epoch

    def _end_epoch(self, epochs: Epochs) -> Numbers:
        """Score the averaged weights and, if they are the best so far, write them to the output folder."""
        half = copy.deepcopy(self.averaged).to(torch.float16)
        if names := not_finite(half.state_dict()):
            raise DivergenceError(
                f"The training diverged: {names[0]!r} is too large for float16 after epoch {len(self.epochs) + 1}."
            )
        # Processes must agree on the best epoch to the last digit, so all take the first one's scores.
        scores = broadcast_object_list([epochs.score(self.averaged)])[0]
        numbers = self._epoch_numbers(scores)
        if not np.isfinite(numbers["score"]):
            raise DataError("The validation pictures show none of the classes, so no epoch can be scored.")
        self.epochs.append(numbers)
        if self.accelerator.is_main_process and self.best is numbers:
            save_model(self.out, half)
        return numbers

    def _epoch_numbers(self, scores: Mapping[str, float]) -> dict[str, float]:
        epochs = len(self.steps) // self.period
        scored = self.epochs[-1]["epoch"] if self.epochs else 0
        recent = self.steps[-self.period * int(epochs - scored) :]
        losses = {
            name: float(np.mean([step[name] for step in recent])) for name in recent[0] if name not in _NOT_LOSSES
        }
        return {
            "epoch": epochs,
            "step": len(self.steps),
            **losses,
            "images_per_second": self.plan.recipe.batch * len(recent) / sum(step["seconds"] for step in recent),
            "score": next(iter(scores.values())),
            **scores,
        }

    def _is_out_of_patience(self) -> bool:
        if self.plan.epochs is None or not self.epochs:
            return False
        return self.epochs[-1]["epoch"] - self.best["epoch"] >= self.plan.epochs.patience > 0


@contextmanager
def _dropping_broken_steps(interrupted: IsInterrupted) -> Iterator[None]:
    """Raise KeyboardInterrupt for a step that fails because Ctrl-C ended another process of the run in it."""
    try:
        yield
    except RuntimeError as failure:
        if interrupted():
            raise KeyboardInterrupt from failure
        raise


def _no_shared_memory(workers: int, reason: str) -> str:
    return (
        f"The {workers} processes that prepare batches need shared memory in {SHARED_MEMORY} ({reason}); add --workers "
        "0, or give the container more (docker run --shm-size 1g)."
    )


def _without_traceback(failure: LookWhereError) -> str:
    """Return the message of an exception from a loader's process, which torch puts below a traceback."""
    return str(failure).strip().rpartition(f"{type(failure).__name__}: ")[2]
