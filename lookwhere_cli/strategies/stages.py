"""Cascades: stages of rising cost on the same pictures. Pictures with a certain answer leave, the rest go on together.

Nothing here knows what a stage computes. After "Not All Images are Worth 16x16 Words: Dynamic Transformers for
Efficient Image Recognition", Wang et al., NeurIPS 2021, arXiv 2105.15075, section on adaptive inference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from lookwhere_cli.probabilities import confidence
from lookwhere_cli.runtimes.base import State

S = TypeVar("S", bound=State)
Stage = Callable[[S], tuple[Float[ndarray, "batch classes"], S]]
"""Computes the logits of a batch, and its state for the next stage."""
DISABLED = 2.0
"""A threshold above every confidence: no picture leaves at its stage. (JSON has no infinity.)"""


class Decision(NamedTuple):
    """Each picture's logits, and the stage that they are from, counted from 0."""

    logits: Float[ndarray, "batch classes"]
    stages: Int64[ndarray, " batch"]


def run_all(stages: Iterable[Stage[S]], state: S) -> Float[ndarray, "stages batch classes"]:
    """Compute the logits of every stage for every picture."""
    answers = []
    for stage in stages:
        logits, state = stage(state)
        answers.append(logits)
    return np.stack(answers)


def decide(stages: Sequence[Stage[S]], state: S, thresholds: Sequence[float]) -> Decision:
    """Run each stage on the pictures that are still uncertain; a stage without pictures does not run.

    A picture leaves where its confidence is at least the stage's threshold; the last stage, which has none, takes all.
    Raises ValueError unless there is a threshold for each stage but the last.
    """
    _check_count(thresholds, len(stages))
    logits_of: list[Any] = []
    stage_of: list[Any] = []
    places_of: list[Any] = []
    remaining: Any = None
    for number, (stage, threshold) in enumerate(zip(stages, _with_last(thresholds), strict=True)):
        logits, state = stage(state)
        remaining = np.arange(len(logits)) if remaining is None else remaining
        uncertain = confidence(logits) < threshold
        logits_of.append(logits[~uncertain])
        places_of.append(remaining[~uncertain])
        stage_of.append(np.full(len(places_of[-1]), number, np.int64))
        rest = np.flatnonzero(uncertain)
        if not len(rest):
            break
        remaining, state = remaining[rest], state.at(rest)
    order = np.argsort(np.concatenate(places_of))
    return Decision(np.concatenate(logits_of)[order], np.concatenate(stage_of)[order])


def stages_reached(
    confidences: Float[ndarray, "stages pictures"], thresholds: Sequence[float]
) -> Int64[ndarray, " pictures"]:
    """Return the stage at which each picture leaves, from its confidence at every stage. Raises ValueError."""
    _check_count(thresholds, len(confidences))
    limits = np.asarray(_with_last(thresholds), dtype=confidences.dtype)
    return (confidences < limits[:, None]).argmin(axis=0)


def list_thresholds(thresholds: Sequence[float]) -> str:
    """Write thresholds for people to read: "0.5, 0.75"."""
    return ", ".join(f"{threshold:.4g}" for threshold in thresholds)


def _with_last(thresholds: Sequence[float]) -> tuple[float, ...]:
    """Add the last stage's threshold: nothing is below 0, NaN included, so that all pictures leave there."""
    return (*thresholds, 0.0)


def _check_count(thresholds: Sequence[float], stages: int) -> None:
    if len(thresholds) != stages - 1:
        raise ValueError(
            f"{stages} stages need {stages - 1} thresholds, one for each but the last; there are {len(thresholds)}"
        )
