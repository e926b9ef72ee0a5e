"""What the stages of a cascade say of pictures, each by itself and together."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import torch

from lookwhere_cli.images.frame import Grid
from lookwhere_cli.macs import passes
from lookwhere_cli.metrics.passes import Measured
from lookwhere_cli.models.cascade.stages import exits_of
from lookwhere_cli.predictor import Glimpse
from lookwhere_cli.staged import NEVER, StagedPredictor


class Exits:
    """A pass over pictures that runs all exits, and remembers at which each would have left.

    Outcomes: each label's probability at every exit, and then at the one that answers.
    """

    def __init__(self, predictor: StagedPredictor) -> None:
        self.predictor = predictor
        self.count = predictor.count
        self.outcomes = self.count + 1
        self.left = Counter[tuple[Grid, int]]()
        """How many pictures of a grid left at an exit, counted from 0."""

    def __call__(self, paths: Sequence[str]) -> Iterator[Measured | str]:
        """Each picture's outcomes, in the pictures' order; the sentence that says why there are none."""
        self.left.clear()
        return self.predictor.in_batches(paths, self._measure, lambda row: row.error or "")

    def _measure(self, glimpses: Sequence[Glimpse]) -> list[Measured | str]:
        with torch.inference_mode():
            probabilities = self.predictor.every_stage(glimpses).float().softmax(dim=-1)
            exits = exits_of(probabilities.amax(dim=-1), self.predictor.thresholds).tolist()
        self.left.update((glimpses[0].view.grid, exit_) for exit_ in exits)
        return [
            Measured([*probabilities[:, place], probabilities[exit_, place]], glimpse.view.size)
            for place, (exit_, glimpse) in enumerate(zip(exits, glimpses, strict=True))
        ]

    def cells(self, exit_: int | None) -> float:
        """Cells that answers are from, per picture on average: all at one exit or, None, each at its own."""
        return self._mean({left: self.predictor.stage_cells(left[0])[self._at(left, exit_)] for left in self.left})

    def macs(self, exit_: int | None) -> float:
        """Multiply-adds per picture, likewise."""
        return self._mean({left: self.predictor.stage_macs(left[0])[self._at(left, exit_)] for left in self.left})

    def macs_full(self) -> float:
        """Multiply-adds of the full ViT per picture, on all cells."""
        return self._mean({left: passes.count_full(self.predictor.config, left[0]) for left in self.left})

    def _at(self, left: tuple[Grid, int], exit_: int | None) -> int:
        return left[1] if exit_ is None else exit_

    def _mean(self, values: dict[tuple[Grid, int], int]) -> float:
        return sum(times * values[left] for left, times in self.left.items()) / self.left.total()

    @torch.inference_mode()
    def lap(self, exit_: int | None, path: str) -> float:
        """Seconds that a picture takes, alone in its batch, from its decoded pixels to the answer, likewise."""
        predictor, view = self.predictor, self.predictor.view(path)
        last = self.count - 1
        thresholds = predictor.thresholds if exit_ is None else (NEVER,) * exit_ + (0.0,) * (last - exit_)
        started = time.perf_counter()
        glimpse = Glimpse(view, predictor.thumbnail(view), predictor.coarse_thumbnail(view), 0.0)
        predictor.decide([glimpse], thresholds)[0].logits.cpu()
        return time.perf_counter() - started
