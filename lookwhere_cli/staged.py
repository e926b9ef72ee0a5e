"""A predictor whose model answers in stages: a picture goes on to the next one only where it must."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from lookwhere_cli.amounts import Amount
from lookwhere_cli.answers import Answer
from lookwhere_cli.checkpoints.folder import Loaded
from lookwhere_cli.images.frame import Grid, Reading
from lookwhere_cli.images.view import View
from lookwhere_cli.models.cascade.stages import Decided, confidence
from lookwhere_cli.output.rows import Label, Row
from lookwhere_cli.predictor import Glimpse, Picture, Predictor

NEVER = 2.0
"""A threshold that no confidence reaches; JSON has no infinity."""


class Stages(NamedTuple):
    """Of one picture: how sure each stage is of it, 0..1, and the multiply-adds that it has taken by then."""

    sure: tuple[float, ...]
    macs: tuple[int, ...]


class StagedPredictor(Predictor):
    """A cascade and how it is to be used. Without thresholds in the config its last stage answers all."""

    def __init__(
        self, loaded: Loaded, reading: Reading, *, k: Amount, stages: int, top: int, batch_size: int, workers: int
    ) -> None:
        super().__init__(loaded, reading, k=k, top=top, batch_size=batch_size, workers=workers)
        self.thresholds = self.config.thresholds or (NEVER,) * (stages - 1)

    @property
    def count(self) -> int:
        """How many stages there are."""
        return len(self.thresholds) + 1

    @abstractmethod
    def every_stage(self, glimpses: Sequence[Glimpse]) -> Float[Tensor, "stages batch labels"]:
        """The logits of all stages for all pictures of one grid."""

    @abstractmethod
    def decide(
        self, glimpses: Sequence[Glimpse], thresholds: Sequence[float]
    ) -> tuple[Decided, Sequence[NDArray[np.int64]]]:
        """Logits of pictures of one grid, each from the first stage that is sure of it; later ones run on the rest.

        And in which order each one's cells were read: (cells,), of which it may have needed only the first.
        """

    @abstractmethod
    def stage_macs(self, grid: Grid) -> tuple[int, ...]:
        """Multiply-adds by then, all passes included, of a picture of that grid that leaves at each stage."""

    @abstractmethod
    def stage_cells(self, grid: Grid) -> tuple[int, ...]:
        """How many cells the answer of each stage is from, of a picture of that grid."""

    def stages(self, paths: Iterable[Picture]) -> Iterator[Stages | str]:
        """What each stage says of each picture, in their order; a sentence for one that can't be read."""

        def answer(glimpses: Sequence[Glimpse]) -> list[Stages | str]:
            macs = self.stage_macs(glimpses[0].view.grid)
            with torch.inference_mode():
                return [Stages(tuple(one), macs) for one in confidence(self.every_stage(glimpses)).mT.tolist()]

        return self.in_batches(paths, answer, lambda row: row.error or "")

    def _answer(self, glimpses: Sequence[Glimpse]) -> list[Answer]:
        started = time.perf_counter()
        with torch.inference_mode():
            decided, orders = self.decide(glimpses, self.thresholds)
            labels = self.named(decided.logits.float().softmax(dim=-1))
        share = (time.perf_counter() - started) / len(glimpses)
        told = zip(glimpses, decided.exits.tolist(), orders, labels, strict=True)
        return [
            Answer(self._left(glimpse.view, exit_, order, answer, glimpse.seconds + share), glimpse.view)
            for glimpse, exit_, order, answer in told
        ]

    def _left(self, view: View, exit_: int, order: NDArray[np.int64], labels: tuple[Label, ...], seconds: float) -> Row:
        """The record of a picture that left at a stage, counted from 0."""
        row = self.row(view, order[: self.stage_cells(view.grid)[exit_]], labels, seconds)
        return replace(row, macs=self.stage_macs(view.grid)[exit_], exit=exit_ + 1)
