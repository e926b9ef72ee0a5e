"""What the loop needs of a kind of training: batches, settings, a learner, and how epochs are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from lookwhere_cli.models.build import Model
from lookwhere_cli.training.average import AverageRule
from lookwhere_cli.training.optim import Rates


class LoopBatch(Protocol):
    """What the loop reads of a batch; the rest is between the data and the losses."""

    @property
    def k(self) -> int:
        """The number of cells that are read of each picture."""
        ...

    @property
    def skipped(self) -> tuple[tuple[str, str], ...]:
        """Pictures that could not be read, so that others took their places: path and sentence of each."""
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
    better score after which the run ends; 0 for never. failed: after `score`, a sentence for each picture that could
    not be read.
    """

    score: Callable[[Model], dict[str, float]]
    patience: int
    failed: Sequence[str] = ()


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
    def picture_count(self) -> int:
        """The number of pictures to train on."""
        ...

    @property
    def pictures(self) -> Any:
        """The run's pictures as plain values, for its checkpoint: see `training.resuming`."""
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
