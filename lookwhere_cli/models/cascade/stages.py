"""A cascade: stages of rising cost on the same pictures. Those that are sure leave, the rest go on together.

Nothing here knows what a stage computes. After "Not All Images are Worth 16x16 Words: Dynamic Transformers for
Efficient Image Recognition", Wang et al., NeurIPS 2021, arXiv 2105.15075, section on adaptive inference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor


class State(Protocol):
    """What a stage needs of a batch of pictures: the pictures, and what the stages before have left for it."""

    def at(self, places: Int64[Tensor, " left"]) -> Self:
        """The same of the pictures at these places of the batch alone."""
        ...


S = TypeVar("S", bound=State)
Stage = Callable[[S], tuple[Float[Tensor, "batch classes"], S]]
"""Logits of a batch, and its state for the next stage."""


class Decided(NamedTuple):
    """Each picture's answer, and the stage that gave it, counted from 0."""

    logits: Float[Tensor, "batch classes"]
    exits: Int64[Tensor, " batch"]


def confidence(logits: Float[Tensor, "*batch classes"]) -> Float32[Tensor, "*batch"]:
    """How sure an answer is: the highest softmax probability, 0..1."""
    return logits.float().softmax(dim=-1).amax(dim=-1)


def every(stages: Iterable[Stage[S]], state: S) -> tuple[Float[Tensor, "batch classes"], ...]:
    """The logits of all stages for all pictures: what training sums over, and what thresholds are calibrated on."""
    answers = []
    for stage in stages:
        logits, state = stage(state)
        answers.append(logits)
    return tuple(answers)


def decide(stages: Iterable[Stage[S]], state: S, thresholds: Sequence[float]) -> Decided:
    """Run the stages on those that are not sure yet, whichever they are; a stage without pictures does not run.

    A picture leaves where its confidence is at least the stage's threshold; the last stage, which has none, takes all.
    Raises ValueError where there is not a threshold for each stage but the last.
    """
    stages = tuple(stages)
    _check_count(thresholds, len(stages))
    answers, exits, places = [], [], []
    going = None
    for number, (stage, threshold) in enumerate(zip(stages, _with_last(thresholds), strict=True)):
        logits, state = stage(state)
        going = torch.arange(len(logits), device=logits.device) if going is None else going
        unsure = confidence(logits) < threshold
        answers.append(logits[~unsure])
        places.append(going[~unsure])
        exits.append(torch.full_like(places[-1], number))
        rest = unsure.nonzero()[:, 0]
        if not len(rest):
            break
        going, state = going[rest], state.at(rest)
    order = torch.cat(places).argsort()
    return Decided(torch.cat(answers)[order], torch.cat(exits)[order])


def exits_of(confidences: Float[Tensor, "exits pictures"], thresholds: Sequence[float]) -> Int64[Tensor, " pictures"]:
    """At which exit each picture would leave, from its confidence at all of them. Raises ValueError as `decide`."""
    _check_count(thresholds, len(confidences))
    limits = torch.tensor(_with_last(thresholds), dtype=confidences.dtype, device=confidences.device)
    return (confidences < limits[:, None]).to(torch.int64).argmin(dim=0)


def _with_last(thresholds: Sequence[float]) -> tuple[float, ...]:
    """No confidence is below 0, so the last stage lets all leave; nor is one that is not a number, which would hang."""
    return (*thresholds, 0.0)


def _check_count(thresholds: Sequence[float], stages: int) -> None:
    if len(thresholds) != stages - 1:
        raise ValueError(
            f"{stages} exits need {stages - 1} thresholds, one for each but the last; there are {len(thresholds)}"
        )
